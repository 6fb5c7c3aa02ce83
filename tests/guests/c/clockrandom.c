/* Clocks that never go back, and random bytes. With the argument `show` the
 * values are printed: two runs must then print the same. */
#include "guest.h"
#include "sys.h"

typedef struct {
    i64 seconds, nanoseconds;
} timespec;

int guest_main(int argc, char **argv) {
    bool show = argc > 1 && strcmp(argv[1], "show") == 0;
    for (int clock = 0; clock < 2; clock++) { /* realtime, monotonic */
        timespec last = {0, 0}, now;
        for (int i = 0; i < 50; i++) {
            g_check(sys3(SYS_CLOCK_GETTIME, clock, (long)&now, 0) == 0, "clock_gettime");
            g_check(now.nanoseconds >= 0 && now.nanoseconds < 1000000000, "nanoseconds");
            bool forward = now.seconds > last.seconds ||
                           (now.seconds == last.seconds && now.nanoseconds >= last.nanoseconds);
            g_check(forward, "never back");
            last = now;
        }
        if (show) {
            g_line_dec("seconds", (u64)now.seconds);
            g_line_dec("nanoseconds", (u64)now.nanoseconds);
        }
    }
    g_check(sys3(SYS_CLOCK_GETTIME, 0, 16, 0) == -ERR_FAULT, "clock_gettime to an address that is not mapped");
    g_check(sys3(SYS_CLOCK_GETTIME, 12345, (long)argv, 0) == -ERR_INVAL, "unknown clock");
    u8 a[64] = {0}, b[64] = {0};
    g_check(sys3(SYS_GETRANDOM, (long)a, 61, 0) == 61, "getrandom");
    g_check(sys3(SYS_GETRANDOM, (long)b, 61, 0) == 61, "getrandom again");
    g_check(memcmp(a, b, 61) != 0, "random bytes differ");
    g_check(a[61] == 0 && a[62] == 0 && a[63] == 0, "bytes behind");
    g_check(sys3(SYS_GETRANDOM, (long)a, 0, 0) == 0, "no random bytes");
    if (show)
        g_line_bytes("random", b, 61);
    g_puts("clocks and random bytes behave\n");
    return 0;
}
