/* setjmp and longjmp of its own, and coroutines that change stacks: returns to
 * places that no call of the moment names. */
#include "guest.h"

typedef struct {
    u64 ra, sp, s[12];
} context;

/* Returns 0, and again with another value whenever context_resume comes. */
__attribute__((returns_twice)) int context_save(context *c);
_Noreturn void context_resume(const context *c, int value);
/* Saves into `from`, continues at `to`. */
void context_switch(context *from, const context *to);

__asm__(".text\n"
        ".globl context_save\n"
        "context_save:\n"
        "    sd ra, 0(a0)\n    sd sp, 8(a0)\n"
        "    sd s0, 16(a0)\n    sd s1, 24(a0)\n    sd s2, 32(a0)\n    sd s3, 40(a0)\n"
        "    sd s4, 48(a0)\n    sd s5, 56(a0)\n    sd s6, 64(a0)\n    sd s7, 72(a0)\n"
        "    sd s8, 80(a0)\n    sd s9, 88(a0)\n    sd s10, 96(a0)\n    sd s11, 104(a0)\n"
        "    li a0, 0\n"
        "    ret\n"
        ".globl context_switch\n"
        "context_switch:\n"
        "    sd ra, 0(a0)\n    sd sp, 8(a0)\n"
        "    sd s0, 16(a0)\n    sd s1, 24(a0)\n    sd s2, 32(a0)\n    sd s3, 40(a0)\n"
        "    sd s4, 48(a0)\n    sd s5, 56(a0)\n    sd s6, 64(a0)\n    sd s7, 72(a0)\n"
        "    sd s8, 80(a0)\n    sd s9, 88(a0)\n    sd s10, 96(a0)\n    sd s11, 104(a0)\n"
        "    mv a0, a1\n"
        ".globl context_resume\n"
        "context_resume:\n"
        "    ld ra, 0(a0)\n    ld sp, 8(a0)\n"
        "    ld s0, 16(a0)\n    ld s1, 24(a0)\n    ld s2, 32(a0)\n    ld s3, 40(a0)\n"
        "    ld s4, 48(a0)\n    ld s5, 56(a0)\n    ld s6, 64(a0)\n    ld s7, 72(a0)\n"
        "    ld s8, 80(a0)\n    ld s9, 88(a0)\n    ld s10, 96(a0)\n    ld s11, 104(a0)\n"
        "    mv a0, a1\n"
        "    ret\n");

/* ---- errors thrown out of deep recursion ---- */

static context handlers[4];
static int handler_depth;

static void throw_error(int value) { context_resume(&handlers[--handler_depth], value); }

static __attribute__((noinline)) u64 descend(u64 n, u64 limit) {
    if (n == limit)
        throw_error((int)n + 1);
    if (n > limit)
        return n;
    volatile u64 local = n;
    return descend(n + 1, limit) + local;
}

static u64 guarded(u64 limit) {
    volatile u64 kept = limit * 3;
    int value = context_save(&handlers[handler_depth++]);
    if (value == 0)
        return descend(0, limit);
    return kept + (u64)value;
}

static u64 nested(u64 i) {
    int value = context_save(&handlers[handler_depth++]);
    if (value)
        return 1000 + (u64)value;
    u64 inner = guarded(i + 2);
    if (inner & 1)
        throw_error((int)inner);
    handler_depth--;
    return inner;
}

/* ---- coroutines ---- */

enum { ROUTINES = 4, STACK = 2048 };

static context scheduler, routines[ROUTINES];
static u64 stacks[ROUTINES][STACK / 8] __attribute__((aligned(16)));
static u64 channel;
static int running, alive;

static void pause(void) { context_switch(&routines[running], &scheduler); }

static __attribute__((noinline)) void depth_pause(int depth, u64 v) {
    if (depth) {
        depth_pause(depth - 1, v + 1);
        channel = g_mix(channel, v);
    } else {
        channel = g_mix(channel, v * 3);
        pause();
    }
}

static void routine(void) {
    int me = running;
    for (int i = 0; i < 10 + 5 * me; i++)
        depth_pause((i + me) % 6, (u64)(100 * me + i));
    alive--;
    routines[me].ra = 0;
    context_resume(&scheduler, 0);
}

int guest_main(int argc, char **argv) {
    (void)argc, (void)argv;
    u64 sum = 0;
    for (u64 i = 0; i < 200; i++) {
        sum = g_mix(sum, guarded(i % 50));
        sum = g_mix(sum, nested(i));
        g_check(handler_depth == 0, "handlers");
    }
    g_line("throws", sum);

    /* Save returns many times to one place. */
    volatile int rounds = 0;
    static context loop;
    int value = context_save(&loop);
    rounds = rounds + 1;
    if (value < 100)
        context_resume(&loop, value + 1);
    g_line_dec("rounds", (u64)rounds);
    g_check(rounds == 101, "rounds");

    for (int i = 0; i < ROUTINES; i++) {
        routines[i].ra = (u64)routine;
        routines[i].sp = (u64)(stacks[i] + STACK / 8);
    }
    alive = ROUTINES;
    u64 switches = 0;
    while (alive)
        for (running = 0; running < ROUTINES; running++)
            if (routines[running].ra) {
                context_switch(&scheduler, &routines[running]);
                switches++;
            }
    g_line_dec("switches", switches);
    g_line("channel", channel);
    return 0;
}
