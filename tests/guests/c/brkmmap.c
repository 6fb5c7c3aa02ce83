/* Memory from the system: the program break, anonymous mappings, protections;
 * fresh memory is zero, also where it was used before. */
#include "guest.h"
#include "sys.h"

enum { PAGE = 4096 };

static void check_zero(const u8 *p, size_t n) {
    u64 any = 0;
    for (size_t i = 0; i < n; i += 8)
        any |= *(const u64 *)(p + i);
    g_check(any == 0, "fresh memory is zero");
}

static u64 fill(u8 *p, size_t n, u64 seed) {
    u64 sum = 0;
    for (size_t i = 0; i < n; i += 8)
        sum ^= *(u64 *)(p + i) = g_rand(&seed);
    return sum;
}

static u64 sum_of(const u8 *p, size_t n) {
    u64 sum = 0;
    for (size_t i = 0; i < n; i += 8)
        sum ^= *(const u64 *)(p + i);
    return sum;
}

static u8 *map(void *at, size_t n, int flags) {
    return (u8 *)sys6(SYS_MMAP, (long)at, (long)n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static bool is_error(const void *p) { return (u64)p > (u64)-4096; }

int guest_main(int argc, char **argv) {
    (void)argc, (void)argv;
    u8 *start = (u8 *)sys3(SYS_BRK, 0, 0, 0);
    g_check(sys3(SYS_BRK, 0, 0, 0) == (long)start, "break stays");
    g_check((u8 *)sys3(SYS_BRK, (long)(start + 100000), 0, 0) == start + 100000, "break grows");
    u8 *aligned = (u8 *)(((u64)start + 15) & ~15ull);
    check_zero(aligned, 99968);
    u64 sum = fill(aligned, 99968, 1);
    g_check((u8 *)sys3(SYS_BRK, (long)(start + 3000000), 0, 0) == start + 3000000, "break grows again");
    g_check(sum_of(aligned, 99968) == sum, "contents stay");
    check_zero(aligned + 100000 / PAGE * PAGE + 2 * PAGE, 2000000);
    g_check(sys3(SYS_BRK, 16, 0, 0) == (long)(start + 3000000), "a break below the start is refused");
    g_check((u8 *)sys3(SYS_BRK, (long)(start + 50000), 0, 0) == start + 50000, "break shrinks");
    g_check((u8 *)sys3(SYS_BRK, (long)(start + 200000), 0, 0) == start + 200000, "break grows back");
    check_zero((u8 *)(((u64)start + 50000 + PAGE) & ~(u64)(PAGE - 1)), 100000);
    g_line("brk", sum);

    u8 *maps[8];
    sum = 0;
    for (int i = 0; i < 8; i++) {
        size_t n = (size_t)(i * i + 1) * 3 * PAGE;
        maps[i] = map(NULL, n, 0);
        g_check(!is_error(maps[i]) && (u64)maps[i] % PAGE == 0, "mmap");
        check_zero(maps[i], n);
        sum = g_mix(sum, fill(maps[i], n, (u64)i));
        for (int k = 0; k < i; k++)
            g_check(maps[i] + n <= maps[k] || maps[k] + (size_t)(k * k + 1) * 3 * PAGE <= maps[i], "no overlap");
    }
    for (int i = 0; i < 8; i += 2)
        g_check(sys3(SYS_MUNMAP, (long)maps[i], (i * i + 1) * 3 * PAGE, 0) == 0, "munmap");
    for (int i = 1; i < 8; i += 2)
        sum = g_mix(sum, sum_of(maps[i], (size_t)(i * i + 1) * 3 * PAGE));
    /* A fixed mapping over the middle of another replaces those pages only. */
    fill(maps[7], 10 * PAGE, 5);
    u64 before = sum_of(maps[7], 2 * PAGE), after = sum_of(maps[7] + 4 * PAGE, 6 * PAGE);
    g_check(map(maps[7] + 2 * PAGE, 2 * PAGE, MAP_FIXED) == maps[7] + 2 * PAGE, "fixed mapping");
    check_zero(maps[7] + 2 * PAGE, 2 * PAGE);
    g_check(sum_of(maps[7], 2 * PAGE) == before && sum_of(maps[7] + 4 * PAGE, 6 * PAGE) == after, "neighbours stay");
    g_check(sys3(SYS_MPROTECT, (long)maps[7], PAGE, PROT_READ) == 0, "mprotect");
    sum = g_mix(sum, sum_of(maps[7], PAGE));
    g_check(sys3(SYS_MPROTECT, (long)maps[7], PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect back");
    fill(maps[7], PAGE, 6);
    g_check(sys3(SYS_MUNMAP, (long)maps[7] + 1, PAGE, 0) == -ERR_INVAL, "munmap of a part of a page");
    g_check(is_error(map(NULL, 0, 0)), "mmap of nothing");
    g_line("mmap", sum);

    /* Sixteen mebibytes, one word in each page. */
    u8 *big = map(NULL, 16 << 20, 0);
    g_check(!is_error(big), "big mapping");
    for (size_t i = 0; i < 16 << 20; i += PAGE)
        *(u64 *)(big + i + 8) = i;
    u64 total = 0;
    for (size_t i = 0; i < 16 << 20; i += PAGE)
        total += *(u64 *)(big + i) + *(u64 *)(big + i + 8);
    g_line_dec("big", total);
    return 0;
}
