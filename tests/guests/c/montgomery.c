/* Montgomery multiplication in the 381-bit base field of BLS12-381. */
#include "guest.h"

enum { LIMBS = 6 };

typedef struct {
    u64 limb[LIMBS];
} fp;

static const fp P = {{0xb9feffffffffaaab, 0x1eabfffeb153ffff, 0x6730d2a0f6b0f624,
                      0x64774b84f38512bf, 0x4b1ba7b6434bacd7, 0x1a0111ea397fe69a}};

/* -1/p modulo 2^64, by Newton iteration: each step doubles the exact bits. */
static u64 negated_inverse(void) {
    u64 x = 1;
    for (int i = 0; i < 6; i++)
        x *= 2 - P.limb[0] * x;
    return 0 - x;
}

static bool at_least_p(const fp *a) {
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != P.limb[i])
            return a->limb[i] > P.limb[i];
    return true;
}

static void subtract_p(fp *a) {
    u64 borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        u128 d = (u128)a->limb[i] - P.limb[i] - borrow;
        a->limb[i] = (u64)d;
        borrow = (u64)(d >> 64) & 1;
    }
}

static void fp_add(fp *r, const fp *a, const fp *b) {
    u128 acc = 0;
    for (int i = 0; i < LIMBS; i++) {
        acc += (u128)a->limb[i] + b->limb[i];
        r->limb[i] = (u64)acc;
        acc >>= 64;
    }
    if (at_least_p(r))
        subtract_p(r);
}

/* a b / 2^384 modulo p; operands below p. The top limb of p has free bits, so
 * that no carry leaves the sixth limb. */
static void fp_mul(fp *r, const fp *a, const fp *b, u64 inv) {
    u64 t[LIMBS + 1] = {0};
    for (int i = 0; i < LIMBS; i++) {
        u64 carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            u128 acc = (u128)a->limb[j] * b->limb[i] + t[j] + carry;
            t[j] = (u64)acc;
            carry = (u64)(acc >> 64);
        }
        t[LIMBS] += carry;
        u64 m = t[0] * inv;
        u128 acc = (u128)m * P.limb[0] + t[0];
        carry = (u64)(acc >> 64);
        for (int j = 1; j < LIMBS; j++) {
            acc = (u128)m * P.limb[j] + t[j] + carry;
            t[j - 1] = (u64)acc;
            carry = (u64)(acc >> 64);
        }
        acc = (u128)t[LIMBS] + carry;
        t[LIMBS - 1] = (u64)acc;
        t[LIMBS] = (u64)(acc >> 64);
    }
    memcpy(r->limb, t, sizeof r->limb);
    if (at_least_p(r))
        subtract_p(r);
}

static void fp_print(const char *name, const fp *a) {
    g_puts(name);
    g_putc(' ');
    for (int i = LIMBS - 1; i >= 0; i--)
        g_hex(a->limb[i], 16);
    g_putc('\n');
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 18);
    u64 inv = negated_inverse();
    g_check(P.limb[0] * inv == ~0ull, "inverse of p");

    /* 2^384 and 2^768 modulo p by doubling: one, and the factor into
     * Montgomery form. */
    fp one = {{1}}, factor;
    for (int i = 0; i < 384; i++)
        fp_add(&one, &one, &one);
    factor = one;
    for (int i = 0; i < 384; i++)
        fp_add(&factor, &factor, &factor);

    u64 seed = 7;
    fp x;
    for (int i = 0; i < LIMBS; i++)
        x.limb[i] = g_rand(&seed);
    x.limb[LIMBS - 1] >>= 4;
    fp_mul(&x, &x, &factor, inv);

    /* Fermat: x^(p-1) = 1. */
    for (u64 i = 0; i < count; i++) {
        fp acc = one, exponent = P;
        exponent.limb[0] -= 1;
        for (int bit = 64 * LIMBS - 1; bit >= 0; bit--) {
            fp_mul(&acc, &acc, &acc, inv);
            if ((exponent.limb[bit / 64] >> (bit % 64)) & 1)
                fp_mul(&acc, &acc, &x, inv);
        }
        g_check(memcmp(&acc, &one, sizeof acc) == 0, "x^(p-1) is one");
        fp_mul(&x, &x, &x, inv);
        fp_add(&x, &x, &one);
    }
    fp plain = {{1}};
    fp_mul(&plain, &x, &plain, inv);
    fp_print("x", &plain);
    return 0;
}
