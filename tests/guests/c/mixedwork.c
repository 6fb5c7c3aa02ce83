/* The kinds of work of a small embedded program, in one loop: a linked list
 * that is searched, reversed and merge-sorted, a matrix of 16-bit numbers, a
 * state machine over text, and a CRC over all of it. */
#include "guest.h"

static u16 crc16(u16 crc, u16 v) {
    for (int i = 0; i < 16; i++, v >>= 1)
        crc = (u16)((crc >> 1) ^ ((crc ^ v) & 1 ? 0xa001 : 0));
    return crc;
}

/* ---- list ---- */

typedef struct item {
    struct item *next;
    i32 value, rank;
} item;

enum { ITEMS = 200 };
static item pool[ITEMS];

static item *build(u64 *seed) {
    item *head = NULL;
    for (int i = 0; i < ITEMS; i++) {
        pool[i] = (item){head, (i32)(g_rand(seed) % 1000), i};
        head = &pool[i];
    }
    return head;
}

static item *reverse(item *list) {
    item *done = NULL;
    while (list) {
        item *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static int by_value(const item *a, const item *b) { return a->value - b->value; }
static int by_rank(const item *a, const item *b) { return a->rank - b->rank; }

static item *merge_sort(item *list, int n, int (*compare)(const item *, const item *)) {
    if (n == 1) {
        list->next = NULL;
        return list;
    }
    item *half = list;
    for (int i = 0; i < n / 2; i++)
        half = half->next;
    item *a = merge_sort(list, n / 2, compare);
    item *b = merge_sort(half, n - n / 2, compare);
    item *head = NULL, **tail = &head;
    while (a && b) {
        item **least = compare(b, a) < 0 ? &b : &a;
        *tail = *least;
        tail = &(*least)->next;
        *least = *tail;
    }
    *tail = a ? a : b;
    return head;
}

static const item *find(const item *list, i32 value) {
    while (list && list->value != value)
        list = list->next;
    return list;
}

/* ---- matrix ---- */

enum { SIDE = 16 };

static u16 matrix_work(int16_t seed) {
    static int16_t a[SIDE][SIDE], b[SIDE][SIDE];
    static i32 c[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            seed = (int16_t)(seed * 31 + i - j);
            a[i][j] = seed;
            b[i][j] = (int16_t)(seed >> 3);
        }
    u16 crc = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            u32 sum = 0;
            for (int k = 0; k < SIDE; k++)
                sum += (u32)(a[i][k] * b[k][j]);
            c[i][j] = (i32)sum;
        }
    i32 previous = 0, total = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            i32 v = c[i][j];
            total += v > previous ? 10 : -(v & 3);
            if (total > 500) {
                crc = crc16(crc, (u16)v);
                total = 0;
            }
            previous = v;
        }
    return crc16(crc, (u16)total);
}

/* ---- state machine: which kind of number is each word? ---- */

enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, EXPONENT_SIGN, SCIENTIFIC, INVALID, STATES };

static enum state step(enum state s, char c) {
    bool digit = c >= '0' && c <= '9';
    switch (s) {
    case START:
        if (c == '+' || c == '-')
            return SIGN;
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case SIGN:
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID;
    case POINT:
        return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case FRACTION:
        return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT:
        return digit ? SCIENTIFIC : c == '+' || c == '-' ? EXPONENT_SIGN : INVALID;
    case EXPONENT_SIGN:
    case SCIENTIFIC:
        return digit ? SCIENTIFIC : INVALID;
    default:
        return INVALID;
    }
}

static u16 state_work(u64 *seed) {
    static const char *const words[] = {"5012", "-1234.5", "+.75", "1.5e+12", "-7e-3", "x12", "1.2.3", "9e", "+", "00.00"};
    u32 count[STATES] = {0}, visits[STATES] = {0};
    for (int i = 0; i < 60; i++) {
        const char *w = words[g_rand(seed) % G_COUNT(words)];
        enum state s = START;
        for (; *w && s != INVALID; w++)
            visits[s = step(s, *w)]++;
        count[s]++;
    }
    u16 crc = 0;
    for (int s = 0; s < STATES; s++)
        crc = crc16(crc16(crc, (u16)count[s]), (u16)visits[s]);
    return crc;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 100);
    u64 seed = 15;
    u16 crc = 0;
    for (u64 round = 0; round < count; round++) {
        item *list = build(&seed);
        for (int i = 0; i < 20; i++) {
            const item *found = find(list, (i32)(g_rand(&seed) % 1000));
            crc = crc16(crc, found ? (u16)found->rank : 0xffff);
        }
        list = merge_sort(list, ITEMS, by_value);
        crc = crc16(crc, (u16)list->value);
        list = reverse(list);
        crc = crc16(crc, (u16)list->value);
        list = merge_sort(list, ITEMS, by_rank);
        for (const item *p = list; p; p = p->next)
            crc = crc16(crc, (u16)p->value);
        crc = crc16(crc, matrix_work((int16_t)crc));
        crc = crc16(crc, state_work(&seed));
    }
    g_line("mixedwork", crc);
    return 0;
}
