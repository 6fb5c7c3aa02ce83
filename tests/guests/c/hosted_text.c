/* picolibc: counts words of standard input with the C library's own tools, and
 * comes back by longjmp from a deep call; thread-local and static state. */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    struct entry *next;
    unsigned count;
    char word[];
} entry;

static entry *buckets[64];
static _Thread_local unsigned looked_up = 5;
static jmp_buf overflow;

static __attribute__((constructor)) void before_main(void) { looked_up -= 5; }

static void leave(void) { printf("looked up %u\n", looked_up); }

static entry *look_up(const char *word) {
    unsigned h = 0;
    for (const char *p = word; *p; p++)
        h = h * 31 + (unsigned char)*p;
    looked_up++;
    for (entry *e = buckets[h % 64]; e; e = e->next)
        if (strcmp(e->word, word) == 0)
            return e;
    entry *e = malloc(sizeof *e + strlen(word) + 1);
    if (!e)
        longjmp(overflow, 1);
    strcpy(e->word, word);
    e->count = 0;
    e->next = buckets[h % 64];
    buckets[h % 64] = e;
    return e;
}

static int by_count(const void *a, const void *b) {
    const entry *x = *(entry *const *)a, *y = *(entry *const *)b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->word, y->word);
}

static void fail_at(int depth) {
    char pad[64];
    memset(pad, depth, sizeof pad);
    if (depth < 0)
        return;
    if (depth == 0)
        longjmp(overflow, 1 + (pad[5] == 0));
    fail_at(depth - 1);
    pad[0] = pad[63];
}

int main(void) {
    atexit(leave);
    char line[256];
    size_t lines = 0, words = 0;
    while (fgets(line, sizeof line, stdin)) {
        lines++;
        for (char *w = strtok(line, " \t\n.,;:!?()\"'"); w; w = strtok(NULL, " \t\n.,;:!?()\"'")) {
            for (char *p = w; *p; p++)
                *p = (char)tolower((unsigned char)*p);
            look_up(w)->count++;
            words++;
        }
    }
    static entry *all[4096];
    size_t n = 0;
    for (int b = 0; b < 64; b++)
        for (entry *e = buckets[b]; e && n < 4096; e = e->next)
            all[n++] = e;
    qsort(all, n, sizeof all[0], by_count);
    printf("lines %zu words %zu different %zu\n", lines, words, n);
    for (size_t i = 0; i < n && i < 10; i++)
        printf("%6u %s\n", all[i]->count, all[i]->word);
    errno = 0;
    long big = strtol("99999999999999999999", NULL, 10);
    printf("%ld %d %s\n", big, errno == ERANGE, strstr("a needle in hay", "needle"));
    int value = setjmp(overflow);
    if (value == 0)
        fail_at(50);
    printf("longjmp gave %d\n", value);
    return value == 2 ? 0 : 1;
}
