/* Number-theoretic transform over the field of p = 2^64 - 2^32 + 1: products
 * of polynomials, checked against the schoolbook method. */
#include "guest.h"

enum { LOG = 11, SIZE = 1 << LOG };

#define P 0xffffffff00000001u
#define EPSILON 0xffffffffu /* 2^64 modulo p */

static inline u64 add(u64 a, u64 b) {
    u64 s = a + b;
    if (s < a)
        s += EPSILON;
    return s >= P ? s - P : s;
}

static inline u64 sub(u64 a, u64 b) { return a >= b ? a - b : a - b + P; }

/* 2^64 = 2^32 - 1 and 2^96 = -1 modulo p. */
static inline u64 mul(u64 a, u64 b) {
    u128 product = (u128)a * b;
    u64 low = (u64)product, high = (u64)(product >> 64);
    u64 top = high >> 32, middle = high & EPSILON;
    u64 t = low - top;
    if (low < top)
        t -= EPSILON;
    u64 m = middle * EPSILON, s = t + m;
    if (s < m)
        s += EPSILON;
    return s >= P ? s - P : s;
}

static u64 power(u64 base, u64 exponent) {
    u64 r = 1;
    for (; exponent; exponent >>= 1, base = mul(base, base))
        if (exponent & 1)
            r = mul(r, base);
    return r;
}

static u64 roots[SIZE], a[SIZE], b[SIZE], c[SIZE];

static void transform(u64 *v, bool inverse) {
    for (u32 i = 0, j = 0; i < SIZE; i++) {
        if (i < j) {
            u64 t = v[i];
            v[i] = v[j];
            v[j] = t;
        }
        u32 bit = SIZE / 2;
        while (j & bit) {
            j ^= bit;
            bit /= 2;
        }
        j |= bit;
    }
    for (u32 half = 1, step = SIZE / 2; half < SIZE; half *= 2, step /= 2)
        for (u32 start = 0; start < SIZE; start += 2 * half)
            for (u32 k = 0; k < half; k++) {
                u32 index = k * step;
                u64 w = roots[inverse && index ? SIZE - index : index];
                u64 x = v[start + k], y = mul(v[start + half + k], w);
                v[start + k] = add(x, y);
                v[start + half + k] = sub(x, y);
            }
    if (inverse) {
        u64 scale = power(SIZE, P - 2);
        for (u32 i = 0; i < SIZE; i++)
            v[i] = mul(v[i], scale);
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 6);
    /* 7 generates the multiplicative group. */
    u64 root = power(7, (P - 1) >> LOG);
    roots[0] = 1;
    for (u32 i = 1; i < SIZE; i++)
        roots[i] = mul(roots[i - 1], root);
    g_check(mul(roots[SIZE - 1], root) == 1 && roots[SIZE / 2] == P - 1, "root of unity");

    u64 seed = 25, sum = 0;
    for (u64 round = 0; round < count; round++) {
        for (u32 i = 0; i < SIZE; i++) {
            a[i] = i < SIZE / 2 ? g_rand(&seed) % P : 0;
            b[i] = i < SIZE / 2 ? g_rand(&seed) % P : 0;
        }
        u32 at = (u32)(g_rand(&seed) % (SIZE - 1));
        u64 expected = 0;
        for (u32 i = 0; i <= at; i++)
            expected = add(expected, mul(a[i], b[at - i]));
        transform(a, false);
        transform(b, false);
        for (u32 i = 0; i < SIZE; i++)
            c[i] = mul(a[i], b[i]);
        transform(c, true);
        g_check(c[at] == expected, "coefficient of the product");
        for (u32 i = 0; i < SIZE; i += 5)
            sum = g_mix(sum, c[i]);
    }
    g_line("ntt", sum);
    return 0;
}
