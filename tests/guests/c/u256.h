/* Unsigned 256-bit integers, four little-endian limbs. */
#ifndef U256_H
#define U256_H
#include "guest.h"

typedef struct {
    u64 limb[4];
} u256;

static inline u256 u256_from(u64 v) { return (u256){{v}}; }

static inline bool u256_is_zero(const u256 *a) {
    return (a->limb[0] | a->limb[1] | a->limb[2] | a->limb[3]) == 0;
}

static inline int u256_compare(const u256 *a, const u256 *b) {
    for (int i = 3; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* Returns the carry. */
static inline u64 u256_add(u256 *r, const u256 *a, const u256 *b) {
    u128 acc = 0;
    for (int i = 0; i < 4; i++) {
        acc += (u128)a->limb[i] + b->limb[i];
        r->limb[i] = (u64)acc;
        acc >>= 64;
    }
    return (u64)acc;
}

static inline void u256_sub(u256 *r, const u256 *a, const u256 *b) {
    u64 borrow = 0;
    for (int i = 0; i < 4; i++) {
        u128 d = (u128)a->limb[i] - b->limb[i] - borrow;
        r->limb[i] = (u64)d;
        borrow = (u64)(d >> 64) & 1;
    }
}

static inline void u256_multiply_wide(u64 t[8], const u256 *a, const u256 *b) {
    memset(t, 0, 64);
    for (int i = 0; i < 4; i++) {
        u64 carry = 0;
        for (int j = 0; j < 4; j++) {
            u128 acc = (u128)a->limb[i] * b->limb[j] + t[i + j] + carry;
            t[i + j] = (u64)acc;
            carry = (u64)(acc >> 64);
        }
        t[i + 4] = carry;
    }
}

static inline void u256_mul(u256 *r, const u256 *a, const u256 *b) {
    u64 t[4] = {0};
    for (int i = 0; i < 4; i++) {
        u64 carry = 0;
        for (int j = 0; i + j < 4; j++) {
            u128 acc = (u128)a->limb[i] * b->limb[j] + t[i + j] + carry;
            t[i + j] = (u64)acc;
            carry = (u64)(acc >> 64);
        }
    }
    memcpy(r->limb, t, 32);
}

static inline void u256_shift_left(u256 *r, const u256 *a, u32 n) {
    u256 t = {{0}};
    u32 words = n / 64, bits = n % 64;
    for (u32 i = words; i < 4; i++) {
        t.limb[i] = a->limb[i - words] << bits;
        if (bits && i > words)
            t.limb[i] |= a->limb[i - words - 1] >> (64 - bits);
    }
    *r = t;
}

static inline void u256_shift_right(u256 *r, const u256 *a, u32 n) {
    u256 t = {{0}};
    u32 words = n / 64, bits = n % 64;
    for (u32 i = 0; i + words < 4; i++) {
        t.limb[i] = a->limb[i + words] >> bits;
        if (bits && i + words < 3)
            t.limb[i] |= a->limb[i + words + 1] << (64 - bits);
    }
    *r = t;
}

/* n of eight limbs modulo and by d, which is not zero (Knuth's algorithm D on
 * 32-bit digits). q may be NULL; it receives the low four limbs. */
static void u256_divide_wide(u256 *q, u256 *r, const u64 n[8], const u256 *d) {
    u32 u[17], v[8], digits[16] = {0};
    int m = 16, k = 8;
    for (int i = 0; i < 16; i++)
        u[i] = (u32)(n[i / 2] >> (32 * (i & 1)));
    for (int i = 0; i < 8; i++)
        v[i] = (u32)(d->limb[i / 2] >> (32 * (i & 1)));
    u[16] = 0;
    while (!v[k - 1])
        k--;
    while (m > k && !u[m - 1])
        m--;
    if (k == 1) {
        u64 rest = 0;
        for (int i = m - 1; i >= 0; i--) {
            rest = rest << 32 | u[i];
            digits[i] = (u32)(rest / v[0]);
            rest %= v[0];
        }
        *r = u256_from(rest);
    } else {
        int s = __builtin_clz(v[k - 1]);
        for (int i = k - 1; i > 0; i--)
            v[i] = (u32)(((u64)v[i] << 32 | v[i - 1]) >> (32 - s));
        v[0] <<= s;
        u[m] = (u32)((u64)u[m - 1] >> (32 - s));
        for (int i = m - 1; i > 0; i--)
            u[i] = (u32)(((u64)u[i] << 32 | u[i - 1]) >> (32 - s));
        u[0] <<= s;
        for (int j = m - k; j >= 0; j--) {
            u64 top = (u64)u[j + k] << 32 | u[j + k - 1];
            u64 estimate = top / v[k - 1], rest = top % v[k - 1];
            while (estimate >> 32 || estimate * v[k - 2] > (rest << 32 | u[j + k - 2])) {
                estimate--;
                rest += v[k - 1];
                if (rest >> 32)
                    break;
            }
            i64 borrow = 0, t;
            for (int i = 0; i < k; i++) {
                u64 product = estimate * v[i];
                t = (i64)u[i + j] - borrow - (i64)(product & 0xffffffff);
                u[i + j] = (u32)t;
                borrow = (i64)(product >> 32) - (t >> 32);
            }
            t = (i64)u[j + k] - borrow;
            u[j + k] = (u32)t;
            if (t < 0) {
                estimate--;
                u64 carry = 0;
                for (int i = 0; i < k; i++) {
                    carry += (u64)u[i + j] + v[i];
                    u[i + j] = (u32)carry;
                    carry >>= 32;
                }
                u[j + k] += (u32)carry;
            }
            digits[j] = (u32)estimate;
        }
        *r = u256_from(0);
        for (int i = 0; i < k; i++)
            r->limb[i / 2] |= (u64)(u32)(((u64)u[i + 1] << 32 | u[i]) >> s) << (32 * (i & 1));
    }
    if (q)
        for (int i = 0; i < 4; i++)
            q->limb[i] = digits[2 * i] | (u64)digits[2 * i + 1] << 32;
}

#endif
