/* Scalar multiplication on secp256k1 (y^2 = x^3 + 7), Jacobian coordinates. */
#include "fe256.h"

typedef struct {
    fe x, y, z; /* z = 0 is the point at infinity */
} point;

static const fe GX = {{0x59f2815b16f81798, 0x029bfcdb2dce28d9, 0x55a06295ce870b07, 0x79be667ef9dcbbac}};
static const fe GY = {{0x9c47d08ffb10d4b8, 0xfd17b448a6855419, 0x5da4fbfc0e1108a8, 0x483ada7726a3c465}};
/* Order of the group. */
static const u64 ORDER[4] = {0xbfd25e8cd0364141, 0xbaaedce6af48a03b, 0xfffffffffffffffe, ~0ull};

static void point_double(point *r, const point *p) {
    fe a, b, c, d, e, f, t;
    fe_square(&a, &p->x);
    fe_square(&b, &p->y);
    fe_square(&c, &b);
    fe_add(&t, &p->x, &b);
    fe_square(&d, &t);
    fe_sub(&d, &d, &a);
    fe_sub(&d, &d, &c);
    fe_add(&d, &d, &d);
    fe_add(&e, &a, &a);
    fe_add(&e, &e, &a);
    fe_square(&f, &e);
    fe_mul(&t, &p->y, &p->z);
    fe_add(&r->z, &t, &t);
    fe_sub(&f, &f, &d);
    fe_sub(&r->x, &f, &d);
    fe_sub(&t, &d, &r->x);
    fe_mul(&t, &e, &t);
    fe_add(&c, &c, &c);
    fe_add(&c, &c, &c);
    fe_add(&c, &c, &c);
    fe_sub(&r->y, &t, &c);
}

static void point_add(point *r, const point *p, const point *q) {
    if (fe_is_zero(&p->z)) {
        *r = *q;
        return;
    }
    if (fe_is_zero(&q->z)) {
        *r = *p;
        return;
    }
    fe z1z1, z2z2, u1, u2, s1, s2, h, hh, hhh, d, v, t;
    fe_square(&z1z1, &p->z);
    fe_square(&z2z2, &q->z);
    fe_mul(&u1, &p->x, &z2z2);
    fe_mul(&u2, &q->x, &z1z1);
    fe_mul(&t, &q->z, &z2z2);
    fe_mul(&s1, &p->y, &t);
    fe_mul(&t, &p->z, &z1z1);
    fe_mul(&s2, &q->y, &t);
    fe_sub(&h, &u2, &u1);
    fe_sub(&d, &s2, &s1);
    if (fe_is_zero(&h)) {
        if (fe_is_zero(&d))
            point_double(r, p);
        else
            r->x = FE_ONE, r->y = FE_ONE, r->z = (fe){{0}};
        return;
    }
    fe_square(&hh, &h);
    fe_mul(&hhh, &h, &hh);
    fe_mul(&v, &u1, &hh);
    fe_mul(&t, &p->z, &q->z);
    fe_mul(&r->z, &t, &h);
    fe_square(&t, &d);
    fe_sub(&t, &t, &hhh);
    fe_sub(&t, &t, &v);
    fe_sub(&r->x, &t, &v);
    fe_sub(&t, &v, &r->x);
    fe_mul(&t, &d, &t);
    fe_mul(&s1, &s1, &hhh);
    fe_sub(&r->y, &t, &s1);
}

/* Four bits at a time, from the top. */
static void point_mul(point *r, const point *p, const u64 scalar[4]) {
    point table[16], acc = {FE_ONE, FE_ONE, {{0}}};
    table[0] = acc;
    for (int i = 1; i < 16; i++)
        point_add(&table[i], &table[i - 1], p);
    for (int i = 63; i >= 0; i--) {
        for (int k = 0; k < 4; k++)
            point_double(&acc, &acc);
        unsigned digit = (scalar[i / 16] >> (4 * (i % 16))) & 15;
        if (digit)
            point_add(&acc, &acc, &table[digit]);
    }
    *r = acc;
}

static void to_affine(const point *p, fe *x, fe *y) {
    fe inverse, square;
    fe_invert(&inverse, &p->z);
    fe_square(&square, &inverse);
    fe_mul(x, &p->x, &square);
    fe_mul(&square, &square, &inverse);
    fe_mul(y, &p->y, &square);
}

static bool on_curve(const fe *x, const fe *y) {
    fe left, right, seven = {{7, 0, 0, 0}};
    fe_square(&left, y);
    fe_square(&right, x);
    fe_mul(&right, &right, x);
    fe_add(&right, &right, &seven);
    return fe_equal(&left, &right);
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 10);
    point g = {GX, GY, FE_ONE}, r;
    fe x, y;

    u64 two[4] = {2, 0, 0, 0};
    point_mul(&r, &g, two);
    to_affine(&r, &x, &y);
    fe_print("2G.x", &x);
    g_check(x.limb[3] == 0xc6047f9441ed7d6d, "2G");

    u64 minus_one[4] = {ORDER[0] - 1, ORDER[1], ORDER[2], ORDER[3]};
    point_mul(&r, &g, minus_one);
    to_affine(&r, &x, &y);
    fe_add(&y, &y, &GY);
    g_check(fe_equal(&x, &GX) && fe_is_zero(&y), "(n-1)G is -G");
    point_mul(&r, &g, ORDER);
    g_check(fe_is_zero(&r.z), "nG is the point at infinity");

    u64 seed = 6, scalar[4];
    for (u64 i = 0; i < count; i++) {
        for (int k = 0; k < 4; k++)
            scalar[k] = g_rand(&seed);
        point_mul(&r, &g, scalar);
        to_affine(&r, &x, &y);
        g_check(on_curve(&x, &y), "result is on the curve");
        g = (point){x, y, FE_ONE};
    }
    fe_print("x", &x);
    fe_print("y", &y);
    return 0;
}
