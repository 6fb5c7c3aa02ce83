/* An algebraic sponge over the 31-bit prime 15 * 2^27 + 1: sixteen words in
 * Montgomery form, seventh powers, circulant and diagonal layers. The round
 * constants are this program's own. */
#include "guest.h"

#define P 0x78000001u

enum { WIDTH = 16, FULL_ROUNDS = 8, PARTIAL_ROUNDS = 13 };

static u32 negated_inverse;
static u32 full_constants[FULL_ROUNDS][WIDTH], partial_constants[PARTIAL_ROUNDS], diagonal[WIDTH];

static inline u32 add(u32 a, u32 b) {
    u32 s = a + b;
    return s >= P ? s - P : s;
}

/* a b / 2^32 modulo P. */
static inline u32 mul(u32 a, u32 b) {
    u64 t = (u64)a * b;
    u32 m = (u32)t * negated_inverse;
    u32 r = (u32)((t + (u64)m * P) >> 32);
    return r >= P ? r - P : r;
}

static u32 to_form(u32 v) { return (u32)(((u64)v << 32) % P); }
static u32 from_form(u32 v) { return mul(v, 1); }

static inline u32 seventh(u32 x) {
    u32 x2 = mul(x, x), x3 = mul(x2, x);
    return mul(mul(x3, x3), x);
}

/* Blocks of four through the circulant (2 3 1 1), then sums across blocks. */
static void mix_full(u32 s[WIDTH]) {
    u32 column[4] = {0};
    for (int at = 0; at < WIDTH; at += 4) {
        u32 a = s[at], b = s[at + 1], c = s[at + 2], d = s[at + 3];
        u32 all = add(add(a, b), add(c, d));
        s[at] = add(all, add(a, add(b, b)));
        s[at + 1] = add(all, add(b, add(c, c)));
        s[at + 2] = add(all, add(c, add(d, d)));
        s[at + 3] = add(all, add(d, add(a, a)));
        for (int k = 0; k < 4; k++)
            column[k] = add(column[k], s[at + k]);
    }
    for (int i = 0; i < WIDTH; i++)
        s[i] = add(s[i], column[i % 4]);
}

static void mix_partial(u32 s[WIDTH]) {
    u32 all = 0;
    for (int i = 0; i < WIDTH; i++)
        all = add(all, s[i]);
    for (int i = 0; i < WIDTH; i++)
        s[i] = add(all, mul(s[i], diagonal[i]));
}

static void permute(u32 s[WIDTH]) {
    mix_full(s);
    for (int round = 0; round < FULL_ROUNDS; round++) {
        if (round == FULL_ROUNDS / 2)
            for (int k = 0; k < PARTIAL_ROUNDS; k++) {
                s[0] = seventh(add(s[0], partial_constants[k]));
                mix_partial(s);
            }
        for (int i = 0; i < WIDTH; i++)
            s[i] = seventh(add(s[i], full_constants[round][i]));
        mix_full(s);
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 700);
    u32 x = 1;
    for (int i = 0; i < 5; i++)
        x *= 2 - P * x;
    negated_inverse = 0 - x;
    u64 seed = 26;
    for (int r = 0; r < FULL_ROUNDS; r++)
        for (int i = 0; i < WIDTH; i++)
            full_constants[r][i] = (u32)(g_rand(&seed) % P);
    for (int k = 0; k < PARTIAL_ROUNDS; k++)
        partial_constants[k] = (u32)(g_rand(&seed) % P);
    for (int i = 0; i < WIDTH; i++)
        diagonal[i] = to_form(2u << i);
    /* 31 generates the multiplicative group: its square root of one is -1. */
    u32 base = to_form(31), half = to_form(1);
    for (u32 e = (P - 1) / 2; e; e >>= 1, base = mul(base, base))
        if (e & 1)
            half = mul(half, base);
    g_check(from_form(half) == P - 1, "31^((p-1)/2) is -1");

    u32 state[WIDTH] = {0};
    for (u64 i = 0; i < count; i++) {
        for (int k = 0; k < WIDTH / 2; k++)
            state[k] = add(state[k], to_form((u32)(g_rand(&seed) % P)));
        permute(state);
    }
    u64 sum = 0;
    for (int i = 0; i < WIDTH; i++)
        sum = g_mix(sum, from_form(state[i]));
    g_line("permute31", sum);
    return 0;
}
