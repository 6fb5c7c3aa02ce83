/* 128-bit integers: products, sums, shifts, comparisons, signed and unsigned,
 * and a long division of its own. */
#include "guest.h"

static u128 make(u64 *seed) {
    u64 high = g_rand(seed), low = g_rand(seed);
    /* A third of the values have a short upper half. */
    if (high % 3 == 0)
        high >>= low & 63;
    return (u128)high << 64 | low;
}

/* Quotient and remainder, one bit at a time, skipping leading zeros. */
static u128 divide(u128 n, u128 d, u128 *remainder) {
    u128 q = 0, r = 0;
    int bits = (u64)(n >> 64) ? 128 : 64;
    for (int i = bits - 1; i >= 0; i--) {
        r = r << 1 | ((n >> i) & 1);
        q <<= 1;
        if (r >= d) {
            r -= d;
            q |= 1;
        }
    }
    *remainder = r;
    return q;
}

static u64 fold(u64 sum, u128 v) { return g_mix(g_mix(sum, (u64)v), (u64)(v >> 64)); }

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 4);
    u64 seed = 9, sum = 0;
    for (u64 round = 0; round < count; round++) {
        u128 a = make(&seed), b = make(&seed) | 1;
        for (int i = 0; i < 20000; i++) {
            a = a * b + ((u128)(u64)a * (u64)b >> 31);
            b ^= a << (a & 127 & ~1u);
            b -= (u128)((i128)a >> ((u64)b & 127));
            a = (a >> 17) | (a << 111);
            if ((i128)a < (i128)b)
                b += a;
            else if (a < b)
                b = ~b - a;
            b |= 1;
        }
        sum = fold(fold(sum, a), b);
        for (int i = 0; i < 300; i++) {
            u128 n = make(&seed), d = make(&seed) >> (g_rand(&seed) & 127), r;
            if (!d)
                d = 3;
            u128 q = divide(n, d, &r);
            g_check(q * d + r == n && r < d, "q d + r is n");
            sum = fold(fold(sum, q), r);
        }
    }
    g_line("int128", sum);
    return 0;
}
