/* Reads all of standard input in pieces of odd sizes: lines, words, bytes, and
 * two hashes. */
#include "guest.h"

int guest_main(int argc, char **argv) {
    (void)argc, (void)argv;
    static u8 buffer[5000];
    u64 lines = 0, words = 0, bytes = 0, hash = 14695981039346656037u;
    u32 sum = 1;
    bool inside = false;
    for (size_t size = 1;; size = size * 3 % 4999 + 1) {
        long n = g_sys_read(0, buffer, size);
        g_check(n >= 0 && n <= (long)size, "read");
        if (n == 0)
            break;
        bytes += (u64)n;
        for (long i = 0; i < n; i++) {
            u8 c = buffer[i];
            hash = (hash ^ c) * 1099511628211u;
            sum = sum * 31 + c;
            lines += c == '\n';
            bool space = c == ' ' || (c >= 9 && c <= 13);
            words += inside && space;
            inside = !space;
        }
    }
    words += inside;
    g_check(g_sys_read(0, buffer, 1) == 0, "the end stays the end");
    g_line_dec("lines", lines);
    g_line_dec("words", words);
    g_line_dec("bytes", bytes);
    g_line("hash", hash);
    g_line("sum", sum);
    return 0;
}
