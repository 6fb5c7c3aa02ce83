/* 128-bit division by the compiler's support library, signed and unsigned. */
#include "guest.h"

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 20000);
    u64 seed = 10, sum = 0;
    for (u64 i = 0; i < count; i++) {
        u128 n = (u128)g_rand(&seed) << 64 | g_rand(&seed);
        u128 d = ((u128)g_rand(&seed) << 64 | g_rand(&seed)) >> (g_rand(&seed) & 127);
        if (!d)
            d = 1;
        u128 q = n / d, r = n % d;
        g_check(q * d + r == n && r < d, "unsigned");
        i128 sn = (i128)n, sd = (i128)d;
        if (i & 1)
            sd = -sd;
        i128 sq = sn / sd, sr = sn % sd;
        g_check((u128)sq * (u128)sd + (u128)sr == n, "signed");
        g_check(sr == 0 || (sr < 0) == (sn < 0), "sign of the remainder");
        sum = g_mix(g_mix(sum, (u64)q ^ (u64)(q >> 64)), (u64)r);
        sum = g_mix(g_mix(sum, (u64)sq ^ (u64)(sq >> 64)), (u64)sr);
    }
    g_line("int128div", sum);
    return 0;
}
