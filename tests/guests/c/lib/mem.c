/* Memory and string routines of a freestanding program: a word at a time when
 * both sides share their alignment, else byte by byte. Compiled without loop
 * pattern recognition, which would turn each loop into a call of itself. */
#include "guest.h"

typedef u64 __attribute__((may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    u8 *d = to;
    const u8 *s = from;
    if ((((uintptr_t)d ^ (uintptr_t)s) & 7) == 0) {
        while (n && ((uintptr_t)d & 7)) {
            *d++ = *s++;
            n--;
        }
        while (n >= 32) {
            const word *ws = (const word *)s;
            word a = ws[0], b = ws[1], c = ws[2], e = ws[3];
            word *wd = (word *)d;
            wd[0] = a, wd[1] = b, wd[2] = c, wd[3] = e;
            d += 32, s += 32, n -= 32;
        }
        while (n >= 8) {
            *(word *)d = *(const word *)s;
            d += 8, s += 8, n -= 8;
        }
    }
    while (n--)
        *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    u8 *d = to;
    const u8 *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= n)
        return memcpy(to, from, n);
    d += n, s += n;
    if ((((uintptr_t)d ^ (uintptr_t)s) & 7) == 0) {
        while (n && ((uintptr_t)d & 7)) {
            *--d = *--s;
            n--;
        }
        while (n >= 8) {
            d -= 8, s -= 8, n -= 8;
            *(word *)d = *(const word *)s;
        }
    }
    while (n--)
        *--d = *--s;
    return to;
}

void *memset(void *to, int byte, size_t n) {
    u8 *d = to;
    word pattern = (u8)byte * 0x0101010101010101u;
    while (n && ((uintptr_t)d & 7)) {
        *d++ = (u8)byte;
        n--;
    }
    while (n >= 32) {
        word *wd = (word *)d;
        wd[0] = pattern, wd[1] = pattern, wd[2] = pattern, wd[3] = pattern;
        d += 32, n -= 32;
    }
    while (n >= 8) {
        *(word *)d = pattern;
        d += 8, n -= 8;
    }
    while (n--)
        *d++ = (u8)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const u8 *x = a, *y = b;
    if ((((uintptr_t)x | (uintptr_t)y) & 7) == 0)
        while (n >= 8 && *(const word *)x == *(const word *)y)
            x += 8, y += 8, n -= 8;
    for (; n; x++, y++, n--)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

size_t strlen(const char *s) {
    const char *p = s;
    for (; (uintptr_t)p & 7; p++)
        if (!*p)
            return (size_t)(p - s);
    for (;; p += 8) {
        word w = *(const word *)p;
        if ((w - 0x0101010101010101u) & ~w & 0x8080808080808080u)
            break;
    }
    while (*p)
        p++;
    return (size_t)(p - s);
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}
