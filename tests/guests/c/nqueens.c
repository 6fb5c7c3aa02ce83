/* N queens: by bit masks and by arrays, and a sudoku by backtracking. */
#include "guest.h"

static u64 by_masks(u32 all, u32 columns, u32 left, u32 right) {
    if (columns == all)
        return 1;
    u64 found = 0;
    for (u32 open = all & ~(columns | left | right); open; open &= open - 1) {
        u32 bit = open & (0 - open);
        found += by_masks(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return found;
}

static u64 by_arrays(int n) {
    int row[16], at = 0;
    bool column[16] = {0}, up[32] = {0}, down[32] = {0};
    u64 found = 0;
    row[0] = -1;
    while (at >= 0) {
        int c = row[at];
        if (c >= 0)
            column[c] = up[at + c] = down[at - c + n] = false;
        do
            c++;
        while (c < n && (column[c] || up[at + c] || down[at - c + n]));
        if (c == n) {
            at--;
            continue;
        }
        row[at] = c;
        column[c] = up[at + c] = down[at - c + n] = true;
        if (at == n - 1)
            found++;
        else
            row[++at] = -1;
    }
    return found;
}

static u8 grid[81];
static u16 rows[9], columns[9], boxes[9];
static u64 tries;

static bool solve(int at) {
    while (at < 81 && grid[at])
        at++;
    if (at == 81)
        return true;
    int r = at / 9, c = at % 9, b = r / 3 * 3 + c / 3;
    for (u32 open = 0x1ff & ~(u32)(rows[r] | columns[c] | boxes[b]); open; open &= open - 1) {
        u16 bit = (u16)(open & (0 - open));
        grid[at] = (u8)(__builtin_ctz(bit) + 1);
        rows[r] |= bit, columns[c] |= bit, boxes[b] |= bit;
        tries++;
        if (solve(at + 1))
            return true;
        rows[r] ^= bit, columns[c] ^= bit, boxes[b] ^= bit;
    }
    grid[at] = 0;
    return false;
}

static u64 sudoku(const char *text) {
    memset(rows, 0, sizeof rows);
    memset(columns, 0, sizeof columns);
    memset(boxes, 0, sizeof boxes);
    for (int at = 0; at < 81; at++) {
        grid[at] = (u8)(text[at] == '.' ? 0 : text[at] - '0');
        if (grid[at]) {
            u16 bit = (u16)(1 << (grid[at] - 1));
            rows[at / 9] |= bit, columns[at % 9] |= bit, boxes[at / 27 * 3 + at % 9 / 3] |= bit;
        }
    }
    tries = 0;
    g_check(solve(0), "sudoku has a solution");
    u64 sum = tries;
    for (int at = 0; at < 81; at++)
        sum = g_mix(sum, grid[at]);
    return sum;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 1);
    static const u32 known[] = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724};
    u64 sum = 0;
    for (u64 round = 0; round < count; round++) {
        for (u32 n = 4; n < G_COUNT(known); n++) {
            u64 a = by_masks((1u << n) - 1, 0, 0, 0), b = by_arrays((int)n);
            g_check(a == known[n] && a == b, "number of solutions");
            sum = g_mix(sum, a);
        }
        sum = g_mix(sum, sudoku("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"));
        sum = g_mix(sum, sudoku("1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."));
    }
    g_line("nqueens", sum);
    return 0;
}
