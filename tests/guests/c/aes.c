/* AES-128 (FIPS 197), tables built at start, counter mode. */
#include "guest.h"

static u8 sbox[256];
static u32 tables[4][256];

static u8 times2(u8 x) { return (u8)(x << 1 ^ (x >> 7) * 0x1b); }

static void build_tables(void) {
    /* p runs through the powers of 3, q through those of its inverse. */
    u8 p = 1, q = 1;
    do {
        p = (u8)(p ^ times2(p));
        q ^= (u8)(q << 1), q ^= (u8)(q << 2), q ^= (u8)(q << 4);
        if (q & 0x80)
            q ^= 0x09;
        u32 x = q * 0x01010101u;
        sbox[p] = (u8)(q ^ x >> 7 ^ x >> 6 ^ x >> 5 ^ x >> 4 ^ 0x63);
    } while (p != 1);
    sbox[0] = 0x63;
    for (int i = 0; i < 256; i++) {
        u8 s = sbox[i], s2 = times2(s);
        u32 w = (u32)s2 | (u32)s << 8 | (u32)s << 16 | (u32)(s ^ s2) << 24;
        for (int t = 0; t < 4; t++)
            tables[t][i] = t ? g_rotl32(w, 8 * t) : w;
    }
}

static void expand(const u8 key[16], u32 schedule[44]) {
    memcpy(schedule, key, 16);
    u8 constant = 1;
    for (int i = 4; i < 44; i++) {
        u32 t = schedule[i - 1];
        if (i % 4 == 0) {
            t = g_rotr32(t, 8);
            t = (u32)sbox[t & 255] | (u32)sbox[t >> 8 & 255] << 8 | (u32)sbox[t >> 16 & 255] << 16 |
                (u32)sbox[t >> 24] << 24;
            t ^= constant;
            constant = times2(constant);
        }
        schedule[i] = schedule[i - 4] ^ t;
    }
}

static void encrypt(const u32 k[44], const u8 in[16], u8 out[16]) {
    u32 s[4], t[4];
    memcpy(s, in, 16);
    for (int i = 0; i < 4; i++)
        s[i] ^= k[i];
    for (int round = 1; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            t[i] = tables[0][s[i] & 255] ^ tables[1][s[(i + 1) % 4] >> 8 & 255] ^
                   tables[2][s[(i + 2) % 4] >> 16 & 255] ^ tables[3][s[(i + 3) % 4] >> 24] ^ k[4 * round + i];
        memcpy(s, t, 16);
    }
    for (int i = 0; i < 4; i++)
        t[i] = ((u32)sbox[s[i] & 255] | (u32)sbox[s[(i + 1) % 4] >> 8 & 255] << 8 |
                (u32)sbox[s[(i + 2) % 4] >> 16 & 255] << 16 | (u32)sbox[s[(i + 3) % 4] >> 24] << 24) ^
               k[40 + i];
    memcpy(out, t, 16);
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 60);
    build_tables();
    u8 key[16], block[16], stream[16];
    u32 schedule[44];
    for (u8 i = 0; i < 16; i++)
        key[i] = i, block[i] = (u8)(i * 0x11);
    expand(key, schedule);
    encrypt(schedule, block, block);
    g_line_bytes("appendix C.1", block, 16);
    g_check(block[0] == 0x69 && block[15] == 0x5a, "appendix C.1");

    static u8 data[2048];
    u64 counter = 0;
    for (u64 i = 0; i < count; i++) {
        for (size_t at = 0; at < sizeof data; at += 16) {
            counter++;
            memcpy(block, &counter, 8);
            encrypt(schedule, block, stream);
            for (int k = 0; k < 16; k++)
                data[at + (size_t)k] ^= stream[k];
        }
        expand(data + 16 * (i % 128), schedule);
    }
    g_line_bytes("aes", data, 32);
    return 0;
}
