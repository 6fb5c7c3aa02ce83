/* Digits of pi and e with numbers of many words: Machin's formula, and products by
 * Karatsuba's method, checked against the plain ones. */
#include "guest.h"

enum { WORDS = 64 };

/* Fixed point: word 0 is the integer part, then WORDS words of fraction. */
typedef struct {
    u32 word[WORDS + 1];
} fixed;

static bool divide_small(fixed *r, const fixed *a, u32 d) {
    u64 rest = 0;
    u32 any = 0;
    for (int i = 0; i <= WORDS; i++) {
        rest = rest << 32 | a->word[i];
        r->word[i] = (u32)(rest / d);
        any |= r->word[i];
        rest %= d;
    }
    return any != 0;
}

static void multiply_small(fixed *a, u32 m) {
    u64 carry = 0;
    for (int i = WORDS; i >= 0; i--) {
        carry += (u64)a->word[i] * m;
        a->word[i] = (u32)carry;
        carry >>= 32;
    }
}

static void add(fixed *a, const fixed *b) {
    u64 carry = 0;
    for (int i = WORDS; i >= 0; i--) {
        carry += (u64)a->word[i] + b->word[i];
        a->word[i] = (u32)carry;
        carry >>= 32;
    }
}

static void subtract(fixed *a, const fixed *b) {
    i64 borrow = 0;
    for (int i = WORDS; i >= 0; i--) {
        borrow += (i64)a->word[i] - b->word[i];
        a->word[i] = (u32)borrow;
        borrow >>= 32;
    }
}

/* arctan(1/n) = 1/n - 1/3n^3 + 1/5n^5 - ... */
static void arctan_inverse(fixed *sum, u32 n) {
    fixed power = {{1}}, term;
    divide_small(&power, &power, n);
    *sum = power;
    for (u32 k = 3; divide_small(&power, &power, n * n); k += 2) {
        divide_small(&term, &power, k);
        if (k & 2)
            subtract(sum, &term);
        else
            add(sum, &term);
    }
}

static void pi(fixed *r) {
    fixed t;
    arctan_inverse(r, 5);
    multiply_small(r, 4);
    arctan_inverse(&t, 239);
    subtract(r, &t);
    multiply_small(r, 4);
}

static void euler(fixed *r) {
    fixed term = {{1}};
    *r = term;
    for (u32 k = 1; divide_small(&term, &term, k); k++)
        add(r, &term);
}

/* ---- products of n words, little-endian, n a power of two ---- */

static void multiply_plain(u32 *r, const u32 *a, const u32 *b, int n) {
    memset(r, 0, (size_t)n * 8);
    for (int i = 0; i < n; i++) {
        u64 carry = 0;
        for (int j = 0; j < n; j++) {
            carry += (u64)a[i] * b[j] + r[i + j];
            r[i + j] = (u32)carry;
            carry >>= 32;
        }
        r[i + n] = (u32)carry;
    }
}

static u32 add_words(u32 *r, const u32 *a, int n) {
    u64 carry = 0;
    for (int i = 0; i < n; i++) {
        carry += (u64)r[i] + a[i];
        r[i] = (u32)carry;
        carry >>= 32;
    }
    return (u32)carry;
}

static u32 subtract_words(u32 *r, const u32 *a, int n) {
    i64 borrow = 0;
    for (int i = 0; i < n; i++) {
        borrow += (i64)r[i] - a[i];
        r[i] = (u32)borrow;
        borrow >>= 32;
    }
    return (u32)(-borrow);
}

/* r = |a - b|; true when a < b. */
static bool difference(u32 *r, const u32 *a, const u32 *b, int n) {
    memcpy(r, a, (size_t)n * 4);
    if (!subtract_words(r, b, n))
        return false;
    memcpy(r, b, (size_t)n * 4);
    subtract_words(r, a, n);
    return true;
}

static void karatsuba(u32 *r, const u32 *a, const u32 *b, int n) {
    if (n <= 8) {
        multiply_plain(r, a, b, n);
        return;
    }
    int h = n / 2;
    u32 da[WORDS / 2], db[WORDS / 2], middle[WORDS], low[WORDS];
    karatsuba(r, a, b, h);
    karatsuba(r + n, a + h, b + h, h);
    bool negative = difference(da, a + h, a, h) ^ difference(db, b + h, b, h);
    karatsuba(middle, da, db, h);
    /* low + high - (a1 - a0)(b1 - b0), added at the middle. */
    memcpy(low, r, (size_t)n * 4);
    u32 carry = add_words(low, r + n, n);
    if (negative)
        carry += add_words(low, middle, n);
    else
        carry -= subtract_words(low, middle, n);
    carry += add_words(r + h, low, n);
    for (int i = n + h; carry && i < 2 * n; i++) {
        u64 t = (u64)r[i] + carry;
        r[i] = (u32)t;
        carry = (u32)(t >> 32);
    }
}

static u64 print_digits(const char *name, fixed v, int digits) {
    u64 sum = 0;
    g_puts(name);
    g_putc(' ');
    g_dec(v.word[0]);
    g_putc('.');
    for (int i = 0; i < digits; i++) {
        v.word[0] = 0;
        multiply_small(&v, 10);
        sum = g_mix(sum, v.word[0]);
        if (i < 50)
            g_putc((char)('0' + v.word[0]));
    }
    g_putc('\n');
    return sum;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 2);
    fixed p, e;
    u64 sum = 0;
    u32 a[WORDS], b[WORDS], fast[2 * WORDS], plain[2 * WORDS];
    for (u64 round = 0; round < count; round++) {
        pi(&p);
        euler(&e);
        for (int i = 0; i < WORDS; i++) {
            a[i] = p.word[WORDS - i] ^ (u32)round;
            b[i] = e.word[WORDS - i];
        }
        for (int k = 0; k < 20; k++) {
            karatsuba(fast, a, b, WORDS);
            multiply_plain(plain, a, b, WORDS);
            g_check(memcmp(fast, plain, sizeof plain) == 0, "products agree");
            memcpy(a, fast + WORDS / 2, sizeof a);
        }
        sum = g_mix(sum, a[0]);
    }
    sum = g_mix(sum, print_digits("pi", p, 600));
    sum = g_mix(sum, print_digits("e", e, 600));
    g_line("pidigits", sum);
    return 0;
}
