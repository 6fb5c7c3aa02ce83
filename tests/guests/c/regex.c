/* Regular expressions: a recursive-descent compiler to a nondeterministic
 * automaton, run with a set of states (no backtracking), and a backtracking
 * matcher over the same automaton to compare with. */
#include "guest.h"

enum { STATES = 256 };

enum kind { CHAR, ANY, CLASS, SPLIT, MATCH };

typedef struct {
    enum kind kind;
    u8 c;
    i32 out, out1; /* next states; -1 is not connected yet */
    u64 set[4];
} state;

static state states[STATES];
static i32 used;
static const char *pattern;

static i32 new_state(enum kind kind, i32 out, i32 out1) {
    g_check(used < STATES, "room for states");
    states[used] = (state){.kind = kind, .out = out, .out1 = out1};
    return used++;
}

/* A fragment leaves through state `end`, a SPLIT with both outputs equal. */
typedef struct {
    i32 start, end;
} fragment;

static fragment parse_choice(void);

static void connect(i32 end, i32 to) { states[end].out = states[end].out1 = to; }

static fragment parse_atom(void) {
    i32 end = new_state(SPLIT, -1, -1);
    char c = *pattern++;
    if (c == '(') {
        fragment f = parse_choice();
        g_check(*pattern++ == ')', "closing parenthesis");
        return f;
    }
    if (c == '.')
        return (fragment){new_state(ANY, end, -1), end};
    if (c == '[') {
        i32 s = new_state(CLASS, end, -1);
        bool negated = *pattern == '^';
        pattern += negated;
        while (*pattern != ']') {
            u8 from = (u8)*pattern++, to = from;
            if (*pattern == '-' && pattern[1] != ']') {
                to = (u8)pattern[1];
                pattern += 2;
            }
            for (u32 k = from; k <= to; k++)
                states[s].set[k / 64] |= 1ull << (k % 64);
        }
        pattern++;
        if (negated)
            for (int k = 0; k < 4; k++)
                states[s].set[k] = ~states[s].set[k];
        return (fragment){s, end};
    }
    if (c == '\\')
        c = *pattern++;
    i32 s = new_state(CHAR, end, -1);
    states[s].c = (u8)c;
    return (fragment){s, end};
}

static fragment parse_repeat(void) {
    fragment f = parse_atom();
    for (;; pattern++) {
        i32 end, split;
        switch (*pattern) {
        case '*':
            end = new_state(SPLIT, -1, -1);
            split = new_state(SPLIT, f.start, end);
            connect(f.end, split);
            f = (fragment){split, end};
            break;
        case '+':
            end = new_state(SPLIT, -1, -1);
            split = new_state(SPLIT, f.start, end);
            connect(f.end, split);
            f = (fragment){f.start, end};
            break;
        case '?':
            split = new_state(SPLIT, f.start, f.end);
            f = (fragment){split, f.end};
            break;
        default:
            return f;
        }
    }
}

static fragment parse_sequence(void) {
    fragment f = parse_repeat();
    while (*pattern && *pattern != '|' && *pattern != ')') {
        fragment g = parse_repeat();
        connect(f.end, g.start);
        f.end = g.end;
    }
    return f;
}

static fragment parse_choice(void) {
    fragment f = parse_sequence();
    while (*pattern == '|') {
        pattern++;
        fragment g = parse_sequence();
        i32 end = new_state(SPLIT, -1, -1);
        connect(f.end, end);
        connect(g.end, end);
        f = (fragment){new_state(SPLIT, f.start, g.start), end};
    }
    return f;
}

static i32 compile(const char *text) {
    used = 0;
    pattern = text;
    fragment f = parse_choice();
    g_check(*pattern == 0, "whole pattern");
    connect(f.end, new_state(MATCH, -1, -1));
    return f.start;
}

static bool accepts(const state *s, u8 c) {
    return s->kind == CHAR ? s->c == c : s->kind == ANY ? c != '\n' : (s->set[c / 64] >> (c % 64)) & 1;
}

/* ---- set of states ---- */

typedef struct {
    i32 list[STATES], n;
} state_set;

static u32 marks[STATES], mark;

static void add_state(state_set *set, i32 s) {
    if (marks[s] == mark)
        return;
    marks[s] = mark;
    if (states[s].kind == SPLIT) {
        add_state(set, states[s].out);
        add_state(set, states[s].out1);
        return;
    }
    set->list[set->n++] = s;
}

/* Length of the longest match at the start of the text, or -1. */
static i64 longest(i32 start, const char *text, size_t n) {
    static state_set sets[2];
    state_set *now = &sets[0], *next = &sets[1];
    i64 best = -1;
    now->n = 0;
    mark++;
    add_state(now, start);
    for (size_t at = 0; now->n; at++) {
        next->n = 0;
        mark++;
        for (i32 i = 0; i < now->n; i++) {
            const state *s = &states[now->list[i]];
            if (s->kind == MATCH)
                best = (i64)at;
            else if (at < n && accepts(s, (u8)text[at]))
                add_state(next, s->out);
        }
        state_set *t = now;
        now = next;
        next = t;
    }
    return best;
}

/* ---- backtracking: does any match end exactly at the end? ---- */

static u32 fuel;

static bool backtrack(i32 s, const char *text, size_t n) {
    for (;;) {
        if (!fuel)
            return false;
        fuel--;
        const state *st = &states[s];
        if (st->kind == MATCH)
            return n == 0;
        if (st->kind == SPLIT) {
            if (st->out != st->out1 && backtrack(st->out, text, n))
                return true;
            s = st->out1;
            continue;
        }
        if (!n || !accepts(st, (u8)*text))
            return false;
        text++, n--;
        s = st->out;
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 2);
    static const char *const patterns[] = {
        "[a-z]+@[a-z]+\\.(com|org|net)",
        "(ab|a)(bc|c)?[0-9]*",
        "[-+]?[0-9]+(\\.[0-9]+)?(e[-+]?[0-9]+)?",
        "a.c|[^a-m ]+x?",
        "(0|1(01*0)*1)+",
        "(a?b?c?)d(x|y|z)*",
    };
    static char text[2048];
    u64 seed = 18, sum = 0;
    for (u64 round = 0; round < count; round++) {
        static const char *const pieces[] = {"abc", "bob@mail.org", " ", "12.5e-3", "110", "x@y.com", "abcdxyz",
                                             "-7", "a c", "\n", "zzz", "1001", "q"};
        size_t n = 0;
        while (n < sizeof text - 16) {
            const char *p = pieces[g_rand(&seed) % G_COUNT(pieces)];
            while (*p)
                text[n++] = *p++;
        }
        for (size_t k = 0; k < G_COUNT(patterns); k++) {
            i32 start = compile(patterns[k]);
            u64 matches = 0;
            for (size_t at = 0; at < n;) {
                i64 length = longest(start, text + at, n - at);
                if (length > 0) {
                    fuel = 20000;
                    bool agree = backtrack(start, text + at, (size_t)length);
                    g_check(agree || !fuel, "both matchers agree");
                    matches++;
                    sum = g_mix(sum, at * 4096 + (u64)length);
                }
                at += length > 0 ? (size_t)length : 1;
            }
            sum = g_mix(sum, matches);
        }
    }
    g_line("regex", sum);
    return 0;
}
