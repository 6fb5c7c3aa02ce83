/* BLAKE2b-512 and BLAKE2s-256 (RFC 7693), unkeyed. */
#include "guest.h"

static const u8 SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static const u64 IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

#define QUARTER(rot, r1, r2, r3, r4, a, b, c, d, x, y)                                             \
    a += b + (x), d = rot(d ^ a, r1), c += d, b = rot(b ^ c, r2);                                  \
    a += b + (y), d = rot(d ^ a, r3), c += d, b = rot(b ^ c, r4)

#define ROUND(rot, r1, r2, r3, r4)                                                                 \
    QUARTER(rot, r1, r2, r3, r4, v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);                       \
    QUARTER(rot, r1, r2, r3, r4, v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);                       \
    QUARTER(rot, r1, r2, r3, r4, v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);                      \
    QUARTER(rot, r1, r2, r3, r4, v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);                      \
    QUARTER(rot, r1, r2, r3, r4, v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);                      \
    QUARTER(rot, r1, r2, r3, r4, v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);                    \
    QUARTER(rot, r1, r2, r3, r4, v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);                     \
    QUARTER(rot, r1, r2, r3, r4, v[3], v[4], v[9], v[14], m[s[14]], m[s[15]])

static void compress_b(u64 h[8], const u8 block[128], u64 bytes, bool last) {
    u64 v[16], m[16];
    memcpy(m, block, 128);
    for (int i = 0; i < 8; i++)
        v[i] = h[i], v[i + 8] = IV[i];
    v[12] ^= bytes;
    if (last)
        v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const u8 *s = SIGMA[round % 10];
        ROUND(g_rotr64, 32, 24, 16, 63);
    }
    for (int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

static void compress_s(u32 h[8], const u8 block[64], u64 bytes, bool last) {
    u32 v[16], m[16];
    memcpy(m, block, 64);
    /* The constants of BLAKE2s are the upper halves of those of BLAKE2b. */
    for (int i = 0; i < 8; i++)
        v[i] = h[i], v[i + 8] = (u32)(IV[i] >> 32);
    v[12] ^= (u32)bytes, v[13] ^= (u32)(bytes >> 32);
    if (last)
        v[14] = ~v[14];
    for (int round = 0; round < 10; round++) {
        const u8 *s = SIGMA[round];
        ROUND(g_rotr32, 16, 12, 8, 7);
    }
    for (int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

static void blake2b(const u8 *data, size_t n, u8 digest[64]) {
    u64 h[8], done = 0;
    memcpy(h, IV, 64);
    h[0] ^= 0x01010000 ^ 64;
    for (; n > 128; data += 128, n -= 128)
        compress_b(h, data, done += 128, false);
    u8 block[128] = {0};
    memcpy(block, data, n);
    compress_b(h, block, done + n, true);
    memcpy(digest, h, 64);
}

static void blake2s(const u8 *data, size_t n, u8 digest[32]) {
    u32 h[8];
    u64 done = 0;
    for (int i = 0; i < 8; i++)
        h[i] = (u32)(IV[i] >> 32);
    h[0] ^= 0x01010000 ^ 32;
    for (; n > 64; data += 64, n -= 64)
        compress_s(h, data, done += 64, false);
    u8 block[64] = {0};
    memcpy(block, data, n);
    compress_s(h, block, done + n, true);
    memcpy(digest, h, 32);
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 150);
    u8 b[64], s[32];
    blake2b((const u8 *)"abc", 3, b);
    g_line_bytes("blake2b", b, 64);
    g_check(b[0] == 0xba && b[63] == 0x23, "blake2b of abc");
    blake2s((const u8 *)"abc", 3, s);
    g_line_bytes("blake2s", s, 32);
    g_check(s[0] == 0x50 && s[31] == 0x82, "blake2s of abc");

    static u8 message[1024];
    u64 seed = 3;
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (u8)g_rand(&seed);
    for (u64 i = 0; i < count; i++) {
        blake2b(message, sizeof message, b);
        memcpy(message + 64 * (i % 16), b, 64);
        blake2s(message, sizeof message, s);
        memcpy(message + 32 * (i % 32), s, 32);
    }
    g_line_bytes("blake2", message, 64);
    return 0;
}
