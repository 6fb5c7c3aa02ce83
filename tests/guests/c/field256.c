/* 256-bit modular arithmetic: a walk through the field of secp256k1. */
#include "fe256.h"

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 30);
    u64 seed = 5;
    fe x, y, acc = FE_ONE;
    for (int i = 0; i < 4; i++)
        x.limb[i] = g_rand(&seed), y.limb[i] = g_rand(&seed);
    fe_reduce_once(&x, 0);
    fe_reduce_once(&y, 0);
    for (u64 i = 0; i < count; i++) {
        for (int k = 0; k < 800; k++) {
            fe t;
            fe_mul(&t, &x, &y);
            fe_add(&x, &x, &t);
            fe_sub(&y, &t, &acc);
            fe_square(&acc, &x);
        }
        fe inverse, one;
        fe_invert(&inverse, &x);
        fe_mul(&one, &x, &inverse);
        g_check(fe_equal(&one, &FE_ONE), "x times its inverse is one");
        fe_add(&acc, &acc, &inverse);
    }
    fe_print("x", &x);
    fe_print("y", &y);
    fe_print("acc", &acc);
    return 0;
}
