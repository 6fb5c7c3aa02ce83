/* Sieve of Eratosthenes: one byte per odd number, then one bit. */
#include "guest.h"

enum { LIMIT = 400000 };

static u8 composite[LIMIT / 2];
static u64 bits[LIMIT / 128 + 1];

static u32 by_bytes(void) {
    memset(composite, 0, sizeof composite);
    u32 found = 1;
    for (u32 i = 1; i < LIMIT / 2; i++) {
        if (composite[i])
            continue;
        found++;
        u64 step = 2 * (u64)i + 1;
        for (u64 k = step * step / 2; k < LIMIT / 2; k += step)
            composite[k] = 1;
    }
    return found;
}

static u32 by_bits(void) {
    memset(bits, 0, sizeof bits);
    u32 found = 1;
    for (u32 i = 1; i < LIMIT / 2; i++) {
        if ((bits[i / 64] >> (i % 64)) & 1)
            continue;
        found++;
        u64 step = 2 * (u64)i + 1;
        for (u64 k = step * step / 2; k < LIMIT / 2; k += step)
            bits[k / 64] |= 1ull << (k % 64);
    }
    return found;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1);
    u64 sum = 0;
    for (u64 i = 0; i < count; i++) {
        u32 a = by_bytes(), b = by_bits();
        g_check(a == b && a == 33860, "primes below 400000");
        sum = g_mix(sum, a);
    }
    g_line("sieve", sum);
    return 0;
}
