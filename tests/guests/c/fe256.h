/* Arithmetic modulo p = 2^256 - 2^32 - 977, the field of secp256k1 (SEC 2).
 * Four little-endian 64-bit limbs, always fully reduced. */
#ifndef FE256_H
#define FE256_H
#include "guest.h"

typedef struct {
    u64 limb[4];
} fe;

static const fe FE_P = {{0xfffffffefffffc2f, ~0ull, ~0ull, ~0ull}};
static const fe FE_ONE = {{1, 0, 0, 0}};

/* 2^256 modulo p. */
#define FE_FOLD 0x1000003d1u

static inline bool fe_equal(const fe *a, const fe *b) {
    return ((a->limb[0] ^ b->limb[0]) | (a->limb[1] ^ b->limb[1]) | (a->limb[2] ^ b->limb[2]) |
            (a->limb[3] ^ b->limb[3])) == 0;
}

static inline bool fe_is_zero(const fe *a) {
    return (a->limb[0] | a->limb[1] | a->limb[2] | a->limb[3]) == 0;
}

/* r - p when r (with `carry` above its top limb) is at least p. */
static inline void fe_reduce_once(fe *r, u64 carry) {
    u64 t[4];
    u128 acc = FE_FOLD;
    for (int i = 0; i < 4; i++) {
        acc += r->limb[i];
        t[i] = (u64)acc;
        acc >>= 64;
    }
    u64 mask = 0 - ((u64)acc | carry);
    for (int i = 0; i < 4; i++)
        r->limb[i] = (t[i] & mask) | (r->limb[i] & ~mask);
}

static inline void fe_add(fe *r, const fe *a, const fe *b) {
    u128 acc = 0;
    for (int i = 0; i < 4; i++) {
        acc += (u128)a->limb[i] + b->limb[i];
        r->limb[i] = (u64)acc;
        acc >>= 64;
    }
    fe_reduce_once(r, (u64)acc);
}

static inline void fe_sub(fe *r, const fe *a, const fe *b) {
    u64 borrow = 0;
    for (int i = 0; i < 4; i++) {
        u128 d = (u128)a->limb[i] - b->limb[i] - borrow;
        r->limb[i] = (u64)d;
        borrow = (u64)(d >> 64) & 1;
    }
    u64 mask = 0 - borrow;
    u128 acc = 0;
    for (int i = 0; i < 4; i++) {
        acc += (u128)r->limb[i] + (FE_P.limb[i] & mask);
        r->limb[i] = (u64)acc;
        acc >>= 64;
    }
}

static void fe_mul(fe *r, const fe *a, const fe *b) {
    u64 t[8] = {0};
    for (int i = 0; i < 4; i++) {
        u64 carry = 0;
        for (int j = 0; j < 4; j++) {
            u128 acc = (u128)a->limb[i] * b->limb[j] + t[i + j] + carry;
            t[i + j] = (u64)acc;
            carry = (u64)(acc >> 64);
        }
        t[i + 4] = carry;
    }
    u128 acc = 0;
    for (int i = 0; i < 4; i++) {
        acc += (u128)t[i + 4] * FE_FOLD + t[i];
        r->limb[i] = (u64)acc;
        acc >>= 64;
    }
    /* What is above 2^256 now is below 2^34: fold it once more. */
    acc *= FE_FOLD;
    for (int i = 0; i < 4; i++) {
        acc += r->limb[i];
        r->limb[i] = (u64)acc;
        acc >>= 64;
    }
    fe_reduce_once(r, (u64)acc);
}

static inline void fe_square(fe *r, const fe *a) { fe_mul(r, a, a); }

/* a^(p-2): the inverse, and zero for zero. */
static void fe_invert(fe *r, const fe *a) {
    fe exponent = FE_P, acc = FE_ONE, base = *a;
    exponent.limb[0] -= 2;
    for (int i = 255; i >= 0; i--) {
        fe_square(&acc, &acc);
        if ((exponent.limb[i / 64] >> (i % 64)) & 1)
            fe_mul(&acc, &acc, &base);
    }
    *r = acc;
}

static inline void fe_print(const char *name, const fe *a) {
    g_puts(name);
    g_putc(' ');
    for (int i = 3; i >= 0; i--)
        g_hex(a->limb[i], 16);
    g_putc('\n');
}

#endif
