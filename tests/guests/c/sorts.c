/* Sorting of plain numbers: heap, merge, shell and radix sort, which must
 * agree; then binary searches in the result. */
#include "guest.h"

enum { N = 6000 };

static u64 heap_sorted[N], merged[N], shelled[N], radixed[N], scratch[N];

static void heap_sort(u64 *v, size_t n) {
    for (size_t start = n / 2, end = n; end > 1;) {
        if (start > 0) {
            start--;
        } else {
            u64 t = v[--end];
            v[end] = v[0];
            v[0] = t;
        }
        u64 x = v[start];
        size_t at = start;
        for (size_t child; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && v[child + 1] > v[child])
                child++;
            if (v[child] <= x)
                break;
            v[at] = v[child];
        }
        v[at] = x;
    }
}

static void merge_sort(u64 *v, size_t n) {
    u64 *from = v, *to = scratch;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t middle = start + width < n ? start + width : n;
            size_t end = middle + width < n ? middle + width : n;
            size_t a = start, b = middle;
            for (size_t k = start; k < end; k++)
                to[k] = a < middle && (b >= end || from[a] <= from[b]) ? from[a++] : from[b++];
        }
        u64 *t = from;
        from = to;
        to = t;
    }
    if (from != v)
        memcpy(v, from, n * sizeof *v);
}

static void shell_sort(u64 *v, size_t n) {
    static const u32 gaps[] = {3905, 2161, 929, 505, 209, 109, 41, 19, 5, 1};
    for (size_t g = 0; g < G_COUNT(gaps); g++)
        for (size_t i = gaps[g], gap = gaps[g]; i < n; i++) {
            u64 x = v[i];
            size_t k = i;
            for (; k >= gap && v[k - gap] > x; k -= gap)
                v[k] = v[k - gap];
            v[k] = x;
        }
}

static void radix_sort(u64 *v, size_t n) {
    u64 *from = v, *to = scratch;
    for (int shift = 0; shift < 64; shift += 8) {
        u32 start[256] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++)
            start[from[i] >> shift & 255]++;
        for (int d = 0; d < 256; d++) {
            u32 here = start[d];
            start[d] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++)
            to[start[from[i] >> shift & 255]++] = from[i];
        u64 *t = from;
        from = to;
        to = t;
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1);
    u64 seed = 29, sum = 0;
    for (u64 round = 0; round < count; round++) {
        for (int i = 0; i < N; i++)
            heap_sorted[i] = merged[i] = shelled[i] = radixed[i] = g_rand(&seed) >> (i % 4 * 16);
        heap_sort(heap_sorted, N);
        merge_sort(merged, N);
        shell_sort(shelled, N);
        radix_sort(radixed, N);
        g_check(memcmp(heap_sorted, merged, sizeof merged) == 0, "heap and merge agree");
        g_check(memcmp(merged, shelled, sizeof merged) == 0, "merge and shell agree");
        g_check(memcmp(merged, radixed, sizeof merged) == 0, "merge and radix agree");
        for (int i = 0; i < 2000; i++) {
            u64 x = i & 1 ? g_rand(&seed) : merged[g_rand(&seed) % N];
            size_t low = 0, high = N;
            while (low < high) {
                size_t m = (low + high) / 2;
                if (merged[m] < x)
                    low = m + 1;
                else
                    high = m;
            }
            g_check(i & 1 || merged[low] == x, "search");
            sum = g_mix(sum, low);
        }
    }
    g_line("sorts", sum);
    return 0;
}
