/* String and memory routines over many lengths and alignments. */
#include "guest.h"

enum { SIZE = 4096 };

static u8 from[SIZE + 16], to[SIZE + 16];

static size_t copy_string(char *d, const char *s) {
    size_t n = 0;
    while ((d[n] = s[n]))
        n++;
    return n;
}

static const char *find_byte(const char *s, char c) {
    for (; *s; s++)
        if (*s == c)
            return s;
    return NULL;
}

static u64 to_number(const char *s, const char **end) {
    u64 v = 0;
    while (*s >= '0' && *s <= '9')
        v = v * 10 + (u64)(*s++ - '0');
    *end = s;
    return v;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 12);
    u64 seed = 14, sum = 0;
    for (u64 round = 0; round < count; round++) {
        for (size_t i = 0; i < SIZE; i++)
            from[i] = (u8)(1 + g_rand(&seed) % 255);
        for (int k = 0; k < 64; k++) {
            size_t a = g_rand(&seed) % 16, b = g_rand(&seed) % 16;
            size_t n = g_rand(&seed) % (k % 4 ? 300 : SIZE);
            memcpy(to + a, from + b, n);
            g_check(memcmp(to + a, from + b, n) == 0, "memcpy");
            memmove(to + b, to + a, n);
            g_check(memcmp(to + b, from + b, n) == 0, "memmove");
            memset(from + a, (int)k, n / 4);
            for (size_t i = 0; i < SIZE; i += 509)
                sum = g_mix(sum, to[i] | (u64)from[i] << 8);
        }

        /* A line of words and numbers, taken apart again. */
        char *line = (char *)from, *copy = (char *)to;
        size_t used = 0;
        while (used < SIZE - 64) {
            for (u64 n = 1 + g_rand(&seed) % 12; n; n--)
                line[used++] = (char)('a' + g_rand(&seed) % 26);
            line[used++] = '=';
            char digits[20];
            int d = 0;
            u64 v = g_rand(&seed) >> (g_rand(&seed) & 63);
            do
                digits[d++] = (char)('0' + v % 10);
            while (v /= 10);
            while (d)
                line[used++] = digits[--d];
            line[used++] = ';';
        }
        line[used] = 0;
        g_check(strlen(line) == used, "strlen");
        g_check(copy_string(copy, line) == used && strcmp(copy, line) == 0, "copy");
        for (const char *p = copy; *p;) {
            const char *equals = find_byte(p, '='), *end;
            g_check(equals != NULL, "equals sign");
            sum = g_mix(sum, to_number(equals + 1, &end));
            sum = g_mix(sum, (u64)(equals - p));
            p = end + 1;
        }
        copy[used / 2] ^= 1;
        sum = g_mix(sum, (u64)(i64)strcmp(copy, line));
    }
    g_line("strmem", sum);
    return 0;
}
