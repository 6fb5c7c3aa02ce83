/* Calls through pointers: objects with tables of functions, callbacks with
 * state, a threaded list of small steps, and tail calls between states. */
#include "guest.h"

typedef struct shape shape;

typedef struct {
    const char *name;
    u64 (*area)(const shape *);
    u64 (*edge)(const shape *);
    void (*grow)(shape *, u64);
} shape_table;

struct shape {
    const shape_table *table;
    u64 a, b;
};

static u64 square_area(const shape *s) { return s->a * s->a; }
static u64 square_edge(const shape *s) { return 4 * s->a; }
static void square_grow(shape *s, u64 n) { s->a += n; }
static u64 oblong_area(const shape *s) { return s->a * s->b; }
static u64 oblong_edge(const shape *s) { return 2 * (s->a + s->b); }
static void oblong_grow(shape *s, u64 n) { s->a += n, s->b ^= n; }
static u64 circle_area(const shape *s) { return s->a * s->a * 355 / 113; }
static u64 circle_edge(const shape *s) { return 2 * s->a * 355 / 113; }
static void circle_grow(shape *s, u64 n) { s->a = (s->a * 3 + n) & 0xffff; }
static u64 ring_area(const shape *s) { return circle_area(s) - s->b * s->b * 355 / 113; }
static u64 ring_edge(const shape *s) { return circle_edge(s) + 2 * s->b * 355 / 113; }
static void ring_grow(shape *s, u64 n) { s->b = s->a, s->a += n & 7; }

static const shape_table tables[] = {
    {"square", square_area, square_edge, square_grow},
    {"oblong", oblong_area, oblong_edge, oblong_grow},
    {"circle", circle_area, circle_edge, circle_grow},
    {"ring", ring_area, ring_edge, ring_grow},
};

/* ---- callbacks ---- */

typedef u64 (*visitor)(void *state, u64 v);

typedef struct {
    u64 sum, limit;
} tally;

static u64 add_up(void *state, u64 v) { return ((tally *)state)->sum += v; }

static u64 count_large(void *state, u64 v) {
    tally *t = state;
    return t->sum += v > t->limit;
}

static u64 keep_mixed(void *state, u64 v) {
    tally *t = state;
    return t->sum = g_mix(t->sum, v ^ t->limit);
}

static u64 visit(const shape *s, int n, visitor f, void *state) {
    u64 last = 0;
    for (int i = 0; i < n; i++)
        last = f(state, s[i].table->area(&s[i]) ^ s[i].table->edge(&s[i]));
    return last;
}

/* ---- states that hand over by tail calls ---- */

typedef struct {
    u64 value, steps;
} machine;

typedef u64 (*handler)(machine *);

static u64 state_even(machine *m);
static u64 state_odd(machine *m);
static u64 state_done(machine *m);
static const handler handlers[] = {state_even, state_odd, state_done};

static handler next_state(const machine *m) { return handlers[m->value <= 1 ? 2 : m->value & 1]; }

static u64 state_even(machine *m) {
    m->value /= 2;
    m->steps++;
    return next_state(m)(m);
}

static u64 state_odd(machine *m) {
    m->value = 3 * m->value + 1;
    m->steps++;
    return next_state(m)(m);
}

static u64 state_done(machine *m) { return m->steps; }

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1000);
    enum { N = 64 };
    static shape shapes[N];
    static const visitor visitors[] = {add_up, count_large, keep_mixed};
    u64 seed = 31, sum = 0;
    for (int i = 0; i < N; i++) {
        u64 r = g_rand(&seed);
        shapes[i] = (shape){&tables[r % G_COUNT(tables)], r >> 8 & 255, r >> 16 & 127};
    }
    for (u64 round = 0; round < count; round++) {
        tally t = {round, 5000 + round};
        sum = g_mix(sum, visit(shapes, N, visitors[round % G_COUNT(visitors)], &t));
        for (int i = (int)(round & 7); i < N; i += 8)
            shapes[i].table->grow(&shapes[i], round & 15);
        machine m = {round + 1, 0};
        sum = g_mix(sum, next_state(&m)(&m));
    }
    for (int i = 0; i < 3; i++)
        g_puts(shapes[i].table->name), g_putc(' ');
    g_line("dispatch", sum);
    return 0;
}
