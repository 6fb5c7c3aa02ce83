/* picolibc: formatted output of integers, strings and doubles, and scanning. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    printf("hello, %s! argc %d\n", argc > 1 ? argv[1] : "world", argc);
    printf("[%5d] [%-5d] [%05d] [%+d] [% d] [%x] [%#X] [%o] [%u]\n", 42, 42, 42, 42, 42, 48879, 48879, 511, 4000000000u);
    printf("[%ld] [%lu] [%" PRIx64 "] [%zu] [%hhd] [%hd]\n", LONG_MIN, ULONG_MAX, (uint64_t)0x123456789abcdef, sizeof(long), (char)300, (short)70000);
    printf("[%10s] [%-10s] [%.3s] [%c%c] [%%] [%*d] [%.*s]\n", "right", "left", "truncated", 'o', 'k', 6, 77, 2, "abcd");
    printf("[%f] [%.3f] [%10.2e] [%g] [%g] [%G] [%a]\n", 3.14159265358979, 2.0 / 3, 12345.678, 1e-5, 1e20, 0.0001, 1.5);
    printf("[%f] [%f] [%f] [%.0f] [%.17g]\n", 1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0, 2.5, 0.1);
    double sum = 0;
    for (int i = 1; i <= 500; i++)
        sum += 1.0 / ((double)i * i);
    printf("sum of 1/i^2 to 500: %.12f\n", sum);

    char text[128];
    int n = snprintf(text, sizeof text, "%d:%s:%08.3f", -7, "seven", 7.0625);
    printf("%d %s\n", n, text);
    int a;
    char word[16];
    double d;
    n = sscanf("  -77 elephants 2.5e3", "%d %15s %lf", &a, word, &d);
    printf("%d: %d %s %.1f\n", n, a, word, d);
    n = sscanf("deadBEEF,077", "%x,%o", (unsigned *)&a, (unsigned *)&n);
    printf("%x %d\n", (unsigned)a, n);
    printf("%ld %lu %g %g\n", strtol("-0x7f", NULL, 0), strtoul("777", NULL, 8), strtod("6.02e23", NULL), atof("-.5"));
    fprintf(stderr, "to standard error: %d\n", 1);
    return 7;
}
