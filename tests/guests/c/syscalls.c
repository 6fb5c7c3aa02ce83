/* Edges of the system calls: unknown numbers, bad descriptors and addresses,
 * empty and scattered writes, descriptors 0 to 2. */
#include "guest.h"
#include "sys.h"

typedef struct {
    const void *base;
    u64 length;
} vector;

int guest_main(int argc, char **argv) {
    (void)argc, (void)argv;
    g_check(sys3(9999, 1, 2, 3) == -ERR_NOSYS, "unknown call");
    g_check(sys3(9999, 1, 2, 3) == -ERR_NOSYS, "unknown call, again");
    g_check(sys3(5555, 0, 0, 0) == -ERR_NOSYS, "another unknown call");
    g_check(sys3(-1, 0, 0, 0) == -ERR_NOSYS, "call -1");
    g_check(sys3(SYS_WRITE, 77, (long)"x", 1) == -ERR_BADF, "write to a descriptor that is not open");
    g_check(sys3(SYS_WRITE, -1, (long)"x", 1) == -ERR_BADF, "write to descriptor -1");
    g_check(sys3(SYS_WRITE, 1, 16, 4) == -ERR_FAULT, "write from an address that is not mapped");
    g_check(sys3(SYS_READ, 77, 0, 0) == -ERR_BADF, "read from a descriptor that is not open");
    g_check(sys3(SYS_WRITE, 1, (long)"x", 0) == 0, "write of nothing");
    vector parts[] = {{"scattered ", 10}, {NULL, 0}, {"write", 5}, {"\n", 1}};
    g_check(sys3(SYS_WRITEV, 1, (long)parts, 4) == 16, "writev");
    g_check(sys3(SYS_WRITEV, 1, (long)parts, 0) == 0, "writev of nothing");
    g_check(sys3(SYS_WRITEV, 77, (long)parts, 4) == -ERR_BADF, "writev to a descriptor that is not open");
    u64 status[16];
    memset(status, 0xa5, sizeof status);
    g_check(sys3(SYS_FSTAT, 1, (long)status, 0) == 0, "fstat");
    g_check(sys3(SYS_FSTAT, 77, (long)status, 0) == -ERR_BADF, "fstat of a descriptor that is not open");
    static u32 thread;
    g_check(sys3(SYS_SET_TID_ADDRESS, (long)&thread, 0, 0) > 0, "set_tid_address");
    /* All registers but a0 keep their values over a call. */
    register u64 a1 __asm__("a1") = 0x1111, a5 __asm__("a5") = 0x5555, t0 __asm__("t0") = 0x7777, t6 __asm__("t6") = 0x6666;
    register u64 a0 __asm__("a0") = 1, a7 __asm__("a7") = 9999, s11 __asm__("s11") = 0x1212, ra __asm__("ra") = 0x3333;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1), "+r"(a5), "+r"(t0), "+r"(t6), "+r"(a7), "+r"(s11), "+r"(ra));
    bool kept = a1 == 0x1111 && a5 == 0x5555 && t0 == 0x7777 && t6 == 0x6666 && a7 == 9999 && s11 == 0x1212 && ra == 0x3333;
    g_check(kept && a0 == (u64)-ERR_NOSYS, "registers over a call");
    g_puts("calls behave\n");
    g_flush();
    /* The status is eight bits wide; exit, not exit_group. */
    sys3(SYS_EXIT, 0x1234 << 8 | 42, 0, 0);
    return 1;
}
