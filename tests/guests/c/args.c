/* Arguments as they came, and the sanity of the initial stack: argv and envp
 * end with NULL, the auxiliary vector with AT_NULL, and its values make sense. */
#include "guest.h"

enum { AT_NULL = 0, AT_PHDR = 3, AT_PHENT = 4, AT_PHNUM = 5, AT_PAGESZ = 6, AT_ENTRY = 9, AT_RANDOM = 25 };

extern const char __ehdr_start[];
void _start(void);

typedef struct {
    u64 type, value;
} auxiliary;

int guest_main(int argc, char **argv) {
    g_line_dec("argc", (u64)argc);
    /* argv[0] is the name of the program, which is not this one's business. */
    g_check(argv[0] != NULL && argv[argc] == NULL, "argv");
    for (int i = 1; i < argc; i++) {
        g_puts(argv[i]);
        g_putc('\n');
    }
    char **env = argv + argc + 1;
    for (; *env; env++) {
        bool named = false;
        for (const char *p = *env; *p; p++)
            named |= *p == '=';
        g_check(named, "environment entry has a name");
    }
    bool page = false, random = false, headers = false, entry = false;
    u64 count = 0;
    for (const auxiliary *a = (const auxiliary *)(env + 1); a->type != AT_NULL; a++) {
        g_check(++count < 64, "end of the auxiliary vector");
        switch (a->type) {
        case AT_PAGESZ:
            page = a->value == 4096;
            break;
        case AT_RANDOM: {
            u8 any = 0;
            for (int i = 0; i < 16; i++)
                any |= ((const u8 *)a->value)[i];
            random = any != 0;
            break;
        }
        case AT_PHDR:
            headers = a->value == (u64)__ehdr_start + *(const u64 *)(__ehdr_start + 32);
            break;
        case AT_PHENT:
            g_check(a->value == 56, "size of a program header");
            break;
        case AT_PHNUM:
            g_check(a->value == *(const u16 *)(__ehdr_start + 56), "number of program headers");
            break;
        case AT_ENTRY:
            entry = a->value == (u64)_start;
            break;
        }
    }
    g_check(page, "AT_PAGESZ");
    g_check(random, "AT_RANDOM");
    g_check(headers, "AT_PHDR");
    g_check(entry, "AT_ENTRY");
    u64 stack = (u64)(argv - 1);
    g_check(stack % 16 == 0, "alignment of the stack");
    g_puts("stack and auxiliary vector are sane\n");
    return argc - 1;
}
