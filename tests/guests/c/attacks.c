/* Attempts to get out, by name: argv[1] selects one. Each ends in a fault, or finds itself refused
 * and says "contained", or takes without end until a limit stops it. "escaped" is never said. */
#include "guest.h"
#include "sys.h"

typedef int (*code)(void);

static u8 buffer[65536] __attribute__((aligned(4096)));

/* Addresses of the host: the image of the program, where the kernel maps, the kernel itself. */
static const u64 host[] = {
    0x110000000, 0x110001000, 0x111000000, 0x555555554000, 0x7f0000000000, 0x7ffff7fff000, 0x7ffffffff000,
    0x8000000000000000, 0xffffffff80000000, 0xffffffffff600000, 0xfffffffffffffff8,
};

/* Two instructions: li a0, 77; ret. */
static const u32 payload[] = {0x04d00513, 0x00008067};

static void escaped(const char *how) {
    g_puts("escaped: ");
    g_puts(how);
    g_putc('\n');
    g_exit(1);
}

static long map(u64 addr, u64 length, long prot, long flags) {
    return sys6(SYS_MMAP, (long)addr, (long)length, prot, flags, -1, 0);
}

/* ---- memory outside of what the guest has ---------------------------------------- */

static u64 load(u64 addr) {
    G_OPAQUE(addr);
    return *(volatile u64 *)addr;
}

static void store(u64 addr) {
    G_OPAQUE(addr);
    *(volatile u64 *)addr = 0x4141414141414141;
}

static void read_null(void) { load(0); }
static void read_below(void) { load(0xfff8); }
static void read_edge(void) { load(0xfffff000); }
static void read_last(void) { load(0xfffffffc); }
static void write_null(void) { store(0); }
static void write_edge(void) { store(0xffffeffc); }
static void write_last(void) { store(0xfffffff8); }
static void write_text(void) { store((u64)guest_main & ~7u); }

/* Every page without an owner, by the one call that tells without a fault. */
static void probe(void) {
    u64 found = 0;
    for (u64 page = 0; page < (u64)1 << 32; page += 1 << 20)
        found += sys3(SYS_WRITE, 3, (long)page, 1) != -ERR_BADF;
    for (size_t i = 0; i < G_COUNT(host); i++) {
        for (long length = 1; length <= 65536; length *= 256) {
            found += sys3(SYS_WRITE, 1, (long)host[i], length) != -ERR_FAULT;
            found += sys3(SYS_READ, 0, (long)host[i], length) != -ERR_FAULT;
            found += sys3(SYS_GETRANDOM, (long)host[i], length, 0) != -ERR_FAULT;
            found += sys3(SYS_CLOCK_GETTIME, 1, (long)host[i], 0) != -ERR_FAULT;
            found += sys3(SYS_FSTAT, 1, (long)host[i], 0) != -ERR_FAULT;
        }
        struct { u64 base, length; } parts[] = {{(u64)buffer, 1}, {host[i], 8}};
        found += sys3(SYS_WRITEV, 1, (long)parts, 2) > 1;
        found += sys3(SYS_WRITEV, 1, (long)host[i], 1) != -ERR_FAULT;
    }
    g_line_dec("found", found);
    if (found != 0) escaped("a call reached the host's memory");
}

/* ---- code ------------------------------------------------------------------------ */

static void call(u64 addr) {
    G_OPAQUE(addr);
    int result = ((code)addr)();
    escaped(result == 77 ? "data was executed" : "a jump came back");
}

static void exec_data(void) {
    memcpy(buffer, payload, sizeof payload);
    __asm__ volatile("fence.i");
    call((u64)buffer);
}

static void exec_stack(void) {
    volatile u32 code[2] = {payload[0], payload[1]};
    __asm__ volatile("fence.i" ::: "memory");
    call((u64)code);
}

static void exec_mapped(void) {
    long addr = map(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS);
    memcpy((void *)addr, payload, sizeof payload);
    sys3(SYS_MPROTECT, addr, 4096, 5);
    __asm__ volatile("fence.i");
    call((u64)addr);
}

static void exec_heap(void) {
    long end = sys3(SYS_BRK, 0, 0, 0);
    sys3(SYS_BRK, end + 4096, 0, 0);
    memcpy((void *)end, payload, sizeof payload);
    call((u64)end);
}

static void jump_host(void) { call(0x110001000); }
static void jump_table(void) { call(0x110000080); }
static void jump_odd(void) { call((u64)guest_main + 0x200000001); }
static void jump_kernel(void) { call(0xffffffff80000000); }
static void jump_last(void) { call(0xfffffffffffffffe); }
static void jump_null(void) { call(0); }

static int constant(void) {
    int value = 5;
    G_OPAQUE(value);
    return value;
}

/* Makes its own text writable, and writes over it: what runs stays what was translated. */
static void own_text(void) {
    u64 at = (u64)constant, page = at & ~(u64)4095;
    if (sys3(SYS_MPROTECT, (long)page, 8192, PROT_READ | PROT_WRITE) != 0) escaped("the text is not mapped");
    memcpy((void *)at, payload, sizeof payload);
    __asm__ volatile("fence.i");
    code f = constant;
    G_OPAQUE(f);
    if (memcmp((void *)at, payload, sizeof payload) != 0) escaped("the write is lost");
    if (f() != 5) escaped("code was changed");
}

/* The same with other memory in the place of its text. */
static void map_over_text(void) {
    u64 at = (u64)constant, page = at & ~(u64)4095;
    long got = map(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
    code f = constant;
    G_OPAQUE(f);
    if (got != (long)page || load(at) != 0) escaped("no new memory");
    if (f() != 5) escaped("code was changed");
}

/* ---- calls ----------------------------------------------------------------------- */

/* Every number, with arguments that hurt if they get through. Nothing but a few answers. */
static void calls(void) {
    static const long values[] = {0, 1, 3, -1, 0x110001000, 0x7fffffffffffffff, (long)0x8000000000000000};
    u64 sum = 0, fine = 0;
    for (long number = -2; number < 1100; number++) {
        switch (number) {
        case SYS_EXIT: case SYS_EXIT_GROUP: case SYS_BRK: case SYS_MMAP: case SYS_MUNMAP: case SYS_MPROTECT: continue;
        }
        for (size_t i = 0; i < G_COUNT(values); i++) {
            long result = sys6(number, values[i], (long)host[i], values[(i + 2) % 7], (long)buffer, 1, values[(i + 1) % 7]);
            fine += result >= 0;
            sum = g_mix(sum, (u64)result);
        }
    }
    g_line_dec("answered", fine);
    g_line("results", sum);
}

/* Whatever could tell time, place or chance: the same in every run. */
static void witnesses(void) {
    u64 time[2] = {0, 0}, random[4], sum = 0, count;
    for (long clock = 0; clock < 12; clock++) {
        sys3(SYS_CLOCK_GETTIME, clock, (long)time, 0);
        sum = g_mix(g_mix(sum, time[0]), time[1]);
    }
    sys3(SYS_GETRANDOM, (long)random, sizeof random, 0);
    for (int i = 0; i < 4; i++) sum = g_mix(sum, random[i]);
    for (long number = 172; number <= 178; number++) sum = g_mix(sum, (u64)sys3(number, 0, 0, 0));
    __asm__ volatile("csrr %0, cycle" : "=r"(count));
    sum = g_mix(sum, count);
    __asm__ volatile("csrr %0, time" : "=r"(count));
    g_line("witnesses", g_mix(sum, count));
    /* All of the initial stack above: arguments, environment, auxiliary vector. */
    u64 *at = __builtin_frame_address(0);
    for (; (u64)at < 0xfffff000; at++) {
        sum = g_mix(sum, *at);
        if (*at >> 32 != 0 && *at >> 47 == 0 && (*at & 0xfff) == 0) g_line("looks like an address of the host", *at);
    }
    g_line("stack", sum);
}

/* Requests for memory that cannot be had, and the edges of those that can. */
static void enormous(void) {
    static const u64 sizes[] = {0, 1, 0xffffe000, 0xfffff000, 0xfffff001, 0x100000000, 0x7fffffffffffffff,
        0x8000000000000000, 0xfffffffffffff000, 0xffffffffffffffff};
    u64 sum = 0;
    for (size_t i = 0; i < G_COUNT(sizes); i++) {
        sum = g_mix(sum, (u64)sys3(SYS_BRK, (long)sizes[i], 0, 0));
        sum = g_mix(sum, (u64)map(0, sizes[i], 3, MAP_PRIVATE | MAP_ANONYMOUS));
        sum = g_mix(sum, (u64)sys3(SYS_MUNMAP, 0x50000000, (long)sizes[i], 0) & (sizes[i] > 1 ? ~(u64)0 : 0));
        for (size_t h = 0; h < G_COUNT(host); h++) {
            long got = map(host[h], sizes[i], 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
            if (got >= 0) escaped("memory at an address of the host");
            sum = g_mix(sum, (u64)got);
            sum = g_mix(sum, (u64)sys3(SYS_MPROTECT, (long)host[h], (long)sizes[i], 7));
            sum = g_mix(sum, (u64)sys3(SYS_MUNMAP, (long)host[h], (long)sizes[i], 0));
        }
    }
    if (map(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) >= 0) escaped("memory at 0");
    if (map(0xfffff000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) >= 0) escaped("the last page");
    g_line("results", sum);
}

/* As many pieces of memory as there can be. */
static void pieces(void) {
    u64 made = 0;
    for (u64 at = 0x40000000; made < 5000; at += 8192, made++)
        if (map(at, 4096, made % 2 ? 1 : 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) < 0) break;
    g_line_dec("pieces", made);
}

/* ---- without end ----------------------------------------------------------------- */

static void spin(void) { for (;;) __asm__ volatile(""); }
static void spin_calls(void) { for (;;) sys3(9999, 0, 0, 0); }

static void spin_jumps(void) {
    /* To the middle of an instruction that reads as another: never at a block. */
    __asm__ volatile("la t0, 1f\n jr t0\n .balign 4\n 1: jr t0" ::: "t0");
}

static int deeper(int depth) {
    volatile int here[16] = {depth};
    return depth < 0 ? 0 : deeper(depth + 1) + here[0];
}

static void recursion(void) { g_line_dec("depth", (u64)deeper(0)); }

/* Takes all memory there is, and uses it. */
static void exhaust(void) {
    u64 taken = 0;
    for (u64 size = 1 << 20;; taken += size) {
        long at = map(0, size, 3, MAP_PRIVATE | MAP_ANONYMOUS);
        if (at < 0) break;
        for (u64 page = 0; page < size; page += 65536) store((u64)at + page);
    }
    g_line_dec("taken", taken);
}

static void exhaust_heap(void) {
    u64 end = (u64)sys3(SYS_BRK, 0, 0, 0), first = end;
    for (; (u64)sys3(SYS_BRK, (long)(end + 65536), 0, 0) == end + 65536; end += 65536) store(end);
    g_line_dec("taken", end - first);
}

/* Makes the trace as large as it can, in few steps. */
static void events(void) {
    for (int i = 0; i < 64; i++) sys3(SYS_GETRANDOM, (long)buffer, sizeof buffer, 0);
}

static void events_forever(void) { for (;;) events(); }

/* Standard output, standard error. */
static void complain(void) { sys3(SYS_WRITE, 2, (long)"complaint\n", 10); }

/* Large memory, and every call that changes it. */
static void memory(void) {
    long at = map(0, 8 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS);
    store((u64)at);
    if (sys3(SYS_MPROTECT, at, 4096, 1) != 0 || sys3(SYS_MUNMAP, at, 8 << 20, 0) != 0) escaped("memory is lost");
}

static const struct {
    const char *name;
    void (*run)(void);
} attacks[] = {
    {"read_null", read_null}, {"read_below", read_below}, {"read_edge", read_edge}, {"read_last", read_last},
    {"write_null", write_null}, {"write_edge", write_edge}, {"write_last", write_last}, {"write_text", write_text},
    {"probe", probe}, {"exec_data", exec_data}, {"exec_stack", exec_stack}, {"exec_mapped", exec_mapped},
    {"exec_heap", exec_heap}, {"jump_host", jump_host}, {"jump_table", jump_table}, {"jump_odd", jump_odd},
    {"jump_kernel", jump_kernel}, {"jump_last", jump_last}, {"jump_null", jump_null}, {"own_text", own_text},
    {"map_over_text", map_over_text}, {"calls", calls}, {"witnesses", witnesses}, {"enormous", enormous},
    {"pieces", pieces}, {"spin", spin}, {"spin_calls", spin_calls}, {"spin_jumps", spin_jumps},
    {"recursion", recursion}, {"exhaust", exhaust}, {"exhaust_heap", exhaust_heap}, {"events", events},
    {"events_forever", events_forever}, {"complain", complain}, {"memory", memory},
};

int guest_main(int argc, char **argv) {
    if (argc < 2) {
        /* The names, for who wants to try them all. */
        for (size_t i = 0; i < G_COUNT(attacks); i++) {
            g_puts(attacks[i].name);
            g_putc('\n');
        }
        return 0;
    }
    for (size_t i = 0; i < G_COUNT(attacks); i++)
        if (strcmp(argv[1], attacks[i].name) == 0) {
            attacks[i].run();
            g_puts("contained\n");
            return 0;
        }
    return 2;
}
