/* Dense, sparse and nested `switch` statements (jump tables and decision
 * trees), with cases that fall through, and computed `goto` through tables. */
#include "guest.h"

#define NO_INLINE __attribute__((noinline, noclone))

static NO_INLINE u64 dense(u64 selector, u64 x) {
    switch (selector) {
    case 0: return x + 1;
    case 1: return x * 3;
    case 2: return x ^ 0x55;
    case 3: x += 7; /* fall through */
    case 4: return x << 2;
    case 5: return x >> 3;
    case 6: return ~x;
    case 7: x ^= x >> 11; /* fall through */
    case 8: x *= 0x2545f491; /* fall through */
    case 9: return x - 9;
    case 10: return x & 0xff00ff;
    case 11: return x | 0x1234;
    case 12: return x % 97;
    case 13: return x / 13;
    case 14: return g_rotl64(x, 14);
    case 15: return 15;
    default: return x ^ selector;
    }
}

static NO_INLINE u64 sparse(u64 x) {
    switch (x % 100003) {
    case 1: return 1;
    case 17: return 2;
    case 170: case 171: case 172: return 3;
    case 1000: return 4;
    case 9999: return 5;
    case 40000 ... 50000: return 6;
    case 99999: return 7;
    default: return x & 1;
    }
}

/* A lexer: characters to classes, classes and states to actions. */
static NO_INLINE u64 lexer(const char *s, u64 counts[8]) {
    int state = 0;
    u64 sum = 0;
    for (; *s; s++) {
        int class;
        switch (*s) {
        case '0' ... '9': class = 0; break;
        case 'a' ... 'z': case 'A' ... 'Z': case '_': class = 1; break;
        case ' ': case '\t': case '\n': class = 2; break;
        case '+': case '-': case '*': case '/': case '<': case '=': case '>': class = 3; break;
        case '"': class = 4; break;
        case '\\': class = 5; break;
        default: class = 6; break;
        }
        switch (state * 8 + class) {
        case 0: state = 1; counts[0]++; break;
        case 1: state = 2; counts[1]++; break;
        case 2: break;
        case 3: counts[2]++; break;
        case 4: state = 3; break;
        case 5: case 6: counts[3]++; break;
        case 8 + 0: break;
        case 8 + 1: state = 2; counts[4]++; break;
        case 8 + 2: case 8 + 3: case 8 + 4: case 8 + 5: case 8 + 6: state = 0; sum = sum * 3 + 1; break;
        case 16 + 0: case 16 + 1: break;
        case 16 + 2: case 16 + 3: case 16 + 4: case 16 + 5: case 16 + 6: state = 0; sum = sum * 5 + 2; break;
        case 24 + 4: state = 0; counts[5]++; break;
        case 24 + 5: state = 4; break;
        case 24 + 0: case 24 + 1: case 24 + 2: case 24 + 3: case 24 + 6: sum += (u64)*s; break;
        default: state = 3; counts[6]++; break;
        }
    }
    return g_mix(sum, (u64)state);
}

/* A table of distances between labels, 32 bits each. */
static NO_INLINE u64 threaded(const u8 *program, u64 x) {
    static const i32 distance[] = {&&add - &&add, &&twice - &&add, &&invert - &&add, &&skip - &&add, &&end - &&add};
#define GO goto *(&&add + distance[*program++])
    GO;
add:
    x += *program++;
    GO;
twice:
    x *= 2;
    GO;
invert:
    x = ~x;
    GO;
skip:
    program += x & 1;
    GO;
end:
    return x;
}

/* Pointers in writable data, changed while they are in use. */
static u64 first(u64 x);
static u64 second(u64 x);
static u64 third(u64 x);
static u64 (*chain[3])(u64) = {first, second, third};

static NO_INLINE u64 first(u64 x) {
    chain[2] = chain[0];
    chain[0] = second;
    return x + 1;
}
static NO_INLINE u64 second(u64 x) {
    chain[1] = chain[1] == third ? first : third;
    return x * 5;
}
static NO_INLINE u64 third(u64 x) {
    chain[0] = third;
    return x ^ 0xaaaa;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 20000);
    u64 x = 1, sum = 0;
    for (u64 i = 0; i < count; i++) {
        x = dense((x ^ i) % 18, x + i);
        sum = g_mix(sum, sparse(x * i));
    }
    g_line("dense", x);
    g_line("sparse", sum);
    u64 counts[8] = {0};
    u64 lexed = lexer("let x1 = 42 + \"quo\\\"ted\" * (foo_bar - 7e3) / 12; if a<=b then \"\\\\\" else 0x1f @", counts);
    for (int i = 0; i < 8; i++)
        lexed = g_mix(lexed, counts[i]);
    g_line("lexer", lexed);
    static const u8 program[] = {0, 5, 1, 3, 2, 1, 2, 0, 200, 3, 1, 1, 4, 4};
    g_line("threaded", g_mix(threaded(program, 3), threaded(program + 2, 9)));
    for (u64 i = 0; i < 100; i++)
        x = chain[i % 3](x + i);
    g_line("chain", x);
    return 0;
}
