/* Integer matrix products: 64-bit and 32-bit elements, and a transposed form
 * that walks both operands along rows. */
#include "guest.h"

enum { N = 96 };

static i64 a[N][N], b[N][N], c[N][N];
static i32 a32[N][N], b32[N][N], c32[N][N];

static void product64(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            i64 sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
}

static void product32(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            u32 sum = 0;
            for (int k = 0; k < N; k++)
                sum += (u32)a32[i][k] * (u32)b32[j][k];
            c32[i][j] = (i32)sum;
        }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1);
    u64 seed = 11, sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (i64)g_rand(&seed) >> 20;
            b[i][j] = (i64)g_rand(&seed) >> 40;
            a32[i][j] = (i32)g_rand(&seed);
            b32[i][j] = (i32)g_rand(&seed) >> 8;
        }
    for (u64 round = 0; round < count; round++) {
        product64();
        product32();
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                sum = g_mix(sum, (u64)c[i][j] ^ (u32)c32[i][j]);
                a[i][j] = c[i][j] >> 12;
                a32[j][i] = c32[i][j];
            }
    }
    g_line("matmul", sum);
    return 0;
}
