/* Keccak-f[1600] and its sponge (FIPS 202), one-shot. */
#ifndef KECCAK_H
#define KECCAK_H
#include "guest.h"

static const u64 KECCAK_ROUND[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static void keccak_f(u64 a[25]) {
    for (int round = 0; round < 24; round++) {
        u64 c[5], b[25];
        for (int x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int x = 0; x < 5; x++) {
            u64 d = c[(x + 4) % 5] ^ g_rotl64(c[(x + 1) % 5], 1);
            for (int y = 0; y < 25; y += 5)
                a[y + x] ^= d;
        }
        /* rho and pi: lane (x, y) goes to (y, 2x + 3y), rotated. */
        b[0] = a[0];
        b[10] = g_rotl64(a[1], 1);
        b[20] = g_rotl64(a[2], 62);
        b[5] = g_rotl64(a[3], 28);
        b[15] = g_rotl64(a[4], 27);
        b[16] = g_rotl64(a[5], 36);
        b[1] = g_rotl64(a[6], 44);
        b[11] = g_rotl64(a[7], 6);
        b[21] = g_rotl64(a[8], 55);
        b[6] = g_rotl64(a[9], 20);
        b[7] = g_rotl64(a[10], 3);
        b[17] = g_rotl64(a[11], 10);
        b[2] = g_rotl64(a[12], 43);
        b[12] = g_rotl64(a[13], 25);
        b[22] = g_rotl64(a[14], 39);
        b[23] = g_rotl64(a[15], 41);
        b[8] = g_rotl64(a[16], 45);
        b[18] = g_rotl64(a[17], 15);
        b[3] = g_rotl64(a[18], 21);
        b[13] = g_rotl64(a[19], 8);
        b[14] = g_rotl64(a[20], 18);
        b[24] = g_rotl64(a[21], 2);
        b[9] = g_rotl64(a[22], 61);
        b[19] = g_rotl64(a[23], 56);
        b[4] = g_rotl64(a[24], 14);
        for (int y = 0; y < 25; y += 5)
            for (int x = 0; x < 5; x++)
                a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5]);
        a[0] ^= KECCAK_ROUND[round];
    }
}

/* Rate 136 bytes; `pad` is 0x06 for SHA3-256 and 0x01 for Keccak-256. */
static void keccak256(const u8 *data, size_t n, u8 pad, u8 digest[32]) {
    enum { RATE = 136 };
    u64 state[25] = {0}, block[RATE / 8];
    bool last = false;
    while (!last) {
        last = n < RATE;
        size_t take = last ? n : RATE;
        memcpy(block, data, take);
        if (last) {
            u8 *bytes = (u8 *)block;
            memset(bytes + take, 0, RATE - take);
            bytes[take] ^= pad;
            bytes[RATE - 1] ^= 0x80;
        }
        for (int i = 0; i < RATE / 8; i++)
            state[i] ^= block[i];
        keccak_f(state);
        data += take, n -= take;
    }
    memcpy(digest, state, 32);
}

#endif
