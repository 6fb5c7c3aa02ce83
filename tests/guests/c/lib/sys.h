/* System calls with any number and arguments; RISC-V only. */
#ifndef SYS_H
#define SYS_H

enum {
    SYS_IOCTL = 29, SYS_CLOSE = 57, SYS_LSEEK = 62, SYS_READ = 63, SYS_WRITE = 64, SYS_WRITEV = 66, SYS_FSTAT = 80,
    SYS_EXIT = 93, SYS_EXIT_GROUP = 94, SYS_SET_TID_ADDRESS = 96, SYS_CLOCK_GETTIME = 113, SYS_KILL = 129,
    SYS_GETPID = 172, SYS_BRK = 214, SYS_MUNMAP = 215, SYS_MMAP = 222, SYS_MPROTECT = 226, SYS_GETRANDOM = 278,
};

enum { ERR_BADF = 9, ERR_FAULT = 14, ERR_INVAL = 22, ERR_NOSYS = 38 };

enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANONYMOUS = 32 };

/* The result as the kernel gives it: -errno on failure. */
static inline long sys6(long number, long a, long b, long c, long d, long e, long f) {
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return a0;
}

static inline long sys3(long number, long a, long b, long c) { return sys6(number, a, b, c, 0, 0, 0); }

#endif
