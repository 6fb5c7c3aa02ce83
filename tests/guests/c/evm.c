/* A stack machine with 256-bit words: the arithmetic, memory, storage, hash
 * and jump operations of the Ethereum virtual machine, with gas. Three
 * programs run on it: a sum, token transfers, modular arithmetic. */
#include "keccak.h"
#include "u256.h"

enum op {
    STOP = 0x00, ADD, MUL, SUB, DIV, MOD = 0x06, ADDMOD = 0x08, MULMOD, EXP,
    LT = 0x10, GT, EQ = 0x14, ISZERO, AND, OR, XOR, NOT, BYTE, SHL, SHR,
    KECCAK256 = 0x20, POP = 0x50, MLOAD, MSTORE, SLOAD = 0x54, SSTORE, JUMP, JUMPI, PC,
    GAS = 0x5a, JUMPDEST, PUSH1 = 0x60, PUSH2, PUSH4 = 0x63, PUSH32 = 0x7f,
    DUP1 = 0x80, DUP2, DUP3, SWAP1 = 0x90, SWAP2, RETURN = 0xf3,
};

enum outcome { RETURNED, STOPPED, OUT_OF_GAS, STACK_FAULT, BAD_JUMP, BAD_ADDRESS, BAD_OPERATION };

enum { DEPTH = 1024, MEMORY = 4096, SLOTS = 1024, MAX_CODE = 256 };

typedef struct {
    u256 key, value;
    bool used;
} storage_slot;

static u256 stack[DEPTH + 2];
static u8 memory[MEMORY];
static storage_slot storage[SLOTS];
static bool jump_targets[MAX_CODE];

static void load_word(u256 *r, const u8 *p, u32 n) {
    *r = u256_from(0);
    for (u32 i = 0; i < n; i++) {
        u32 at = n - 1 - i;
        r->limb[at / 8] |= (u64)p[i] << (8 * (at % 8));
    }
}

static void store_word(u8 *p, const u256 *v) {
    for (u32 i = 0; i < 32; i++)
        p[i] = (u8)(v->limb[3 - i / 8] >> (56 - 8 * (i % 8)));
}

static storage_slot *slot_of(const u256 *key) {
    u64 h = key->limb[0] ^ key->limb[1] * 3 ^ key->limb[2] * 5 ^ key->limb[3] * 7;
    for (u64 at = h % SLOTS;; at = (at + 1) % SLOTS)
        if (!storage[at].used || u256_compare(&storage[at].key, key) == 0)
            return &storage[at];
}

static u32 gas_of(u8 op) {
    if (op >= PUSH1 && op <= 0x9f)
        return 3;
    switch (op) {
    case STOP: case RETURN: return 0;
    case JUMPDEST: return 1;
    case POP: case PC: case GAS: return 2;
    case MUL: case DIV: case MOD: return 5;
    case ADDMOD: case MULMOD: case JUMP: return 8;
    case JUMPI: return 10;
    case EXP: return 60;
    case KECCAK256: return 42;
    case SLOAD: return 100;
    case SSTORE: return 5000;
    default: return 3;
    }
}

static void exponentiate(u256 *r, const u256 *base, const u256 *exponent) {
    u256 acc = u256_from(1), square = *base;
    for (int i = 0; i < 256; i++) {
        if (exponent->limb[i / 64] >> (i % 64) & 1)
            u256_mul(&acc, &acc, &square);
        u256_mul(&square, &square, &square);
    }
    *r = acc;
}

/* Is [offset, offset + n) inside the memory? */
static bool in_memory(const u256 *offset, u64 n) {
    return !(offset->limb[1] | offset->limb[2] | offset->limb[3]) && offset->limb[0] <= MEMORY &&
           n <= MEMORY - offset->limb[0];
}

static enum outcome run(const u8 *code, u32 size, u64 *gas, u256 *result) {
    u32 pc = 0, depth = 0;
    memset(jump_targets, 0, sizeof jump_targets);
    for (u32 i = 0; i < size; i++) {
        if (code[i] == JUMPDEST)
            jump_targets[i] = true;
        else if (code[i] >= PUSH1 && code[i] <= PUSH32)
            i += code[i] - PUSH1 + 1u;
    }

/* Takes n words and leaves `more`; a is the top, b the word below it. */
#define NEED(n, more)                                                                              \
    do {                                                                                           \
        if (depth < (n) || depth - (n) + (more) > DEPTH)                                           \
            return STACK_FAULT;                                                                    \
        a = stack + depth + 1; /* stack[0] and [1] are no words, so that a and b always exist */   \
        b = a - 1;                                                                                 \
        depth = depth - (n) + (more);                                                              \
    } while (0)
#define NEW_TOP stack[depth + 1]

    for (;;) {
        u8 op = pc < size ? code[pc] : STOP;
        pc++;
        u32 cost = gas_of(op);
        if (*gas < cost)
            return OUT_OF_GAS;
        *gas -= cost;
        u256 *a, *b;
        switch (op) {
        case STOP: return STOPPED;
        case ADD: NEED(2, 1); u256_add(b, a, b); break;
        case MUL: NEED(2, 1); u256_mul(b, a, b); break;
        case SUB: NEED(2, 1); u256_sub(b, a, b); break;
        case DIV:
        case MOD: {
            NEED(2, 1);
            u256 quotient = {{0}}, rest = {{0}};
            u64 wide[8] = {a->limb[0], a->limb[1], a->limb[2], a->limb[3]};
            if (!u256_is_zero(b))
                u256_divide_wide(&quotient, &rest, wide, b);
            *b = op == DIV ? quotient : rest;
            break;
        }
        case ADDMOD:
        case MULMOD: {
            NEED(3, 1);
            u256 *modulus = b - 1, rest = {{0}};
            u64 wide[8] = {0};
            if (op == MULMOD) {
                u256_multiply_wide(wide, a, b);
            } else {
                u256 sum;
                wide[4] = u256_add(&sum, a, b);
                memcpy(wide, sum.limb, 32);
            }
            if (!u256_is_zero(modulus))
                u256_divide_wide(NULL, &rest, wide, modulus);
            *modulus = rest;
            break;
        }
        case EXP: NEED(2, 1); exponentiate(b, a, b); break;
        case LT: NEED(2, 1); *b = u256_from(u256_compare(a, b) < 0); break;
        case GT: NEED(2, 1); *b = u256_from(u256_compare(a, b) > 0); break;
        case EQ: NEED(2, 1); *b = u256_from(u256_compare(a, b) == 0); break;
        case ISZERO: NEED(1, 1); *a = u256_from(u256_is_zero(a)); break;
        case AND: NEED(2, 1); for (int i = 0; i < 4; i++) b->limb[i] &= a->limb[i]; break;
        case OR: NEED(2, 1); for (int i = 0; i < 4; i++) b->limb[i] |= a->limb[i]; break;
        case XOR: NEED(2, 1); for (int i = 0; i < 4; i++) b->limb[i] ^= a->limb[i]; break;
        case NOT: NEED(1, 1); for (int i = 0; i < 4; i++) a->limb[i] = ~a->limb[i]; break;
        case BYTE: {
            NEED(2, 1);
            u8 bytes[32];
            store_word(bytes, b);
            *b = u256_from(in_memory(a, 0) && a->limb[0] < 32 ? bytes[a->limb[0]] : 0);
            break;
        }
        case SHL:
        case SHR:
            NEED(2, 1);
            if (a->limb[0] > 255 || (a->limb[1] | a->limb[2] | a->limb[3]))
                *b = u256_from(0);
            else if (op == SHL)
                u256_shift_left(b, b, (u32)a->limb[0]);
            else
                u256_shift_right(b, b, (u32)a->limb[0]);
            break;
        case KECCAK256: {
            NEED(2, 1);
            u8 digest[32];
            if (!in_memory(a, b->limb[0]) || !in_memory(b, 0))
                return BAD_ADDRESS;
            keccak256(memory + a->limb[0], b->limb[0], 0x01, digest);
            load_word(b, digest, 32);
            break;
        }
        case POP: NEED(1, 0); break;
        case MLOAD:
            NEED(1, 1);
            if (!in_memory(a, 32))
                return BAD_ADDRESS;
            load_word(a, memory + a->limb[0], 32);
            break;
        case MSTORE:
            NEED(2, 0);
            if (!in_memory(a, 32))
                return BAD_ADDRESS;
            store_word(memory + a->limb[0], b);
            break;
        case SLOAD: NEED(1, 1); *a = slot_of(a)->value; break;
        case SSTORE: {
            NEED(2, 0);
            storage_slot *s = slot_of(a);
            *s = (storage_slot){*a, *b, true};
            break;
        }
        case JUMP:
        case JUMPI: {
            bool taken = true;
            if (op == JUMP) {
                NEED(1, 0);
            } else {
                NEED(2, 0);
                taken = !u256_is_zero(b);
            }
            if (!taken)
                break;
            if (!in_memory(a, 0) || a->limb[0] >= size || !jump_targets[a->limb[0]])
                return BAD_JUMP;
            pc = (u32)a->limb[0];
            break;
        }
        case PC: NEED(0, 1); NEW_TOP = u256_from(pc - 1); break;
        case GAS: NEED(0, 1); NEW_TOP = u256_from(*gas); break;
        case JUMPDEST: break;
        case RETURN:
            NEED(2, 0);
            if (!in_memory(a, 32))
                return BAD_ADDRESS;
            load_word(result, memory + a->limb[0], 32);
            return RETURNED;
        default:
            if (op >= PUSH1 && op <= PUSH32) {
                u32 n = op - PUSH1 + 1u;
                if (pc + n > size)
                    return BAD_OPERATION;
                NEED(0, 1);
                load_word(&NEW_TOP, code + pc, n);
                pc += n;
            } else if (op >= DUP1 && op < SWAP1) {
                u32 n = op - DUP1 + 1u;
                NEED(n, n + 1);
                NEW_TOP = *(a + 1 - n);
            } else if (op >= SWAP1 && op <= 0x9f) {
                u32 n = op - SWAP1 + 2u;
                NEED(n, n);
                u256 t = *a;
                *a = *(a + 1 - n);
                *(a + 1 - n) = t;
            } else {
                return BAD_OPERATION;
            }
        }
    }
}

/* Each program begins with PUSH4 and its number of rounds. */

static const u8 SUM[] = {
    PUSH4, 0, 0, 0, 0, PUSH1, 0, PUSH1, 1,                          /* i a b */
    JUMPDEST,                                                       /* 9 */
    DUP1, SWAP2, ADD, SWAP2,                                        /* a+b b i */
    PUSH1, 1, SWAP1, SUB, SWAP2, DUP3, PUSH1, 9, JUMPI,             /* i-1 b a+b */
    PUSH1, 0, MSTORE, PUSH1, 32, PUSH1, 0, RETURN,
};

/* Account i % 16 is credited 1000 and gives a third of what it holds to
 * account (7i + 3) % 16; a balance lives at the hash of its account. */
static const u8 TOKEN[] = {
    PUSH4, 0, 0, 0, 0, JUMPDEST,                                    /* i, at 5 */
    DUP1, PUSH1, 15, AND, PUSH1, 0, MSTORE,
    PUSH1, 64, PUSH1, 0, KECCAK256, DUP1, SLOAD, PUSH2, 3, 232, ADD, /* i slot balance */
    DUP1, PUSH1, 3, SWAP1, DIV, SWAP1, DUP2, SWAP1, SUB,            /* i slot amount rest */
    SWAP1, SWAP2, SSTORE,                                           /* i amount */
    DUP2, PUSH1, 7, MUL, PUSH1, 3, ADD, PUSH1, 15, AND, PUSH1, 0, MSTORE,
    PUSH1, 64, PUSH1, 0, KECCAK256, DUP1, SLOAD, DUP3, ADD, SWAP1, SSTORE, POP,
    PUSH1, 1, SWAP1, SUB, DUP1, PUSH1, 5, JUMPI,
    PUSH1, 64, PUSH1, 0, KECCAK256, SLOAD, PUSH1, 0, MSTORE, PUSH1, 32, PUSH1, 0, RETURN,
};

static const u8 MODULAR[] = {
    PUSH4, 0, 0, 0, 0,
    PUSH32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x43, 0x21, 0xfc, 0x2f,
    PUSH1, 3, JUMPDEST,                                             /* i p x, at 40 */
    DUP2, DUP2, DUP1, MULMOD, DUP3, SWAP2, ADDMOD,                  /* i p (x*x + x) % p */
    DUP1, PUSH1, 13, SHL, XOR, DUP1, PUSH1, 7, SHR, NOT, XOR,
    SWAP2, PUSH1, 1, SWAP1, SUB, SWAP2, DUP3, PUSH1, 40, JUMPI,
    DUP2, SWAP1, MOD, PUSH1, 5, EXP, PUSH1, 0, MSTORE, PUSH1, 32, PUSH1, 0, RETURN,
};

static void execute(const char *name, const u8 *program, u32 size, u32 rounds) {
    u8 code[MAX_CODE];
    memcpy(code, program, size);
    for (int i = 0; i < 4; i++)
        code[1 + i] = (u8)(rounds >> (24 - 8 * i));
    memset(storage, 0, sizeof storage);
    memset(memory, 0, sizeof memory);
    u64 gas = ~0ull;
    u256 result;
    g_check(run(code, size, &gas, &result) == RETURNED, name);
    g_puts(name);
    g_putc(' ');
    for (int i = 3; i >= 0; i--)
        g_hex(result.limb[i], 16);
    g_puts(" gas ");
    g_dec(~gas);
    g_putc('\n');
}

int guest_main(int argc, char **argv) {
    u32 count = (u32)g_arg(argc, argv, 1, 10);
    execute("sum", SUM, sizeof SUM, count * 300);
    execute("token", TOKEN, sizeof TOKEN, count * 8);
    execute("modular", MODULAR, sizeof MODULAR, count * 40);

    static const u8 underflow[] = {PUSH1, 1, ADD}, wrong_jump[] = {PUSH1, 1, JUMP}, endless[] = {JUMPDEST, PUSH1, 0, JUMP};
    u64 gas = 1000;
    u256 result;
    g_check(run(underflow, sizeof underflow, &gas, &result) == STACK_FAULT, "underflow");
    g_check(run(wrong_jump, sizeof wrong_jump, &gas, &result) == BAD_JUMP, "jump into an operand");
    g_check(run(endless, sizeof endless, &gas, &result) == OUT_OF_GAS, "gas");
    return 0;
}
