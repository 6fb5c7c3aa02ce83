/* Pointer chase: one random cycle through 32 MiB of nodes, a cache line each. */
#include "guest.h"

enum { NODES = 512 * 1024 };

typedef struct node {
    struct node *next;
    u64 payload[7];
} node;

static node nodes[NODES];
static u32 shuffled[NODES];

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1000000);
    u64 seed = 13;
    for (u32 i = 0; i < NODES; i++)
        shuffled[i] = i;
    for (u32 i = NODES - 1; i > 0; i--) {
        u32 k = (u32)(((g_rand(&seed) >> 32) * (i + 1)) >> 32), t = shuffled[i];
        shuffled[i] = shuffled[k];
        shuffled[k] = t;
    }
    for (u32 i = 0; i < NODES; i++) {
        node *n = &nodes[shuffled[i]];
        n->next = &nodes[shuffled[(i + 1) % NODES]];
        n->payload[i % 7] = i;
    }
    u64 sum = 0;
    node *n = &nodes[shuffled[0]];
    for (u64 i = 0; i < count; i++) {
        sum += n->payload[2] + i;
        n = n->next;
    }
    g_line("chase", g_mix(sum, (u64)(n - nodes)));
    return 0;
}
