/* Output, arguments and system calls. */
#include "guest.h"

static char out_buffer[1024];
static size_t out_used;

#ifdef __riscv

enum { SYS_READ = 63, SYS_WRITE = 64, SYS_EXIT_GROUP = 94 };

static long syscall3(long number, long a, long b, long c) {
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

long g_sys_write(int fd, const void *buf, size_t n) {
    return syscall3(SYS_WRITE, fd, (long)buf, (long)n);
}

long g_sys_read(int fd, void *buf, size_t n) {
    return syscall3(SYS_READ, fd, (long)buf, (long)n);
}

_Noreturn void g_exit(int status) {
    g_flush();
    for (;;)
        syscall3(SYS_EXIT_GROUP, status, 0, 0);
}

/* Called by start.S with the initial stack pointer: argc, argv[], NULL, ... */
_Noreturn void g_start(long *stack) {
    g_exit(guest_main((int)stack[0], (char **)(stack + 1)));
}

#endif

void g_flush(void) {
    size_t done = 0;
    while (done < out_used) {
        long n = g_sys_write(1, out_buffer + done, out_used - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    out_used = 0;
}

void g_putc(char c) {
    if (out_used == sizeof out_buffer)
        g_flush();
    out_buffer[out_used++] = c;
}

void g_puts(const char *s) {
    while (*s)
        g_putc(*s++);
}

void g_dec(u64 v) {
    char digits[20];
    int n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        g_putc(digits[--n]);
}

void g_hex(u64 v, int digits) {
    while (digits-- > 0)
        g_putc("0123456789abcdef"[(v >> (4 * digits)) & 15]);
}

void g_hexbytes(const u8 *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        g_hex(bytes[i], 2);
}

static void name_of(const char *name) {
    g_puts(name);
    g_putc(' ');
}

void g_line(const char *name, u64 v) {
    name_of(name);
    g_hex(v, 16);
    g_putc('\n');
}

void g_line_dec(const char *name, u64 v) {
    name_of(name);
    g_dec(v);
    g_putc('\n');
}

void g_line_bytes(const char *name, const u8 *bytes, size_t n) {
    name_of(name);
    g_hexbytes(bytes, n);
    g_putc('\n');
}

u64 g_arg(int argc, char **argv, int index, u64 otherwise) {
    if (argc <= index)
        return otherwise;
    u64 v = 0;
    for (const char *p = argv[index]; *p >= '0' && *p <= '9'; p++)
        v = v * 10 + (u64)(*p - '0');
    return v;
}

void g_check(bool ok, const char *what) {
    if (ok)
        return;
    g_puts("FAILED: ");
    g_puts(what);
    g_putc('\n');
    g_exit(1);
}
