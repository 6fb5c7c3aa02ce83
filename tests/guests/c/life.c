/* Conway's Game of Life on a torus of 256 x 256 cells, 64 cells at a time with
 * bit-sliced sums; one generation in 16 is checked cell by cell. */
#include "guest.h"

enum { SIDE = 256, WORDS = SIDE / 64 };

typedef u64 board[SIDE][WORDS];

static board boards[2];

static void generation(board to, board from) {
    for (int r = 0; r < SIDE; r++)
        for (int w = 0; w < WORDS; w++) {
            u64 low = 0, middle = 0, high = 0; /* number of neighbours, 0 to 7; 8 wraps to 0 */
            for (int d = -1; d <= 1; d++) {
                const u64 *row = from[(r + d) & (SIDE - 1)];
                u64 here = row[w];
                u64 left = here << 1 | row[(w + WORDS - 1) % WORDS] >> 63;
                u64 right = here >> 1 | row[(w + 1) % WORDS] << 63;
                u64 terms[3] = {left, right, d ? here : 0};
                for (int k = 0; k < 3; k++) {
                    u64 carry = low & terms[k];
                    low ^= terms[k];
                    u64 carry2 = middle & carry;
                    middle ^= carry;
                    high ^= carry2;
                }
            }
            to[r][w] = ~high & middle & (low | from[r][w]);
        }
}

static int cell(board b, int r, int c) {
    r &= SIDE - 1, c &= SIDE - 1;
    return (int)(b[r][c / 64] >> (c % 64) & 1);
}

static void compare(board next, board now) {
    for (int r = 0; r < SIDE; r += 3)
        for (int c = 0; c < SIDE; c++) {
            int n = cell(now, r - 1, c - 1) + cell(now, r - 1, c) + cell(now, r - 1, c + 1) + cell(now, r, c - 1) +
                    cell(now, r, c + 1) + cell(now, r + 1, c - 1) + cell(now, r + 1, c) + cell(now, r + 1, c + 1);
            g_check(cell(next, r, c) == (n == 3 || (n == 2 && cell(now, r, c))), "generation");
        }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 48);
    u64 seed = 28, sum = 0;
    for (int r = 0; r < SIDE; r++)
        for (int w = 0; w < WORDS; w++)
            boards[0][r][w] = g_rand(&seed) & g_rand(&seed);
    for (u64 i = 0; i < count; i++) {
        generation(boards[~i & 1], boards[i & 1]);
        if (i % 16 == 0)
            compare(boards[~i & 1], boards[i & 1]);
    }
    for (int r = 0; r < SIDE; r++)
        for (int w = 0; w < WORDS; w++)
            sum = g_mix(sum, boards[count & 1][r][w]);
    g_line("life", sum);
    return 0;
}
