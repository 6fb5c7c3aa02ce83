/* X25519 (RFC 7748): five limbs of 51 bits, Montgomery ladder. */
#include "guest.h"

typedef u64 fe[5];

#define MASK ((1ull << 51) - 1)

static void carry(fe r, u128 t[5]) {
    for (int i = 0; i < 4; i++) {
        t[i + 1] += (u64)(t[i] >> 51);
        r[i] = (u64)t[i] & MASK;
    }
    r[4] = (u64)t[4] & MASK;
    r[0] += (u64)(t[4] >> 51) * 19;
    r[1] += r[0] >> 51;
    r[0] &= MASK;
}

static void mul(fe r, const fe a, const fe b) {
    u64 b1 = b[1] * 19, b2 = b[2] * 19, b3 = b[3] * 19, b4 = b[4] * 19;
    u128 t[5];
    t[0] = (u128)a[0] * b[0] + (u128)a[1] * b4 + (u128)a[2] * b3 + (u128)a[3] * b2 + (u128)a[4] * b1;
    t[1] = (u128)a[0] * b[1] + (u128)a[1] * b[0] + (u128)a[2] * b4 + (u128)a[3] * b3 + (u128)a[4] * b2;
    t[2] = (u128)a[0] * b[2] + (u128)a[1] * b[1] + (u128)a[2] * b[0] + (u128)a[3] * b4 + (u128)a[4] * b3;
    t[3] = (u128)a[0] * b[3] + (u128)a[1] * b[2] + (u128)a[2] * b[1] + (u128)a[3] * b[0] + (u128)a[4] * b4;
    t[4] = (u128)a[0] * b[4] + (u128)a[1] * b[3] + (u128)a[2] * b[2] + (u128)a[3] * b[1] + (u128)a[4] * b[0];
    carry(r, t);
}

static void mul_small(fe r, const fe a, u64 k) {
    u128 t[5];
    for (int i = 0; i < 5; i++)
        t[i] = (u128)a[i] * k;
    carry(r, t);
}

static void add(fe r, const fe a, const fe b) {
    for (int i = 0; i < 5; i++)
        r[i] = a[i] + b[i];
}

/* Adds a multiple of p first, so that no limb goes below zero. */
static void sub(fe r, const fe a, const fe b) {
    r[0] = a[0] + 4 * (MASK - 18) - b[0];
    for (int i = 1; i < 5; i++)
        r[i] = a[i] + 4 * MASK - b[i];
    u128 t[5];
    for (int i = 0; i < 5; i++)
        t[i] = r[i];
    carry(r, t);
}

static void invert(fe r, const fe a) {
    /* a^(p-2); p - 2 = 2^255 - 21 has all bits set but bits 2 and 4. */
    fe acc = {1};
    for (int bit = 254; bit >= 0; bit--) {
        mul(acc, acc, acc);
        if (bit != 2 && bit != 4)
            mul(acc, acc, a);
    }
    memcpy(r, acc, sizeof acc);
}

static void load(fe r, const u8 b[32]) {
    u64 w[4];
    memcpy(w, b, 32);
    r[0] = w[0] & MASK;
    r[1] = (w[0] >> 51 | w[1] << 13) & MASK;
    r[2] = (w[1] >> 38 | w[2] << 26) & MASK;
    r[3] = (w[2] >> 25 | w[3] << 39) & MASK;
    r[4] = w[3] >> 12 & MASK;
}

static void store(u8 b[32], const fe a) {
    u128 t[5];
    fe r;
    for (int i = 0; i < 5; i++)
        t[i] = a[i];
    carry(r, t);
    /* Subtract p when r >= p, by the carry out of r + 19. */
    u64 c = 19;
    for (int i = 0; i < 5; i++)
        c = (r[i] + c) >> 51;
    c *= 19;
    for (int i = 0; i < 5; i++) {
        c += r[i];
        r[i] = c & MASK;
        c >>= 51;
    }
    u64 w[4] = {r[0] | r[1] << 51, r[1] >> 13 | r[2] << 38, r[2] >> 26 | r[3] << 25, r[3] >> 39 | r[4] << 12};
    memcpy(b, w, 32);
}

static void conditional_swap(fe a, fe b, u64 bit) {
    u64 mask = 0 - bit;
    for (int i = 0; i < 5; i++) {
        u64 t = (a[i] ^ b[i]) & mask;
        a[i] ^= t;
        b[i] ^= t;
    }
}

static void x25519(u8 out[32], const u8 scalar[32], const u8 point[32]) {
    u8 k[32];
    memcpy(k, scalar, 32);
    k[0] &= 248;
    k[31] = (k[31] & 127) | 64;
    fe x1, x2 = {1}, z2 = {0}, x3, z3 = {1};
    load(x1, point);
    memcpy(x3, x1, sizeof x1);
    u64 swapped = 0;
    for (int t = 254; t >= 0; t--) {
        u64 bit = k[t / 8] >> (t % 8) & 1;
        conditional_swap(x2, x3, swapped ^ bit);
        conditional_swap(z2, z3, swapped ^ bit);
        swapped = bit;
        fe a, aa, b, bb, e, c, d, da, cb;
        add(a, x2, z2);
        mul(aa, a, a);
        sub(b, x2, z2);
        mul(bb, b, b);
        sub(e, aa, bb);
        add(c, x3, z3);
        sub(d, x3, z3);
        mul(da, d, a);
        mul(cb, c, b);
        add(x3, da, cb);
        mul(x3, x3, x3);
        sub(z3, da, cb);
        mul(z3, z3, z3);
        mul(z3, z3, x1);
        mul(x2, aa, bb);
        mul_small(z2, e, 121665);
        add(z2, z2, aa);
        mul(z2, z2, e);
    }
    conditional_swap(x2, x3, swapped);
    conditional_swap(z2, z3, swapped);
    invert(z2, z2);
    mul(x2, x2, z2);
    store(out, x2);
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 10);
    u8 k[32] = {9}, u[32] = {9}, result[32];
    for (u64 i = 0; i < count; i++) {
        x25519(result, k, u);
        memcpy(u, k, 32);
        memcpy(k, result, 32);
        if (i == 0)
            g_check(k[0] == 0x42 && k[1] == 0x2c && k[31] == 0x79, "one iteration of section 5.2");
        if (i == 999)
            g_check(k[0] == 0x68 && k[1] == 0x4c && k[31] == 0x51, "thousand iterations of section 5.2");
    }
    g_line_bytes("x25519", k, 32);
    return 0;
}
