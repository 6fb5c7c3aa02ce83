/* Recursion that uses 6 MiB of stack: each frame fills an array, and checks it
 * on the way back. */
#include "guest.h"

enum { FRAME = 128, DEPTH = 6 * 1024 };

static __attribute__((noinline)) u64 descend(u64 depth, u64 seed, const u64 *above) {
    u64 local[FRAME];
    for (int i = 0; i < FRAME; i += 3)
        local[i] = seed + (u64)i * depth;
    local[FRAME - 1] = above ? above[FRAME - 1] + 1 : 1;
    u64 below = depth == 0 ? 0 : descend(depth - 1, seed * 5 + 1, local);
    for (int i = 0; i < FRAME - 3; i += 3)
        g_check(local[i] == seed + (u64)i * depth, "frame");
    return g_mix(below, local[FRAME - 1] + local[3]);
}

int guest_main(int argc, char **argv) {
    u64 depth = g_arg(argc, argv, 1, DEPTH);
    u64 sum = descend(depth, 7, NULL);
    g_line_dec("depth", depth);
    g_line("deepstack", sum);
    return 0;
}
