/* picolibc: malloc, realloc, calloc, free in random order, with contents that
 * are checked; qsort and bsearch. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 256 };

static struct {
    unsigned char *p;
    size_t n;
    unsigned char tag;
} blocks[BLOCKS];

static uint64_t state = 88172645463325252u;

static uint32_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static void check(int i) {
    for (size_t k = 0; k < blocks[i].n; k++)
        if (blocks[i].p[k] != (unsigned char)(blocks[i].tag + k)) {
            printf("block %d differs at %zu\n", i, k);
            exit(1);
        }
}

static void fill(int i) {
    blocks[i].tag = (unsigned char)next();
    for (size_t k = 0; k < blocks[i].n; k++)
        blocks[i].p[k] = (unsigned char)(blocks[i].tag + k);
}

static int by_size(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 3000;
    size_t live = 0, most = 0, calls = 0;
    for (int round = 0; round < count; round++) {
        int i = (int)(next() % BLOCKS);
        size_t n = next() % (next() % 8 ? 200 : 9000);
        check(i);
        live -= blocks[i].n;
        switch (blocks[i].p ? next() % 3 : 3) {
        case 0:
            free(blocks[i].p);
            blocks[i].p = NULL;
            n = 0;
            break;
        case 1: {
            size_t kept = n < blocks[i].n ? n : blocks[i].n;
            unsigned char *p = realloc(blocks[i].p, n + 1);
            if (!p)
                return 2;
            blocks[i].p = p;
            blocks[i].n = kept;
            check(i);
            break;
        }
        default:
            free(blocks[i].p);
            blocks[i].p = next() % 2 ? malloc(n + 1) : calloc(n / 8 + 1, 8);
            if (!blocks[i].p || (uintptr_t)blocks[i].p % 8)
                return 3;
        }
        blocks[i].n = n;
        fill(i);
        calls++;
        live += n;
        most = live > most ? live : most;
    }
    size_t sizes[BLOCKS], total = 0;
    for (int i = 0; i < BLOCKS; i++) {
        check(i);
        sizes[i] = blocks[i].n;
        total += sizes[i];
        free(blocks[i].p);
    }
    qsort(sizes, BLOCKS, sizeof sizes[0], by_size);
    size_t *found = bsearch(&sizes[100], sizes, BLOCKS, sizeof sizes[0], by_size);
    printf("calls %zu most %zu total %zu median %zu found %d\n", calls, most, total, sizes[BLOCKS / 2], found && *found == sizes[100]);
    if (malloc((size_t)1 << 40)) {
        puts("a tebibyte?");
        return 4;
    }
    return live == total ? 0 : 5;
}
