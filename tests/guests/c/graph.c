/* Shortest paths on a grid with weights: Dijkstra with a binary heap, compared
 * with Bellman-Ford; spanning tree by Kruskal with union-find. */
#include "guest.h"

enum { SIDE = 48, NODES = SIDE * SIDE, EDGES = 2 * SIDE * (SIDE - 1) };

typedef struct {
    u32 a, b, weight;
} edge;

static edge edges[EDGES];
static u32 first[NODES + 1], neighbour[2 * EDGES], weight[2 * EDGES];
static u64 distance[NODES], check[NODES];

/* ---- heap of nodes, smallest distance first ---- */

static u32 heap[NODES], position[NODES], heap_size;

static void sift_up(u32 at) {
    u32 node = heap[at];
    for (; at && distance[heap[(at - 1) / 2]] > distance[node]; at = (at - 1) / 2) {
        heap[at] = heap[(at - 1) / 2];
        position[heap[at]] = at;
    }
    heap[at] = node;
    position[node] = at;
}

static u32 pop(void) {
    u32 top = heap[0], node = heap[--heap_size], at = 0;
    for (u32 child; (child = 2 * at + 1) < heap_size; at = child) {
        if (child + 1 < heap_size && distance[heap[child + 1]] < distance[heap[child]])
            child++;
        if (distance[heap[child]] >= distance[node])
            break;
        heap[at] = heap[child];
        position[heap[at]] = at;
    }
    heap[at] = node;
    position[node] = at;
    return top;
}

static void dijkstra(u32 source) {
    for (u32 i = 0; i < NODES; i++) {
        distance[i] = ~0ull;
        heap[i] = position[i] = i;
    }
    heap_size = NODES;
    distance[source] = 0;
    sift_up(position[source]);
    while (heap_size) {
        u32 u = pop();
        for (u32 k = first[u]; k < first[u + 1]; k++) {
            u64 d = distance[u] + weight[k];
            if (d < distance[neighbour[k]]) {
                distance[neighbour[k]] = d;
                sift_up(position[neighbour[k]]);
            }
        }
    }
}

static void bellman_ford(u32 source) {
    for (u32 i = 0; i < NODES; i++)
        check[i] = ~0ull >> 1;
    check[source] = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 e = 0; e < EDGES; e++) {
            u64 via_a = check[edges[e].a] + edges[e].weight, via_b = check[edges[e].b] + edges[e].weight;
            if (via_a < check[edges[e].b])
                check[edges[e].b] = via_a, changed = true;
            if (via_b < check[edges[e].a])
                check[edges[e].a] = via_b, changed = true;
        }
    }
}

static u32 parent[NODES];

static u32 root_of(u32 a) {
    while (parent[a] != a)
        a = parent[a] = parent[parent[a]];
    return a;
}

/* Sorts the edges by weight with counting, then joins trees. */
static u64 spanning_tree(void) {
    static u32 order[EDGES], start[1025];
    memset(start, 0, sizeof start);
    for (u32 e = 0; e < EDGES; e++)
        start[edges[e].weight + 1]++;
    for (u32 w = 0; w < 1024; w++)
        start[w + 1] += start[w];
    for (u32 e = 0; e < EDGES; e++)
        order[start[edges[e].weight]++] = e;
    for (u32 i = 0; i < NODES; i++)
        parent[i] = i;
    u64 total = 0;
    u32 joined = 0;
    for (u32 i = 0; i < EDGES; i++) {
        const edge *e = &edges[order[i]];
        u32 a = root_of(e->a), b = root_of(e->b);
        if (a != b) {
            parent[a] = b;
            total += e->weight;
            joined++;
        }
    }
    g_check(joined == NODES - 1, "one tree");
    return total;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 4);
    u64 seed = 27, sum = 0;
    u32 n = 0;
    for (u32 i = 0; i < NODES; i++) {
        if (i % SIDE + 1 < SIDE)
            edges[n++] = (edge){i, i + 1, 0};
        if (i + SIDE < NODES)
            edges[n++] = (edge){i, i + SIDE, 0};
    }
    for (u64 round = 0; round < count; round++) {
        memset(first, 0, sizeof first);
        for (u32 e = 0; e < EDGES; e++) {
            edges[e].weight = 1 + (u32)(g_rand(&seed) % 1000);
            first[edges[e].a + 1]++;
            first[edges[e].b + 1]++;
        }
        for (u32 i = 0; i < NODES; i++)
            first[i + 1] += first[i];
        u32 fill[NODES];
        memcpy(fill, first, sizeof fill);
        for (u32 e = 0; e < EDGES; e++) {
            u32 a = edges[e].a, b = edges[e].b;
            neighbour[fill[a]] = b;
            weight[fill[a]++] = edges[e].weight;
            neighbour[fill[b]] = a;
            weight[fill[b]++] = edges[e].weight;
        }
        u32 source = (u32)(g_rand(&seed) % NODES);
        dijkstra(source);
        bellman_ford(source);
        for (u32 i = 0; i < NODES; i++) {
            g_check(distance[i] == check[i], "distances agree");
            sum = g_mix(sum, distance[i]);
        }
        sum = g_mix(sum, spanning_tree());
    }
    g_line("graph", sum);
    return 0;
}
