/* A heap of cells with mark-and-sweep collection, and on it: binary trees,
 * lists, and symbolic differentiation of expressions. */
#include "guest.h"

enum kind { FREE, TREE, CONSTANT, VARIABLE, SUM, PRODUCT };

typedef struct cell {
    u8 kind;
    bool marked;
    u32 value;
    struct cell *left, *right;
} cell;

enum { CELLS = 16384, ROOTS = 4096 };

static cell heap[CELLS], *free_cells;
static cell *roots[ROOTS];
static u32 roots_used;
static u64 collections, allocated;

static void mark(cell *c) {
    while (c && !c->marked) {
        c->marked = true;
        mark(c->left);
        c = c->right;
    }
}

static void collect(void) {
    for (u32 i = 0; i < roots_used; i++)
        mark(roots[i]);
    free_cells = NULL;
    for (u32 i = CELLS; i-- > 0;) {
        if (heap[i].marked) {
            heap[i].marked = false;
        } else {
            heap[i].kind = FREE;
            heap[i].left = free_cells;
            free_cells = &heap[i];
        }
    }
    collections++;
}

static cell *root(cell *c) {
    g_check(roots_used < ROOTS, "room for roots");
    roots[roots_used++] = c;
    return c;
}

/* Both children must be reachable from the roots or be given here. */
static cell *make(u8 kind, u32 value, cell *left, cell *right) {
    if (!free_cells) {
        u32 saved = roots_used;
        root(left);
        root(right);
        collect();
        roots_used = saved;
        g_check(free_cells != NULL, "room for cells");
    }
    cell *c = free_cells;
    free_cells = c->left;
    *c = (cell){kind, false, value, left, right};
    allocated++;
    return c;
}

static cell *tree(int depth) {
    if (depth == 0)
        return make(TREE, 1, NULL, NULL);
    cell *left = root(tree(depth - 1));
    cell *right = tree(depth - 1);
    roots_used--;
    return make(TREE, (u32)depth, left, right);
}

static u32 count_tree(const cell *t) { return t->left ? 1 + count_tree(t->left) + count_tree(t->right) : 1; }

static cell *expression(u64 *seed, int depth) {
    u64 r = g_rand(seed);
    if (depth == 0 || r % 8 == 0)
        return r & 256 ? make(VARIABLE, 0, NULL, NULL) : make(CONSTANT, (u32)(r >> 16) % 10, NULL, NULL);
    cell *left = root(expression(seed, depth - 1));
    cell *right = expression(seed, depth - 1);
    roots_used--;
    return make(r & 512 ? SUM : PRODUCT, 0, left, right);
}

/* Sums and products with the constants 0 and 1 are simplified. */
static cell *combine(u8 kind, cell *left, cell *right) {
    bool left_zero = left->kind == CONSTANT && left->value == 0;
    bool right_zero = right->kind == CONSTANT && right->value == 0;
    if (kind == SUM)
        return left_zero ? right : right_zero ? left : make(SUM, 0, left, right);
    if (left_zero)
        return left;
    if (right_zero)
        return right;
    if (left->kind == CONSTANT && left->value == 1)
        return right;
    if (right->kind == CONSTANT && right->value == 1)
        return left;
    return make(PRODUCT, 0, left, right);
}

static cell *derivative(cell *e) {
    switch (e->kind) {
    case VARIABLE:
        return make(CONSTANT, 1, NULL, NULL);
    case SUM: {
        cell *left = root(derivative(e->left));
        cell *right = derivative(e->right);
        roots_used--;
        return combine(SUM, left, right);
    }
    case PRODUCT: {
        cell *first = root(combine(PRODUCT, root(derivative(e->left)), e->right));
        cell *second = root(combine(PRODUCT, e->left, root(derivative(e->right))));
        cell *sum = combine(SUM, first, second);
        roots_used -= 4;
        return sum;
    }
    default:
        return make(CONSTANT, 0, NULL, NULL);
    }
}

static u64 evaluate(const cell *e, u64 x) {
    switch (e->kind) {
    case CONSTANT: return e->value;
    case VARIABLE: return x;
    case SUM: return evaluate(e->left, x) + evaluate(e->right, x);
    default: return evaluate(e->left, x) * evaluate(e->right, x);
    }
}

/* Value and derivative together, by the rules for pairs. */
static u64 dual(const cell *e, u64 x, u64 *slope) {
    u64 a, da, b, db;
    switch (e->kind) {
    case CONSTANT: *slope = 0; return e->value;
    case VARIABLE: *slope = 1; return x;
    default:
        a = dual(e->left, x, &da);
        b = dual(e->right, x, &db);
        *slope = e->kind == SUM ? da + db : da * b + a * db;
        return e->kind == SUM ? a + b : a * b;
    }
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 14);
    u64 seed = 30, sum = 0;
    collect();
    cell *kept = root(tree(11));
    for (u64 round = 0; round < count; round++) {
        int depth = 4 + (int)(round % 8);
        g_check(count_tree(tree(depth)) == (2u << depth) - 1, "size of the tree");
        cell *list = root(NULL);
        for (u32 i = 0; i < 500; i++)
            roots[roots_used - 1] = list = make(TREE, i, list, NULL);
        u32 length = 0;
        for (const cell *c = list; c; c = c->left)
            length++;
        g_check(length == 500, "length of the list");
        roots_used--;
        cell *e = root(expression(&seed, 8));
        for (int k = 0; k < 3; k++) {
            cell *d = root(derivative(e));
            u64 slope, value = dual(e, 7 + round, &slope);
            g_check(evaluate(d, 7 + round) == slope && evaluate(e, 7 + round) == value, "derivative");
            sum = g_mix(g_mix(sum, value), slope);
            if (k == 0)
                roots[roots_used - 2] = e = d;
            roots_used--;
        }
        roots_used--;
    }
    g_check(count_tree(kept) == (2u << 11) - 1, "kept tree");
    g_line_dec("allocated", allocated);
    g_line_dec("collections", collections);
    g_line("gcheap", sum);
    return 0;
}
