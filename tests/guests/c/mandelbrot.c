/* Mandelbrot set in the compiler's double arithmetic: library calls on a
 * machine without floating point, instructions elsewhere. */
#include "guest.h"

int guest_main(int argc, char **argv) {
    int side = (int)g_arg(argc, argv, 1, 28);
    u64 sum = 0, inside = 0;
    for (int row = 0; row < side; row++)
        for (int column = 0; column < side; column++) {
            double cx = column * (3.0 / side) - 2.0, cy = row * (2.0 / side) - 1.0;
            double x = 0, y = 0;
            int n = 0;
            while (n < 60 && x * x + y * y <= 4.0) {
                double t = x * x - y * y + cx;
                y = 2 * x * y + cy;
                x = t;
                n++;
            }
            inside += n == 60;
            sum = g_mix(sum, (u64)n + (u64)(i64)(x * 65536) + (u64)(i64)(y * 1048576));
        }
    g_line_dec("inside", inside);
    g_line("mandelbrot", sum);
    return 0;
}
