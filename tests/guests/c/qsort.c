/* Sorting through function pointers: quicksort with insertion sort for short
 * runs, elements of any size, four orders over one table. */
#include "guest.h"

typedef int (*order)(const void *, const void *);

typedef struct {
    u32 key;
    i32 weight;
    char name[8];
} record;

static void swap(u8 *a, u8 *b, size_t size) {
    while (size--) {
        u8 t = *a;
        *a++ = *b;
        *b++ = t;
    }
}

static void sort(void *base, size_t n, size_t size, order compare) {
    u8 *p = base;
    while (n > 12) {
        u8 *mid = p + n / 2 * size, *last = p + (n - 1) * size;
        if (compare(mid, p) < 0)
            swap(mid, p, size);
        if (compare(last, mid) < 0) {
            swap(last, mid, size);
            if (compare(mid, p) < 0)
                swap(mid, p, size);
        }
        /* The median waits at the second place while the rest is split. */
        u8 *pivot = p + size;
        swap(mid, pivot, size);
        u8 *low = pivot, *high = last;
        for (;;) {
            do
                low += size;
            while (compare(low, pivot) < 0);
            do
                high -= size;
            while (compare(pivot, high) < 0);
            if (low >= high)
                break;
            swap(low, high, size);
        }
        swap(pivot, high, size);
        size_t left = (size_t)(high - p) / size, right = n - left - 1;
        /* Recursion on the shorter side bounds the depth. */
        if (left < right) {
            sort(p, left, size, compare);
            p = high + size, n = right;
        } else {
            sort(high + size, right, size, compare);
            n = left;
        }
    }
    for (size_t i = 1; i < n; i++)
        for (u8 *x = p + i * size; x > p && compare(x, x - size) < 0; x -= size)
            swap(x, x - size, size);
}

static int by_key(const void *a, const void *b) {
    const record *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int by_weight(const void *a, const void *b) {
    const record *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight ? -1 : 1) : by_key(a, b);
}

static int by_name(const void *a, const void *b) {
    int c = memcmp(((const record *)a)->name, ((const record *)b)->name, 8);
    return c ? c : by_key(a, b);
}

static int by_key_down(const void *a, const void *b) { return by_key(b, a); }

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1);
    enum { N = 3000 };
    static record table[N];
    static const order orders[] = {by_key, by_weight, by_name, by_key_down};
    u64 seed = 12, sum = 0;
    for (u64 round = 0; round < count; round++) {
        for (int i = 0; i < N; i++) {
            table[i].key = (u32)g_rand(&seed);
            table[i].weight = (i32)(g_rand(&seed) % 200) - 100;
            u64 bits = g_rand(&seed);
            for (int k = 0; k < 8; k++)
                table[i].name[k] = (char)('a' + (bits >> (8 * k)) % 5);
        }
        for (size_t o = 0; o < G_COUNT(orders); o++) {
            order compare = orders[(o + round) % G_COUNT(orders)];
            sort(table, N, sizeof table[0], compare);
            for (int i = 1; i < N; i++)
                g_check(compare(&table[i - 1], &table[i]) <= 0, "order");
            for (int i = 0; i < N; i += 7)
                sum = g_mix(sum, table[i].key);
        }
    }
    g_line("qsort", sum);
    return 0;
}
