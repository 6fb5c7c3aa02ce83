/* ChaCha20 and Poly1305 (RFC 8439). */
#include "guest.h"

#define QUARTER(a, b, c, d)                                                                        \
    a += b, d = g_rotl32(d ^ a, 16), c += d, b = g_rotl32(b ^ c, 12);                              \
    a += b, d = g_rotl32(d ^ a, 8), c += d, b = g_rotl32(b ^ c, 7)

static void chacha_block(const u32 in[16], u32 out[16]) {
    u32 x[16];
    memcpy(x, in, 64);
    for (int i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; i++)
        out[i] = x[i] + in[i];
}

static void chacha_xor(u32 state[16], u8 *data, size_t n) {
    u32 block[16];
    while (n) {
        size_t take = n < 64 ? n : 64;
        chacha_block(state, block);
        state[12]++;
        const u8 *stream = (const u8 *)block;
        for (size_t i = 0; i < take; i++)
            data[i] ^= stream[i];
        data += take, n -= take;
    }
}

static void setup(u32 state[16], const u8 key[32], const u8 nonce[12], u32 counter) {
    memcpy(state, "expand 32-byte k", 16);
    memcpy(state + 4, key, 32);
    state[12] = counter;
    memcpy(state + 13, nonce, 12);
}

/* The accumulator in limbs of 44, 44 and 42 bits. */
static void poly1305(const u8 *data, size_t n, const u8 key[32], u8 tag[16]) {
    const u64 M44 = (1ull << 44) - 1, M42 = (1ull << 42) - 1;
    u64 t0, t1, h0 = 0, h1 = 0, h2 = 0;
    memcpy(&t0, key, 8);
    memcpy(&t1, key + 8, 8);
    t0 &= 0x0ffffffc0fffffff;
    t1 &= 0x0ffffffc0ffffffc;
    u64 r0 = t0 & M44, r1 = (t0 >> 44 | t1 << 20) & M44, r2 = t1 >> 24;
    u64 s1 = r1 * 20, s2 = r2 * 20;
    while (n) {
        u8 block[17] = {0};
        size_t take = n < 16 ? n : 16;
        memcpy(block, data, take);
        block[take] = 1;
        data += take, n -= take;
        memcpy(&t0, block, 8);
        memcpy(&t1, block + 8, 8);
        h0 += t0 & M44;
        h1 += (t0 >> 44 | t1 << 20) & M44;
        h2 += t1 >> 24 | (u64)block[16] << 40;
        u128 d0 = (u128)h0 * r0 + (u128)h1 * s2 + (u128)h2 * s1;
        u128 d1 = (u128)h0 * r1 + (u128)h1 * r0 + (u128)h2 * s2;
        u128 d2 = (u128)h0 * r2 + (u128)h1 * r1 + (u128)h2 * r0;
        d1 += (u64)(d0 >> 44);
        d2 += (u64)(d1 >> 44);
        h0 = ((u64)d0 & M44) + (u64)(d2 >> 42) * 5;
        h1 = ((u64)d1 & M44) + (h0 >> 44);
        h0 &= M44;
        h2 = (u64)d2 & M42;
    }
    for (int i = 0; i < 2; i++) {
        h2 += h1 >> 44, h1 &= M44;
        h0 += (h2 >> 42) * 5, h2 &= M42;
        h1 += h0 >> 44, h0 &= M44;
    }
    /* h - p, kept when it is not negative. */
    u64 g0 = h0 + 5, g1 = h1 + (g0 >> 44), g2 = h2 + (g1 >> 44);
    g0 &= M44, g1 &= M44;
    if (g2 >> 42)
        h0 = g0, h1 = g1, h2 = g2 & M42;
    u128 sum = (u128)h0 | (u128)h1 << 44 | (u128)h2 << 88, pad;
    memcpy(&pad, key + 16, 16);
    sum += pad;
    memcpy(tag, &sum, 16);
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 40);
    u8 key[32], nonce[12] = {0, 0, 0, 9, 0, 0, 0, 0x4a}, tag[16];
    u32 state[16], block[16];
    for (u8 i = 0; i < 32; i++)
        key[i] = i;
    setup(state, key, nonce, 1);
    chacha_block(state, block);
    g_line_bytes("block", (const u8 *)block, 64);
    g_check(block[0] == 0xe4e7f110 && block[15] == 0x4e3c50a2, "section 2.3.2");
    static const u8 poly_key[32] = {0x85, 0xd6, 0xbe, 0x78, 0x57, 0x55, 0x6d, 0x33, 0x7f, 0x44, 0x52,
                                    0xfe, 0x42, 0xd5, 0x06, 0xa8, 0x01, 0x03, 0x80, 0x8a, 0xfb, 0x0d,
                                    0xb2, 0xfd, 0x4a, 0xbf, 0xf6, 0xaf, 0x41, 0x49, 0xf5, 0x1b};
    poly1305((const u8 *)"Cryptographic Forum Research Group", 34, poly_key, tag);
    g_line_bytes("tag", tag, 16);
    g_check(tag[0] == 0xa8 && tag[15] == 0xa9, "section 2.5.2");

    static u8 data[4096];
    for (u64 i = 0; i < count; i++) {
        nonce[11] = (u8)i;
        setup(state, key, nonce, 0);
        chacha_block(state, block);
        state[12]++;
        chacha_xor(state, data, sizeof data - i % 100);
        poly1305(data, sizeof data - i % 100, (const u8 *)block, tag);
        memcpy(key + 16 * (i & 1), tag, 16);
    }
    g_line_bytes("chacha", tag, 16);
    return 0;
}
