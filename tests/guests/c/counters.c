/* The counters cycle, time and instret: they never go back. With the argument
 * `exact` it also checks that each is the number of instructions retired
 * before the one that reads it. */
#include "guest.h"

#define READ(name)                                                                                 \
    ({                                                                                             \
        u64 v_;                                                                                    \
        __asm__ volatile("csrr %0, " #name : "=r"(v_)::"memory");                                  \
        v_;                                                                                        \
    })

int guest_main(int argc, char **argv) {
    bool exact = argc > 1 && strcmp(argv[1], "exact") == 0;
    u64 last_cycle = READ(cycle), last_time = READ(time), last_instret = READ(instret);
    for (int i = 0; i < 100; i++) {
        u64 cycle = READ(cycle), time = READ(time), instret = READ(instret);
        g_check(cycle >= last_cycle && time >= last_time && instret >= last_instret, "never back");
        last_cycle = cycle, last_time = time, last_instret = instret;
    }
    if (exact) {
        u64 a, b, c, d, e;
        __asm__ volatile(".option push\n.option norvc\n"
                         "csrr %0, instret\n"
                         "csrr %1, cycle\n"
                         "nop\n"
                         "csrrs %2, time, x0\n"
                         "csrrci %3, instret, 0\n"
                         "addi %3, %3, 0\n"
                         ".option rvc\nc.nop\n.option norvc\n"
                         "csrrc x0, cycle, x0\n"
                         "csrrsi %4, cycle, 0\n"
                         ".option pop\n"
                         : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "=&r"(e)::"memory");
        g_check(b == a + 1 && c == a + 3 && d == a + 4 && e == a + 8, "steps between");
        u64 before = READ(instret), n = 1000;
        __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(n));
        u64 after = READ(instret);
        g_check(after - before >= 2000 && after - before < 2010, "steps of a loop");
        g_line_dec("steps so far", READ(instret));
    }
    g_puts("counters behave\n");
    return 0;
}
