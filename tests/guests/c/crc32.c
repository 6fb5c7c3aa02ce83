/* CRC-32 (IEEE 802.3) three ways that must agree, Adler-32 and CRC-64. */
#include "guest.h"

enum { SIZE = 16 * 1024 };

static u32 tables[8][256];
static u64 table64[256];

static u32 by_bits(u32 crc, const u8 *p, size_t n) {
    crc = ~crc;
    while (n--) {
        crc ^= *p++;
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ ((0 - (crc & 1)) & 0xedb88320);
    }
    return ~crc;
}

static u32 by_table(u32 crc, const u8 *p, size_t n) {
    crc = ~crc;
    while (n--)
        crc = crc >> 8 ^ tables[0][(u8)crc ^ *p++];
    return ~crc;
}

static u32 by_eight(u32 crc, const u8 *p, size_t n) {
    crc = ~crc;
    for (; n >= 8; p += 8, n -= 8) {
        u64 w;
        memcpy(&w, p, 8);
        w ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= tables[7 - k][(u8)(w >> (8 * k))];
    }
    while (n--)
        crc = crc >> 8 ^ tables[0][(u8)crc ^ *p++];
    return ~crc;
}

static u64 crc64(u64 crc, const u8 *p, size_t n) {
    crc = ~crc;
    while (n--)
        crc = crc >> 8 ^ table64[(u8)crc ^ *p++];
    return ~crc;
}

static u32 adler32(u32 sum, const u8 *p, size_t n) {
    u32 a = sum & 0xffff, b = sum >> 16;
    while (n) {
        size_t run = n < 5552 ? n : 5552; /* no overflow of b up to here */
        n -= run;
        while (run--)
            a += *p++, b += a;
        a %= 65521, b %= 65521;
    }
    return b << 16 | a;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 12);
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        u64 d = i;
        for (int k = 0; k < 8; k++) {
            c = c >> 1 ^ ((0 - (c & 1)) & 0xedb88320);
            d = d >> 1 ^ ((0 - (d & 1)) & 0xc96c5795d7870f42u);
        }
        tables[0][i] = c;
        table64[i] = d;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][(u8)tables[t - 1][i]];
    static const u8 nine[] = "123456789";
    g_check(by_bits(0, nine, 9) == 0xcbf43926, "crc-32 of 123456789");
    g_check(crc64(0, nine, 9) == 0x995dc9bbdf1939fau, "crc-64 of 123456789");
    g_check(adler32(1, nine, 9) == 0x091e01de, "adler-32 of 123456789");

    static u8 data[SIZE];
    u64 seed = 23, sum = 0;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (u8)g_rand(&seed);
    u32 crc = 0, adler = 1;
    for (u64 i = 0; i < count; i++) {
        size_t from = i % 13;
        u32 next = by_table(crc, data + from, SIZE - from);
        g_check(by_eight(crc, data + from, SIZE - from) == next, "eight at a time");
        if (i % 4 == 0)
            g_check(by_bits(crc, data + from, SIZE - from) == next, "bit by bit");
        crc = next;
        adler = adler32(adler, data + from, SIZE - from);
        sum = crc64(sum, data + from, SIZE - from);
        data[i % SIZE] ^= (u8)crc;
    }
    g_line("crc32", crc);
    g_line("adler32", adler);
    g_line("crc64", sum);
    return 0;
}
