/* B-tree of order 16: insertion, lookup, range sums and deletion. */
#include "guest.h"

enum { T = 8, KEYS = 2 * T - 1, NODES = 8192 };

typedef struct node {
    u16 n;
    bool leaf;
    u64 key[KEYS], value[KEYS];
    struct node *child[KEYS + 1];
} node;

static node pool[NODES];
static node *free_list;
static u32 pool_used;

static node *new_node(bool leaf) {
    node *x = free_list;
    if (x) {
        free_list = x->child[0];
    } else {
        g_check(pool_used < NODES, "room for nodes");
        x = &pool[pool_used++];
    }
    x->n = 0;
    x->leaf = leaf;
    return x;
}

static void release(node *x) {
    x->child[0] = free_list;
    free_list = x;
}

/* First position whose key is at least `key`. */
static int lower(const node *x, u64 key) {
    int a = 0, b = x->n;
    while (a < b) {
        int m = (a + b) / 2;
        if (x->key[m] < key)
            a = m + 1;
        else
            b = m;
    }
    return a;
}

static void open_gap(node *x, int i) {
    memmove(x->key + i + 1, x->key + i, (size_t)(x->n - i) * 8);
    memmove(x->value + i + 1, x->value + i, (size_t)(x->n - i) * 8);
    x->n++;
}

static void close_gap(node *x, int i) {
    x->n--;
    memmove(x->key + i, x->key + i + 1, (size_t)(x->n - i) * 8);
    memmove(x->value + i, x->value + i + 1, (size_t)(x->n - i) * 8);
}

/* Splits the full child i of x around its middle key. */
static void split(node *x, int i) {
    node *left = x->child[i], *right = new_node(left->leaf);
    right->n = T - 1;
    memcpy(right->key, left->key + T, (T - 1) * 8);
    memcpy(right->value, left->value + T, (T - 1) * 8);
    if (!left->leaf)
        memcpy(right->child, left->child + T, T * sizeof right->child[0]);
    left->n = T - 1;
    memmove(x->child + i + 2, x->child + i + 1, (size_t)(x->n - i) * sizeof x->child[0]);
    x->child[i + 1] = right;
    open_gap(x, i);
    x->key[i] = left->key[T - 1];
    x->value[i] = left->value[T - 1];
}

static node *insert(node *root, u64 key, u64 value) {
    if (root->n == KEYS) {
        node *top = new_node(false);
        top->child[0] = root;
        split(top, 0);
        root = top;
    }
    for (node *x = root;;) {
        int i = lower(x, key);
        if (i < x->n && x->key[i] == key) {
            x->value[i] = value;
            return root;
        }
        if (x->leaf) {
            open_gap(x, i);
            x->key[i] = key;
            x->value[i] = value;
            return root;
        }
        if (x->child[i]->n == KEYS) {
            split(x, i);
            if (key == x->key[i]) {
                x->value[i] = value;
                return root;
            }
            i += key > x->key[i];
        }
        x = x->child[i];
    }
}

static const u64 *find(const node *x, u64 key) {
    for (;;) {
        int i = lower(x, key);
        if (i < x->n && x->key[i] == key)
            return &x->value[i];
        if (x->leaf)
            return NULL;
        x = x->child[i];
    }
}

/* Joins child i, key i and child i + 1. */
static void merge(node *x, int i) {
    node *left = x->child[i], *right = x->child[i + 1];
    left->key[T - 1] = x->key[i];
    left->value[T - 1] = x->value[i];
    memcpy(left->key + T, right->key, (T - 1) * 8);
    memcpy(left->value + T, right->value, (T - 1) * 8);
    if (!left->leaf)
        memcpy(left->child + T, right->child, T * sizeof left->child[0]);
    left->n = KEYS;
    close_gap(x, i);
    memmove(x->child + i + 1, x->child + i + 2, (size_t)(x->n - i) * sizeof x->child[0]);
    release(right);
}

/* Gives child i at least T keys before descent; returns the child to enter. */
static int refill(node *x, int i) {
    node *c = x->child[i];
    if (c->n >= T)
        return i;
    if (i > 0 && x->child[i - 1]->n >= T) {
        node *left = x->child[i - 1];
        if (!c->leaf)
            memmove(c->child + 1, c->child, (size_t)(c->n + 1) * sizeof c->child[0]);
        open_gap(c, 0);
        c->key[0] = x->key[i - 1];
        c->value[0] = x->value[i - 1];
        x->key[i - 1] = left->key[left->n - 1];
        x->value[i - 1] = left->value[left->n - 1];
        if (!c->leaf)
            c->child[0] = left->child[left->n];
        left->n--;
        return i;
    }
    if (i < x->n && x->child[i + 1]->n >= T) {
        node *right = x->child[i + 1];
        c->key[c->n] = x->key[i];
        c->value[c->n] = x->value[i];
        c->n++;
        if (!c->leaf) {
            c->child[c->n] = right->child[0];
            memmove(right->child, right->child + 1, right->n * sizeof c->child[0]);
        }
        x->key[i] = right->key[0];
        x->value[i] = right->value[0];
        close_gap(right, 0);
        return i;
    }
    if (i == x->n)
        i--;
    merge(x, i);
    return i;
}

static bool delete_from(node *x, u64 key) {
    for (;;) {
        int i = lower(x, key);
        bool here = i < x->n && x->key[i] == key;
        if (x->leaf) {
            if (here)
                close_gap(x, i);
            return here;
        }
        if (!here) {
            x = x->child[refill(x, i)];
            continue;
        }
        node *left = x->child[i], *right = x->child[i + 1];
        if (left->n >= T) {
            const node *p = left;
            while (!p->leaf)
                p = p->child[p->n];
            key = x->key[i] = p->key[p->n - 1];
            x->value[i] = p->value[p->n - 1];
            x = left;
        } else if (right->n >= T) {
            const node *p = right;
            while (!p->leaf)
                p = p->child[0];
            key = x->key[i] = p->key[0];
            x->value[i] = p->value[0];
            x = right;
        } else {
            merge(x, i);
            x = left;
        }
    }
}

/* Sum over all keys in order; checks that they rise. */
static u64 walk(const node *x, u64 *last, u64 sum) {
    for (int i = 0; i <= x->n; i++) {
        if (!x->leaf)
            sum = walk(x->child[i], last, sum);
        if (i < x->n) {
            g_check(*last < x->key[i], "keys rise");
            *last = x->key[i];
            sum = g_mix(sum, x->key[i] + x->value[i]);
        }
    }
    return sum;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 20000);
    u64 seed = 19, sum = 0, present = 0;
    node *root = new_node(true);
    for (u64 i = 0; i < count; i++) {
        u64 key = 1 + g_rand(&seed) % 40000;
        const u64 *v = find(root, key);
        if (v)
            sum = g_mix(sum, *v);
        if (v && (i & 1)) {
            g_check(delete_from(root, key), "deleted");
            if (root->n == 0 && !root->leaf) {
                node *old = root;
                root = root->child[0];
                release(old);
            }
            present--;
        } else {
            present += !v;
            root = insert(root, key, i);
        }
    }
    u64 last = 0;
    sum = walk(root, &last, sum);
    g_line_dec("keys", present);
    g_line("btree", sum);
    return 0;
}
