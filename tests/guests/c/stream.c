/* Streaming through big arrays: copy, scale, sum and triad on 64-bit integers,
 * then a strided walk. argv[2] is the number of elements per array. */
#include "guest.h"

enum { MAX = 4 * 1024 * 1024 };

static u64 a[MAX], b[MAX], c[MAX];

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1), n = g_arg(argc, argv, 2, 512 * 1024);
    if (n > MAX)
        n = MAX;
    for (u64 i = 0; i < n; i++)
        a[i] = i, b[i] = 2 * i + 1;
    u64 sum = 0, factor = 3;
    for (u64 round = 0; round < count; round++) {
        for (u64 i = 0; i < n; i++)
            c[i] = a[i];
        for (u64 i = 0; i < n; i++)
            b[i] = factor * c[i];
        for (u64 i = 0; i < n; i++)
            c[i] = a[i] + b[i];
        for (u64 i = 0; i < n; i++)
            a[i] = b[i] + factor * c[i];
        for (u64 start = 0; start < 8; start++)
            for (u64 i = start; i < n; i += 64)
                sum = (sum ^ a[i]) + (sum << 5);
        factor = factor * 5 + 2;
    }
    g_line("stream", sum);
    return 0;
}
