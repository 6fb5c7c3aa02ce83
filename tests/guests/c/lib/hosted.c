/* What picolibc wants of the system below it: entry, thread-local storage,
 * constructors, standard streams, memory, exit. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

int main(int argc, char **argv, char **envp);
void __libc_init_array(void);

/* The linker script puts the initial values of thread-local variables, and
 * zeros behind them, where the only thread can use them in place. */
__asm__(".text\n"
        ".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    .option push\n"
        "    .option norelax\n"
        "    la gp, __global_pointer$\n"
        "    .option pop\n"
        "    la tp, __tls_base\n"
        "    mv a0, sp\n"
        "    andi sp, sp, -16\n"
        "    call hosted_start\n"
        ".size _start, . - _start\n");

char **environ;

_Noreturn void hosted_start(long *stack) {
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    environ = argv + argc + 1;
    __libc_init_array();
    exit(main(argc, argv, environ));
}

_Noreturn void _exit(int status) {
    for (;;)
        sys3(SYS_EXIT_GROUP, status, 0, 0);
}

/* ---- heap ---- */

void *sbrk(ptrdiff_t change) {
    static intptr_t end;
    if (!end)
        end = sys3(SYS_BRK, 0, 0, 0);
    intptr_t old = end;
    if (change && sys3(SYS_BRK, old + change, 0, 0) != old + change) {
        errno = ENOMEM;
        return (void *)-1;
    }
    end += change;
    return (void *)old;
}

/* ---- what abort, assert, time, clock, fopen and their like call ---- */

/* The kernel's negated error number becomes errno. */
static long result(long value) {
    if (value >= 0)
        return value;
    errno = (int)-value;
    return -1;
}

pid_t getpid(void) { return (pid_t)sys3(SYS_GETPID, 0, 0, 0); }

int kill(pid_t pid, int signal) { return (int)result(sys3(SYS_KILL, pid, signal, 0)); }

/* Not declared by picolibc's headers without feature macros. */
int clock_gettime(clockid_t clock, struct timespec *now);

int clock_gettime(clockid_t clock, struct timespec *now) {
    return (int)result(sys3(SYS_CLOCK_GETTIME, (long)clock, (long)now, 0));
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec precise;
    if (clock_gettime(0, &precise) != 0)
        return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

/* In units of CLOCKS_PER_SEC, as clock() adds them up. */
clock_t times(struct tms *used) {
    enum { MONOTONIC = 1 };
    struct timespec now;
    if (clock_gettime(MONOTONIC, &now) != 0)
        return (clock_t)-1;
    *used = (struct tms){.tms_utime = (clock_t)now.tv_sec * CLOCKS_PER_SEC + now.tv_nsec / (1000000000 / CLOCKS_PER_SEC)};
    return used->tms_utime;
}

int getentropy(void *bytes, size_t count);

int getentropy(void *bytes, size_t count) {
    if (count > 256) {
        errno = EIO;
        return -1;
    }
    return sys3(SYS_GETRANDOM, (long)bytes, (long)count, 0) == (long)count ? 0 : -1;
}

/* Below the streams, and not through their buffers. */
ssize_t read(int file, void *bytes, size_t count) { return result(sys3(SYS_READ, file, (long)bytes, (long)count)); }

ssize_t write(int file, const void *bytes, size_t count) {
    return result(sys3(SYS_WRITE, file, (long)bytes, (long)count));
}

int close(int file) { return (int)result(sys3(SYS_CLOSE, file, 0, 0)); }

off_t lseek(int file, off_t offset, int whence) { return result(sys3(SYS_LSEEK, file, offset, whence)); }

/* A guest has no files. */
int open(const char *path, int flags, ...);

int open(const char *path, int flags, ...) {
    (void)path, (void)flags;
    errno = ENOENT;
    return -1;
}

int unlink(const char *path) {
    (void)path;
    errno = ENOENT;
    return -1;
}

int isatty(int file) {
    (void)file;
    errno = ENOTTY;
    return 0;
}

/* ---- streams ---- */

static char out_bytes[512], in_bytes[512];
static size_t out_used, in_at, in_end;

static int flush_out(FILE *stream) {
    (void)stream;
    for (size_t done = 0; done < out_used;) {
        long n = sys3(SYS_WRITE, 1, (long)(out_bytes + done), (long)(out_used - done));
        if (n <= 0)
            return EOF;
        done += (size_t)n;
    }
    out_used = 0;
    return 0;
}

static int put_out(char c, FILE *stream) {
    out_bytes[out_used++] = c;
    return out_used == sizeof out_bytes ? flush_out(stream) : 0;
}

static int put_error(char c, FILE *stream) {
    (void)stream;
    return sys3(SYS_WRITE, 2, (long)&c, 1) == 1 ? 0 : EOF;
}

static int get_in(FILE *stream) {
    (void)stream;
    if (in_at == in_end) {
        long n = sys3(SYS_READ, 0, (long)in_bytes, sizeof in_bytes);
        if (n <= 0)
            return EOF;
        in_at = 0;
        in_end = (size_t)n;
    }
    return (unsigned char)in_bytes[in_at++];
}

static FILE out = FDEV_SETUP_STREAM(put_out, NULL, flush_out, _FDEV_SETUP_WRITE);
static FILE error = FDEV_SETUP_STREAM(put_error, NULL, NULL, _FDEV_SETUP_WRITE);
static FILE in = FDEV_SETUP_STREAM(NULL, get_in, NULL, _FDEV_SETUP_READ);

FILE *const stdin = &in;
FILE *const stdout = &out;
FILE *const stderr = &error;

static __attribute__((destructor)) void flush_at_exit(void) { flush_out(&out); }
