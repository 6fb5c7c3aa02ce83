/* Support shared by all guests: output, argument parsing, checksums.
 *
 * The same sources build for RISC-V (system calls by `ecall`, entry in
 * start.S) and for x86-64 (entry in native.c), so that a benchmark compares
 * one program on both machines. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;
typedef unsigned __int128 u128;
typedef __int128 i128;

/* Every guest defines this; its result is the exit status. */
int guest_main(int argc, char **argv);

/* mem.c; the unrestricted native build takes them from the C library. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);

/* Raw system calls. Negative results are -errno on RISC-V, -1 natively. */
long g_sys_write(int fd, const void *buf, size_t n);
long g_sys_read(int fd, void *buf, size_t n);
_Noreturn void g_exit(int status);

/* Buffered output to descriptor 1, flushed by g_exit and at return of
 * guest_main. */
void g_flush(void);
void g_putc(char c);
void g_puts(const char *s);
void g_dec(u64 v);
void g_hex(u64 v, int digits);
void g_hexbytes(const u8 *bytes, size_t n);
/* "name value\n", value as 16 hexadecimal digits / in decimal / as bytes. */
void g_line(const char *name, u64 v);
void g_line_dec(const char *name, u64 v);
void g_line_bytes(const char *name, const u8 *bytes, size_t n);

/* The decimal number in argv[index], or `otherwise` when it is absent. */
u64 g_arg(int argc, char **argv, int index, u64 otherwise);

/* Ends the run with status 1 and a message when `ok` is false. */
void g_check(bool ok, const char *what);

/* One step of a checksum: order-sensitive, every bit of v matters. */
static inline u64 g_mix(u64 h, u64 v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

/* splitmix64: the deterministic source of all test data. */
static inline u64 g_rand(u64 *state) {
    u64 z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline u32 g_rotl32(u32 v, int n) { return (v << n) | (v >> (32 - n)); }
static inline u32 g_rotr32(u32 v, int n) { return (v >> n) | (v << (32 - n)); }
static inline u64 g_rotl64(u64 v, int n) { return (v << n) | (v >> (64 - n)); }
static inline u64 g_rotr64(u64 v, int n) { return (v >> n) | (v << (64 - n)); }

/* Keeps the optimiser from seeing through a value. */
#define G_OPAQUE(v) __asm__ volatile("" : "+r"(v))

#define G_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
