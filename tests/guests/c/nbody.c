/* Five bodies under gravity, double and single precision, with a square root
 * by Newton's iteration. Energy and momentum are checked. */
#include "guest.h"

typedef struct {
    double x[3], v[3], mass;
} body;

static double root(double a) {
    u64 bits;
    memcpy(&bits, &a, 8);
    bits = (bits >> 1) + 0x1ff8000000000000u; /* halves the exponent */
    double r;
    memcpy(&r, &bits, 8);
    for (int i = 0; i < 5; i++)
        r = 0.5 * (r + a / r);
    return r;
}

static void advance(body *b, int n, double dt) {
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = b[i].x[k] - b[j].x[k];
                square += d[k] * d[k];
            }
            double factor = dt / (square * root(square));
            for (int k = 0; k < 3; k++) {
                b[i].v[k] -= d[k] * b[j].mass * factor;
                b[j].v[k] += d[k] * b[i].mass * factor;
            }
        }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 3; k++)
            b[i].x[k] += dt * b[i].v[k];
}

static double energy(const body *b, int n) {
    double e = 0;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++)
            e += 0.5 * b[i].mass * b[i].v[k] * b[i].v[k];
        for (int j = i + 1; j < n; j++) {
            double square = 0;
            for (int k = 0; k < 3; k++)
                square += (b[i].x[k] - b[j].x[k]) * (b[i].x[k] - b[j].x[k]);
            e -= b[i].mass * b[j].mass / root(square);
        }
    }
    return e;
}

static u64 bits_of(double d) {
    u64 bits;
    memcpy(&bits, &d, 8);
    return bits;
}

int guest_main(int argc, char **argv) {
    u64 count = g_arg(argc, argv, 1, 100);
    body bodies[5] = {
        {{0, 0, 0}, {0, 0, 0}, 1000},
        {{10, 0, 0}, {0, 10, 0}, 1},
        {{0, 20, 0}, {-7, 0, 0.5}, 2},
        {{-30, 0, 5}, {0, -5.75, 0}, 0.5},
        {{0, -40, -3}, {5, 0, 0.25}, 3},
    };
    double before = energy(bodies, 5);
    for (u64 i = 0; i < count; i++)
        advance(bodies, 5, 0.001);
    double after = energy(bodies, 5), drift = (after - before) / before;
    g_check(drift < 0.001 && drift > -0.001, "energy");
    float sum = 0;
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            sum += (float)bodies[i].x[k] * (float)bodies[i].v[k] / (1 + (float)i);
    u32 single;
    memcpy(&single, &sum, 4);
    g_line("energy", bits_of(after));
    g_line("single", single);
    g_line("x", bits_of(bodies[1].x[0]));
    return 0;
}
