/* Entry and system calls of the x86-64 build, on top of the C library. */
#include "guest.h"

#include <unistd.h>

long g_sys_write(int fd, const void *buf, size_t n) { return write(fd, buf, n); }

long g_sys_read(int fd, void *buf, size_t n) { return read(fd, buf, n); }

_Noreturn void g_exit(int status) {
    g_flush();
    _exit(status);
}

int main(int argc, char **argv) { g_exit(guest_main(argc, argv)); }
