/* String search four ways, which must agree: naive, Knuth-Morris-Pratt,
 * Boyer-Moore-Horspool, Rabin-Karp. */
#include "guest.h"

enum { TEXT = 32 * 1024, PATTERN = 64 };

static u32 naive(const u8 *t, size_t n, const u8 *p, size_t m) {
    u32 hits = 0;
    for (size_t i = 0; i + m <= n; i++) {
        size_t k = 0;
        while (k < m && t[i + k] == p[k])
            k++;
        hits += k == m;
    }
    return hits;
}

static u32 knuth_morris_pratt(const u8 *t, size_t n, const u8 *p, size_t m) {
    u32 border[PATTERN + 1], hits = 0;
    border[0] = 0;
    border[1] = 0;
    for (size_t i = 1, k = 0; i < m; i++) {
        while (k && p[i] != p[k])
            k = border[k];
        k += p[i] == p[k];
        border[i + 1] = (u32)k;
    }
    for (size_t i = 0, k = 0; i < n; i++) {
        while (k && (k == m || t[i] != p[k]))
            k = border[k];
        k += t[i] == p[k];
        hits += k == m;
    }
    return hits;
}

static u32 horspool(const u8 *t, size_t n, const u8 *p, size_t m) {
    u32 skip[256], hits = 0;
    for (int c = 0; c < 256; c++)
        skip[c] = (u32)m;
    for (size_t i = 0; i + 1 < m; i++)
        skip[p[i]] = (u32)(m - 1 - i);
    for (size_t i = 0; i + m <= n; i += skip[t[i + m - 1]])
        hits += t[i + m - 1] == p[m - 1] && memcmp(t + i, p, m) == 0;
    return hits;
}

static u32 rabin_karp(const u8 *t, size_t n, const u8 *p, size_t m) {
    const u64 base = 0x100000001b3u;
    u64 want = 0, have = 0, power = 1;
    for (size_t i = 0; i < m; i++) {
        want = want * base + p[i];
        have = have * base + t[i];
        if (i)
            power *= base;
    }
    u32 hits = 0;
    for (size_t i = 0;; i++) {
        hits += have == want && memcmp(t + i, p, m) == 0;
        if (i + m >= n)
            return hits;
        have = (have - t[i] * power) * base + t[i + m];
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 8);
    static u8 text[TEXT];
    u64 seed = 21, sum = 0;
    for (u64 round = 0; round < count; round++) {
        u64 letters = 2 + round % 6;
        for (size_t i = 0; i < TEXT; i++)
            text[i] = (u8)('a' + (g_rand(&seed) >> 33) % letters);
        size_t m = 3 + g_rand(&seed) % (PATTERN - 3) / (round % 3 ? 8 : 1);
        const u8 *p = text + g_rand(&seed) % (TEXT - PATTERN);
        u32 a = naive(text, TEXT, p, m), b = knuth_morris_pratt(text, TEXT, p, m);
        u32 c = horspool(text, TEXT, p, m), d = rabin_karp(text, TEXT, p, m);
        g_check(a && a == b && a == c && a == d, "four searches agree");
        sum = g_mix(sum, a * 64 + m);
    }
    g_line("strsearch", sum);
    return 0;
}
