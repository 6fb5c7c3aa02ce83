/* Dynamic programming: edit distance, longest common subsequence (each also by
 * a second method), knapsack, order of matrix products. */
#include "guest.h"

enum { N = 400, ITEMS = 60, CAPACITY = 4000, CHAIN = 48 };

static u8 a[N], b[N];
static u32 table[N + 1][N + 1];

static u32 min(u32 x, u32 y) { return x < y ? x : y; }
static u32 max(u32 x, u32 y) { return x > y ? x : y; }

static u32 edit_distance(void) {
    u32 row[N + 1];
    for (u32 j = 0; j <= N; j++)
        row[j] = j;
    for (u32 i = 1; i <= N; i++) {
        u32 diagonal = row[0];
        row[0] = i;
        for (u32 j = 1; j <= N; j++) {
            u32 up = row[j];
            row[j] = min(min(up, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = up;
        }
    }
    return row[N];
}

static u32 common_subsequence(void) {
    for (u32 i = 0; i <= N; i++)
        for (u32 j = 0; j <= N; j++)
            table[i][j] = i == 0 || j == 0         ? 0
                          : a[i - 1] == b[j - 1]   ? table[i - 1][j - 1] + 1
                                                   : max(table[i - 1][j], table[i][j - 1]);
    /* Walk back: as many equal letters as the table says. */
    u32 found = 0;
    for (u32 i = N, j = N; i && j;) {
        if (a[i - 1] == b[j - 1])
            found++, i--, j--;
        else if (table[i - 1][j] >= table[i][j - 1])
            i--;
        else
            j--;
    }
    g_check(found == table[N][N], "length of the subsequence");
    return found;
}

static u32 knapsack(u64 *seed) {
    static u32 best[CAPACITY + 1];
    memset(best, 0, sizeof best);
    for (int i = 0; i < ITEMS; i++) {
        u32 weight = 20 + (u32)(g_rand(seed) % 300), worth = 1 + (u32)(g_rand(seed) % 500);
        for (u32 c = CAPACITY; c >= weight; c--)
            best[c] = max(best[c], best[c - weight] + worth);
    }
    return best[CAPACITY];
}

static u64 matrix_chain(u64 *seed) {
    static u64 cost[CHAIN][CHAIN];
    u64 side[CHAIN + 1];
    for (int i = 0; i <= CHAIN; i++)
        side[i] = 5 + g_rand(seed) % 60;
    for (int length = 1; length < CHAIN; length++)
        for (int i = 0; i + length < CHAIN; i++) {
            int j = i + length;
            u64 best = ~0ull;
            for (int k = i; k < j; k++) {
                u64 c = cost[i][k] + cost[k + 1][j] + side[i] * side[k + 1] * side[j + 1];
                if (c < best)
                    best = c;
            }
            cost[i][j] = best;
        }
    return cost[0][CHAIN - 1];
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 3);
    u64 seed = 24, sum = 0;
    for (u64 round = 0; round < count; round++) {
        for (int i = 0; i < N; i++) {
            a[i] = (u8)('a' + g_rand(&seed) % 6);
            b[i] = g_rand(&seed) % 3 ? a[i] : (u8)('a' + g_rand(&seed) % 6);
        }
        sum = g_mix(sum, edit_distance());
        sum = g_mix(sum, common_subsequence());
        sum = g_mix(sum, knapsack(&seed));
        sum = g_mix(sum, matrix_chain(&seed));
    }
    g_line("dynprog", sum);
    return 0;
}
