/* A program with much text: 2,560 different functions (about 100,000
 * instructions), called through a table in a data-dependent order. Each mixes
 * its arguments by operations that its number selects at compile time. */
#include "guest.h"

typedef u64 (*step)(u64, u64, u64 *);

/* Distinct constants for function n. */
#define C1(n) ((n) * 0x9e3779b97f4a7c15u + 0x1234567u)
#define C2(n) ((n) * 2654435761u ^ 0x5bd1e995u)

#define BODY(n)                                                                                    \
    static __attribute__((noinline)) u64 f##n(u64 a, u64 b, u64 *state) {                          \
        u64 x = a ^ C1(1##n##u), y = b + C2(1##n##u);                                              \
        u64 s = state[(1##n##u * 7) % 61];                                                         \
        if ((1##n##u * 11) % 3 == 0)                                                               \
            x = x * (C2(1##n##u) | 1) + g_rotl64(y, 1 + 1##n##u % 62);                             \
        else if ((1##n##u * 11) % 3 == 1)                                                          \
            x = (x >> (1##n##u % 29 + 1)) + (y << (1##n##u % 31 + 1)) - s;                         \
        else                                                                                       \
            x = (x & C2(1##n##u)) | (y & ~C1(1##n##u));                                            \
        if (y % (1##n##u % 13 + 2) == 1)                                                           \
            y ^= x / ((1##n##u % 1000) + 3);                                                       \
        else if (x > y)                                                                            \
            y -= x ^ s;                                                                            \
        for (u64 k = x & 3; k; k--)                                                                \
            y = y * 5 + (s >> k);                                                                  \
        if ((i32)x < (i32)y)                                                                       \
            s += (u32)(x + y) * (u64)(1##n##u % 255);                                              \
        state[(1##n##u * 13 + 5) % 61] = s ^ x;                                                    \
        return g_mix(x, y);                                                                        \
    }

#define TEN(m, n) m(n##0) m(n##1) m(n##2) m(n##3) m(n##4) m(n##5) m(n##6) m(n##7)
#define HUNDRED(m, n)                                                                              \
    TEN(m, n##0) TEN(m, n##1) TEN(m, n##2) TEN(m, n##3) TEN(m, n##4) TEN(m, n##5) TEN(m, n##6) TEN(m, n##7)
#define THOUSAND(m, n)                                                                             \
    HUNDRED(m, n##0) HUNDRED(m, n##1) HUNDRED(m, n##2) HUNDRED(m, n##3) HUNDRED(m, n##4)           \
    HUNDRED(m, n##5) HUNDRED(m, n##6) HUNDRED(m, n##7)
#define ALL(m) THOUSAND(m, 0) THOUSAND(m, 1) THOUSAND(m, 2) THOUSAND(m, 3) THOUSAND(m, 4)

ALL(BODY)

#define ENTRY(n) f##n,
static const step steps[] = {ALL(ENTRY)};

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 60000);
    u64 state[61], a = 1, b = 2;
    for (u64 i = 0; i < 61; i++)
        state[i] = i * i;
    /* Every function once, then as the values say. */
    for (size_t i = 0; i < G_COUNT(steps); i++)
        b = g_mix(b, a = steps[i](a, b, state));
    for (u64 i = 0; i < count; i++)
        b = g_mix(b, a = steps[(a >> 20) % G_COUNT(steps)](a, b, state));
    g_line_dec("functions", G_COUNT(steps));
    g_line("bigtext", a ^ b);
    return 0;
}
