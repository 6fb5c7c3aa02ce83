/* Hash map from strings to counts: open addressing, Robin Hood order, growth,
 * deletion by shifting back. */
#include "guest.h"

enum { MAX_SLOTS = 1 << 15, ARENA = 512 * 1024 };

typedef struct {
    const char *key; /* NULL: empty */
    u32 hash, length;
    u64 count;
} slot;

static slot table_a[MAX_SLOTS], table_b[MAX_SLOTS], *table;
static u32 mask, filled;
static char arena[ARENA];
static size_t arena_used;

static u32 hash_of(const char *s, u32 n) {
    u32 h = 2166136261u;
    for (u32 i = 0; i < n; i++)
        h = (h ^ (u8)s[i]) * 16777619u;
    return h ^ (h >> 15);
}

static u32 distance(u32 at, u32 hash) { return (at - hash) & mask; }

static void place(slot s) {
    for (u32 at = s.hash & mask, far = 0;; at = (at + 1) & mask, far++) {
        if (!table[at].key) {
            table[at] = s;
            return;
        }
        u32 theirs = distance(at, table[at].hash);
        if (theirs < far) {
            slot t = table[at];
            table[at] = s;
            s = t;
            far = theirs;
        }
    }
}

static void grow(void) {
    slot *old = table;
    u32 slots = mask + 1;
    g_check(slots * 2 <= MAX_SLOTS, "room for slots");
    table = old == table_a ? table_b : table_a;
    mask = slots * 2 - 1;
    memset(table, 0, (mask + 1) * sizeof *table);
    for (u32 i = 0; i < slots; i++)
        if (old[i].key)
            place(old[i]);
}

static slot *find(const char *s, u32 n, u32 hash) {
    for (u32 at = hash & mask, far = 0;; at = (at + 1) & mask, far++) {
        slot *e = &table[at];
        if (!e->key || distance(at, e->hash) < far)
            return NULL;
        if (e->hash == hash && e->length == n && memcmp(e->key, s, n) == 0)
            return e;
    }
}

static void bump(const char *s, u32 n) {
    u32 hash = hash_of(s, n);
    slot *e = find(s, n, hash);
    if (e) {
        e->count++;
        return;
    }
    if (++filled * 8 > (mask + 1) * 7)
        grow();
    g_check(arena_used + n <= ARENA, "room for keys");
    char *key = arena + arena_used;
    memcpy(key, s, n);
    arena_used += n;
    place((slot){key, hash, n, 1});
}

static bool delete_key(const char *s, u32 n) {
    slot *e = find(s, n, hash_of(s, n));
    if (!e)
        return false;
    filled--;
    u32 at = (u32)(e - table);
    for (;;) {
        u32 next = (at + 1) & mask;
        if (!table[next].key || distance(next, table[next].hash) == 0)
            break;
        table[at] = table[next];
        at = next;
    }
    table[at].key = NULL;
    return true;
}

static u32 make_key(char *s, u64 r) {
    u32 n = 0;
    r %= 20000;
    do
        s[n++] = (char)('a' + r % 17);
    while (r /= 17);
    while (n < 4)
        s[n++] = '_';
    return n;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 2);
    u64 seed = 20, sum = 0;
    for (u64 round = 0; round < count; round++) {
        table = table_a;
        mask = 255;
        filled = 0;
        arena_used = 0;
        memset(table, 0, 256 * sizeof *table);
        char key[16];
        for (int i = 0; i < 30000; i++) {
            u64 r = g_rand(&seed);
            u32 n = make_key(key, r >> 8);
            if (r % 4 == 0)
                sum += delete_key(key, n);
            else
                bump(key, n);
        }
        u32 seen = 0;
        for (u32 i = 0; i <= mask; i++)
            if (table[i].key) {
                seen++;
                sum = g_mix(sum, table[i].count * table[i].hash);
            }
        g_check(seen == filled, "number of keys");
        sum = g_mix(sum, filled);
    }
    g_line("hashmap", sum);
    return 0;
}
