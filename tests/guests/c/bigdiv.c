/* Division of big numbers: Knuth's algorithm D with 32-bit digits, checked by
 * multiplying back. */
#include "guest.h"

enum { MAX = 192 };

/* (u of m+n digits, v of n >= 2 digits, top digit of v not zero):
 * q = u / v (m+1 digits), r = u mod v (n digits). */
static __attribute__((noinline)) void divide(u32 *q, u32 *r, const u32 *u, const u32 *v, int m, int n) {
    u32 un[MAX + 1], vn[MAX];
    int s = __builtin_clz(v[n - 1]);
    for (int i = n - 1; i > 0; i--)
        vn[i] = (u32)(((u64)v[i] << 32 | v[i - 1]) >> (32 - s));
    vn[0] = v[0] << s;
    un[m + n] = (u32)((u64)u[m + n - 1] >> (32 - s));
    for (int i = m + n - 1; i > 0; i--)
        un[i] = (u32)(((u64)u[i] << 32 | u[i - 1]) >> (32 - s));
    un[0] = u[0] << s;

    for (int j = m; j >= 0; j--) {
        u64 top = (u64)un[j + n] << 32 | un[j + n - 1];
        u64 qhat = top / vn[n - 1], rhat = top % vn[n - 1];
        while (qhat >> 32 || qhat * vn[n - 2] > (rhat << 32 | un[j + n - 2])) {
            qhat--;
            rhat += vn[n - 1];
            if (rhat >> 32)
                break;
        }
        i64 borrow = 0;
        for (int i = 0; i < n; i++) {
            u64 product = qhat * vn[i];
            i64 t = (i64)un[i + j] - borrow - (i64)(product & 0xffffffff);
            un[i + j] = (u32)t;
            borrow = (i64)(product >> 32) - (t >> 32);
        }
        i64 t = (i64)un[j + n] - borrow;
        un[j + n] = (u32)t;
        if (t < 0) {
            /* The estimate was one too large: add the divisor back. */
            qhat--;
            u64 carry = 0;
            for (int i = 0; i < n; i++) {
                carry += (u64)un[i + j] + vn[i];
                un[i + j] = (u32)carry;
                carry >>= 32;
            }
            un[j + n] += (u32)carry;
        }
        q[j] = (u32)qhat;
    }
    for (int i = 0; i < n; i++)
        r[i] = (u32)(((u64)un[i + 1] << 32 | un[i]) >> s);
}

/* t = q v + r. */
static __attribute__((noinline)) void multiply_back(u32 *t, const u32 *q, const u32 *v, const u32 *r, int m, int n) {
    for (int i = 0; i < m + n + 1; i++)
        t[i] = i < n ? r[i] : 0;
    for (int i = 0; i <= m; i++) {
        u64 carry = 0;
        for (int j = 0; j < n; j++) {
            carry += (u64)q[i] * v[j] + t[i + j];
            t[i + j] = (u32)carry;
            carry >>= 32;
        }
        for (int j = i + n; carry && j < m + n + 1; j++) {
            carry += t[j];
            t[j] = (u32)carry;
            carry >>= 32;
        }
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 300);
    u64 seed = 8, sum = 0;
    u32 u[MAX], v[MAX], q[MAX], r[MAX], t[MAX + 2];
    for (u64 round = 0; round < count; round++) {
        int n = 2 + (int)(g_rand(&seed) % 60), m = (int)(g_rand(&seed) % 64);
        for (int i = 0; i < m + n; i++)
            u[i] = (u32)g_rand(&seed);
        for (int i = 0; i < n; i++)
            v[i] = (u32)g_rand(&seed);
        /* Digits of all ones or zeros reach the rare corrections. */
        if (round % 4 == 1)
            for (int i = 0; i < m + n; i++)
                u[i] = g_rand(&seed) & 1 ? 0xffffffff : 0;
        if (round % 4 >= 2)
            for (int i = 0; i < n; i++)
                v[i] = g_rand(&seed) & 1 ? 0xffffffff : 0;
        if (round % 8 == 3)
            v[n - 1] = 0x80000000;
        if (!v[n - 1])
            v[n - 1] = 1;
        divide(q, r, u, v, m, n);
        multiply_back(t, q, v, r, m, n);
        g_check(memcmp(t, u, (size_t)(m + n) * 4) == 0 && t[m + n] == 0, "q v + r is u");
        for (int i = 0; i <= m; i++)
            sum = g_mix(sum, q[i]);
        for (int i = 0; i < n; i++)
            sum = g_mix(sum, r[i]);
    }
    g_line("bigdiv", sum);
    return 0;
}
