/* LZ77 with hash chains and lazy matching, a byte-oriented format, and its
 * decoder; the round trip is checked. */
#include "guest.h"

enum { SIZE = 64 * 1024, HASH_BITS = 13, WINDOW = 32768, MIN_MATCH = 4, MAX_CHAIN = 24 };

static u8 text[SIZE], packed[SIZE + SIZE / 8 + 64], unpacked[SIZE];
static i32 heads[1 << HASH_BITS], links[SIZE];

static u32 load32(const u8 *p) {
    u32 v;
    memcpy(&v, p, 4);
    return v;
}

static u32 hash(const u8 *p) { return load32(p) * 2654435761u >> (32 - HASH_BITS); }

static void insert(size_t at) {
    if (at + MIN_MATCH > SIZE)
        return;
    u32 h = hash(text + at);
    links[at] = heads[h];
    heads[h] = (i32)at;
}

static size_t longest(size_t at, size_t *distance) {
    size_t best = 0;
    if (at + MIN_MATCH > SIZE)
        return 0;
    i32 candidate = heads[hash(text + at)];
    for (int tries = MAX_CHAIN; candidate >= 0 && tries; tries--, candidate = links[candidate]) {
        if (at - (size_t)candidate > WINDOW)
            break;
        if (text[(size_t)candidate + best] != text[at + best] || load32(text + candidate) != load32(text + at))
            continue;
        size_t n = MIN_MATCH;
        while (at + n < SIZE && text[(size_t)candidate + n] == text[at + n])
            n++;
        if (n > best) {
            best = n;
            *distance = at - (size_t)candidate;
            if (at + n == SIZE)
                break;
        }
    }
    return best;
}

static u8 *put_number(u8 *out, size_t v) {
    for (; v >= 128; v >>= 7)
        *out++ = (u8)(v | 128);
    *out++ = (u8)v;
    return out;
}

static size_t get_number(const u8 **in) {
    size_t v = 0;
    int shift = 0;
    u8 b;
    do {
        b = *(*in)++;
        v |= (size_t)(b & 127) << shift;
        shift += 7;
    } while (b & 128);
    return v;
}

/* Sequence: number of literals, literals, match length (0 ends), distance. */
static size_t pack(void) {
    memset(heads, 0xff, sizeof heads);
    u8 *out = packed;
    size_t at = 0, literals = 0, distance = 0, later = 0;
    while (at < SIZE) {
        size_t n = longest(at, &distance);
        insert(at);
        /* A longer match one byte later wins over this one. */
        if (n < MIN_MATCH || (n < 32 && at + 1 < SIZE && longest(at + 1, &later) > n + 1)) {
            at++, literals++;
            continue;
        }
        out = put_number(out, literals);
        memcpy(out, text + at - literals, literals);
        out = put_number(put_number(out + literals, n), distance);
        literals = 0;
        for (size_t end = at + n; ++at < end;)
            insert(at);
    }
    out = put_number(out, literals);
    memcpy(out, text + at - literals, literals);
    out = put_number(out + literals, 0);
    return (size_t)(out - packed);
}

static size_t unpack(void) {
    const u8 *in = packed;
    u8 *out = unpacked;
    for (;;) {
        size_t n = get_number(&in);
        memcpy(out, in, n);
        in += n, out += n;
        n = get_number(&in);
        if (!n)
            return (size_t)(out - unpacked);
        const u8 *from = out - get_number(&in);
        while (n--)
            *out++ = *from++;
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1);
    static const char *const words[] = {"the ", "register ", "of ", "a ", "hart ", "retires ", "chunk ",
                                        "memory ", "read ", "and ", "trace ", "witness ", "0x", "\n"};
    u64 seed = 16, sum = 0;
    for (u64 round = 0; round < count; round++) {
        size_t n = 0;
        while (n < SIZE) {
            u64 r = g_rand(&seed);
            if (r % 16 == 0) {
                text[n++] = (u8)(r >> 32);
                continue;
            }
            for (const char *w = words[(r >> 8) % G_COUNT(words)]; *w && n < SIZE;)
                text[n++] = (u8)*w++;
        }
        size_t size = pack();
        g_check(size < SIZE && unpack() == SIZE && memcmp(text, unpacked, SIZE) == 0, "round trip");
        for (size_t i = 0; i < size; i += 3)
            sum = g_mix(sum, packed[i]);
        sum = g_mix(sum, size);
    }
    g_line("lz", sum);
    return 0;
}
