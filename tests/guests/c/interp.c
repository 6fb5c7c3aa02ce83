/* A bytecode machine with a small assembler's worth of programs. Built twice:
 * dispatch through a dense `switch` (jump table), and, with INTERP_GOTO,
 * through computed `goto` at the end of every operation. */
#include "guest.h"

enum op {
    HALT, PUSH, POP, DUP, SWAP, OVER, ADD, SUB, MUL, DIV, MOD, AND, OR, XOR, SHL, SHR,
    NOT, NEG, EQ, LT, GT, JMP, JZ, JNZ, LOAD, STORE, FETCH, PUT, CALL, RET, INC, LOOP,
    OP_COUNT
};

enum { CELLS = 1024, DEPTH = 256 };

/* Operands are signed 16-bit little-endian; jumps are relative to the byte
 * after the operand. */
static i64 run(const u8 *code, i64 *locals, i64 *cells, u64 *executed) {
    i64 stack[DEPTH], *sp = stack;
    const u8 *frames[DEPTH];
    const u8 **fp = frames;
    const u8 *pc = code;
    u64 steps = 0;
    i64 t;

#define OPERAND() (pc += 2, (int16_t)(pc[-2] | pc[-1] << 8))
#define TOP sp[-1]
#define BELOW sp[-2]
#define BINARY(expression) (t = (i64)(expression), sp--, TOP = t)

#ifdef INTERP_GOTO
    static const void *const labels[OP_COUNT] = {
        &&do_HALT, &&do_PUSH, &&do_POP, &&do_DUP, &&do_SWAP, &&do_OVER, &&do_ADD, &&do_SUB,
        &&do_MUL, &&do_DIV, &&do_MOD, &&do_AND, &&do_OR, &&do_XOR, &&do_SHL, &&do_SHR,
        &&do_NOT, &&do_NEG, &&do_EQ, &&do_LT, &&do_GT, &&do_JMP, &&do_JZ, &&do_JNZ,
        &&do_LOAD, &&do_STORE, &&do_FETCH, &&do_PUT, &&do_CALL, &&do_RET, &&do_INC, &&do_LOOP,
    };
#define CASE(name) do_##name:
#define NEXT steps++; goto *labels[*pc++]
    NEXT;
#else
#define CASE(name) case name:
#define NEXT break
    for (;;) {
        steps++;
        switch (*pc++) {
        default:
#endif
    CASE(HALT) *executed += steps; return TOP;
    CASE(PUSH) t = OPERAND(); *sp++ = t; NEXT;
    CASE(POP) sp--; NEXT;
    CASE(DUP) sp[0] = TOP; sp++; NEXT;
    CASE(SWAP) t = TOP; TOP = BELOW; BELOW = t; NEXT;
    CASE(OVER) sp[0] = BELOW; sp++; NEXT;
    CASE(ADD) BINARY((u64)BELOW + (u64)TOP); NEXT;
    CASE(SUB) BINARY((u64)BELOW - (u64)TOP); NEXT;
    CASE(MUL) BINARY((u64)BELOW * (u64)TOP); NEXT;
    CASE(DIV) BINARY(TOP ? (u64)BELOW / (u64)TOP : 0); NEXT;
    CASE(MOD) BINARY(TOP ? (u64)BELOW % (u64)TOP : 0); NEXT;
    CASE(AND) BINARY(BELOW & TOP); NEXT;
    CASE(OR) BINARY(BELOW | TOP); NEXT;
    CASE(XOR) BINARY(BELOW ^ TOP); NEXT;
    CASE(SHL) BINARY((u64)BELOW << (TOP & 63)); NEXT;
    CASE(SHR) BINARY((u64)BELOW >> (TOP & 63)); NEXT;
    CASE(NOT) TOP = !TOP; NEXT;
    CASE(NEG) TOP = (i64)(0 - (u64)TOP); NEXT;
    CASE(EQ) BINARY(BELOW == TOP); NEXT;
    CASE(LT) BINARY(BELOW < TOP); NEXT;
    CASE(GT) BINARY(BELOW > TOP); NEXT;
    CASE(JMP) t = OPERAND(); pc += t; NEXT;
    CASE(JZ) t = OPERAND(); if (!*--sp) pc += t; NEXT;
    CASE(JNZ) t = OPERAND(); if (*--sp) pc += t; NEXT;
    CASE(LOAD) *sp++ = locals[*pc++]; NEXT;
    CASE(STORE) locals[*pc++] = *--sp; NEXT;
    CASE(FETCH) TOP = cells[TOP & (CELLS - 1)]; NEXT;
    CASE(PUT) sp -= 2; cells[sp[1] & (CELLS - 1)] = sp[0]; NEXT;
    CASE(CALL) t = OPERAND(); *fp++ = pc; pc += t; NEXT;
    CASE(RET) pc = *--fp; NEXT;
    CASE(INC) locals[*pc++]++; NEXT;
    CASE(LOOP) { /* locals[a]--, jump while it is not zero */
        u8 slot = *pc++;
        t = OPERAND();
        if (--locals[slot])
            pc += t;
        NEXT;
    }
#ifndef INTERP_GOTO
        }
    }
#endif
}

#define W(v) (u8)((v) & 255), (u8)((v) >> 8 & 255)

/* Longest Collatz chain below locals[0]; result in locals[3]. */
static const u8 COLLATZ[] = {
    PUSH, W(1), STORE, 1,                            /*  0 start = 1 */
    LOAD, 1, STORE, 2, PUSH, W(0), STORE, 4,         /*  5 n = start, length = 0 */
    LOAD, 2, PUSH, W(1), EQ, JNZ, W(37),             /* 14 while n != 1 */
    INC, 4, LOAD, 2, PUSH, W(1), AND, JZ, W(15),     /* 23 */
    LOAD, 2, PUSH, W(3), MUL, PUSH, W(1), ADD,       /* 34 n = 3n + 1 */
    STORE, 2, JMP, W(-35),                           /* 44 */
    LOAD, 2, PUSH, W(1), SHR, STORE, 2, JMP, W(-46), /* 49 n /= 2; ends at 60 */
    LOAD, 4, LOAD, 3, GT, JZ, W(4), LOAD, 4, STORE, 3,
    INC, 1, LOAD, 1, LOAD, 0, LT, JNZ, W(-77),
    LOAD, 3, HALT,
};

/* Sieve of 1000 cells, locals[0] times; counts primes in locals[3]. */
static const u8 SIEVE[] = {
    PUSH, W(2), STORE, 1,                                        /*  0 i = 2 */
    PUSH, W(0), LOAD, 1, PUT, INC, 1,                            /*  5 clear */
    LOAD, 1, PUSH, W(1000), LT, JNZ, W(-17),                     /* 13 ends at 22 */
    PUSH, W(2), STORE, 1, PUSH, W(0), STORE, 3,                  /* 22 */
    LOAD, 1, FETCH, JNZ, W(33),                                  /* 32 ends at 38 */
    INC, 3, LOAD, 1, DUP, ADD, STORE, 2,                         /* 38 j = 2i, ends at 46 */
    LOAD, 2, PUSH, W(1000), LT, JZ, W(16),                       /* 46 ends at 55 */
    PUSH, W(1), LOAD, 2, PUT,                                    /* 55 ends at 61 */
    LOAD, 2, LOAD, 1, ADD, STORE, 2,                             /* 61 ends at 68 */
    JMP, W(-25),                                                 /* 68 ends at 71 -> 46 */
    INC, 1, LOAD, 1, PUSH, W(1000), LT, JNZ, W(-50),
    LOOP, 0, W(-86),
    LOAD, 3, HALT,
};

/* Linear congruences through a subroutine, locals[0] times. */
static const u8 MIXER[] = {
    CALL, W(8), LOOP, 0, W(-7), LOAD, 1, HALT, HALT,
    /* 11: y = (x * 25173 + 13849) ^ (x >> 7); x = -(y ^ (y << 5)) */
    LOAD, 1, DUP, PUSH, W(25173), MUL, PUSH, W(13849), ADD,
    SWAP, PUSH, W(7), SHR, XOR, DUP, PUSH, W(5), SHL, XOR,
    DUP, OVER, POP, POP, NEG, STORE, 1, RET,
};

int guest_main(int argc, char **argv) {
    i64 count = (i64)g_arg(argc, argv, 1, 4);
    static i64 cells[CELLS];
    u64 steps = 0;
    i64 collatz[8] = {200 * count}, sieve[8] = {5 * count}, mixer[8] = {2000 * count, 1};
    g_line_dec("collatz", (u64)run(COLLATZ, collatz, cells, &steps));
    i64 primes = run(SIEVE, sieve, cells, &steps);
    g_line_dec("primes", (u64)primes);
    g_check(primes == 168, "primes below 1000");
    g_line("mixer", (u64)run(MIXER, mixer, cells, &steps));
    g_line_dec("operations", steps);
    return 0;
}
