/* One mebibyte of output, in writes of 1 byte up to 100,000; standard error
 * gets a line too. */
#include "guest.h"

int guest_main(int argc, char **argv) {
    u64 total = g_arg(argc, argv, 1, 1 << 20);
    static u8 buffer[100000];
    u64 at = 0;
    for (u64 size = 1; at < total; size = size * 5 % 99991 + 1) {
        u64 n = size < total - at ? size : total - at;
        for (u64 i = 0; i < n; i++)
            buffer[i] = (at + i) % 64 == 63 ? '\n' : (u8)('0' + (at + i) * 7 / 64 % 75);
        for (u64 done = 0; done < n;) {
            long wrote = g_sys_write(1, buffer + done, n - done);
            g_check(wrote > 0, "write");
            done += (u64)wrote;
        }
        at += n;
    }
    g_check(g_sys_write(2, "written\n", 8) == 8, "standard error");
    return 0;
}
