/* Double precision (IEEE 754 binary64, round to nearest even) on integers:
 * sums, products, quotients, comparisons. The results are compared with the
 * compiler's own double arithmetic, then used for a Mandelbrot set. */
#include "guest.h"

typedef u64 f64; /* the bit pattern */

#define EXPONENT(a) ((i32)((a) >> 52 & 0x7ff))
#define FRACTION(a) ((a) & 0xfffffffffffffu)
#define INFINITY_BITS 0x7ff0000000000000u
#define NAN_BITS 0x7ff8000000000000u
#define SIGN_BIT 0x8000000000000000u

static inline bool is_nan(f64 a) { return (a & ~SIGN_BIT) > INFINITY_BITS; }

/* Right shift that keeps a lost bit visible in the lowest place. */
static inline u64 shift_jam(u64 v, i32 n) {
    if (n > 63)
        return v != 0;
    return n ? v >> n | (v << (64 - n) != 0) : v;
}

/* `sig` has its leading bit at 62: value sig * 2^(exponent - 1023 - 62). */
static inline f64 round_pack(u64 sign, i32 exponent, u64 sig) {
    if (exponent >= 0x7ff)
        return sign | INFINITY_BITS;
    if (exponent <= 0) {
        sig = shift_jam(sig, 1 - exponent);
        exponent = 1;
    }
    u64 low = sig & 0x3ff;
    sig = (sig + 0x200) >> 10;
    if (low == 0x200)
        sig &= ~1ull;
    /* The hidden bit, when there is one, adds one to the exponent field. */
    return sign | (((u64)(exponent - 1) << 52) + sig);
}

static f64 soft_add(f64 a, f64 b) {
    if ((a & ~SIGN_BIT) < (b & ~SIGN_BIT)) {
        f64 t = a;
        a = b;
        b = t;
    }
    i32 ea = EXPONENT(a), eb = EXPONENT(b);
    u64 sa = FRACTION(a), sb = FRACTION(b), sign = a & SIGN_BIT;
    if (ea == 0x7ff) {
        bool opposite = eb == 0x7ff && (a ^ b) >> 63;
        return sa || opposite ? NAN_BITS : a;
    }
    if (ea)
        sa |= 1ull << 52;
    else
        ea = 1;
    if (eb)
        sb |= 1ull << 52;
    else
        eb = 1;
    sa <<= 10, sb = shift_jam(sb << 10, ea - eb);
    if ((a ^ b) >> 63)
        sa -= sb;
    else
        sa += sb;
    if (!sa)
        return (a ^ b) >> 63 ? 0 : sign;
    if (sa >> 63)
        return round_pack(sign, ea + 1, shift_jam(sa, 1));
    i32 shift = __builtin_clzll(sa) - 1;
    return round_pack(sign, ea - shift, sa << shift);
}

static f64 soft_sub(f64 a, f64 b) { return soft_add(a, b ^ SIGN_BIT); }

/* Significand with its leading bit at 52, also for subnormal numbers. */
static inline u64 normalise(f64 a, i32 *exponent) {
    u64 s = FRACTION(a);
    if (*exponent)
        return s | 1ull << 52;
    i32 shift = __builtin_clzll(s) - 11;
    *exponent = 1 - shift;
    return s << shift;
}

static f64 soft_mul(f64 a, f64 b) {
    u64 sign = (a ^ b) & SIGN_BIT;
    i32 ea = EXPONENT(a), eb = EXPONENT(b);
    bool zero = !(a << 1) || !(b << 1);
    if (ea == 0x7ff || eb == 0x7ff)
        return is_nan(a) || is_nan(b) || zero ? NAN_BITS : sign | INFINITY_BITS;
    if (zero)
        return sign;
    u64 sa = normalise(a, &ea) << 10, sb = normalise(b, &eb) << 11;
    u128 product = (u128)sa * sb;
    u64 high = (u64)(product >> 64) | ((u64)product != 0);
    i32 exponent = ea + eb - 1023;
    if (high >> 62)
        return round_pack(sign, exponent + 1, high);
    return round_pack(sign, exponent, high << 1);
}

static f64 soft_div(f64 a, f64 b) {
    u64 sign = (a ^ b) & SIGN_BIT;
    i32 ea = EXPONENT(a), eb = EXPONENT(b);
    if (is_nan(a) || is_nan(b) || (ea == 0x7ff && eb == 0x7ff) || !((a | b) << 1))
        return NAN_BITS;
    if (ea == 0x7ff || !(b << 1))
        return sign | INFINITY_BITS;
    if (eb == 0x7ff || !(a << 1))
        return sign;
    u64 sa = normalise(a, &ea), sb = normalise(b, &eb);
    i32 exponent = ea - eb + 1023;
    u64 q = sa >= sb, rest = sa - (q ? sb : 0);
    for (int i = 0; i < 5; i++) { /* eleven quotient bits at a time */
        rest <<= 11;
        q = q << 11 | rest / sb;
        rest %= sb;
    }
    q |= rest != 0;
    if (q >> 55)
        return round_pack(sign, exponent, q << 7);
    return round_pack(sign, exponent - 1, q << 8);
}

static bool soft_less(f64 a, f64 b) {
    if (is_nan(a) || is_nan(b) || !((a | b) << 1))
        return false;
    if ((a ^ b) >> 63)
        return a >> 63;
    return a >> 63 ? a > b : a < b;
}

static f64 from_int(i64 v) {
    if (!v)
        return 0;
    u64 sign = v < 0 ? SIGN_BIT : 0, u = v < 0 ? 0 - (u64)v : (u64)v;
    i32 shift = __builtin_clzll(u) - 1;
    return round_pack(sign, 1023 + 62 - shift, shift < 0 ? shift_jam(u, 1) : u << shift);
}

/* ---- against the compiler's arithmetic ---- */

static double to_double(f64 a) {
    double d;
    memcpy(&d, &a, 8);
    return d;
}

static bool same(f64 mine, double theirs) {
    f64 bits;
    memcpy(&bits, &theirs, 8);
    return mine == bits || (is_nan(mine) && is_nan(bits));
}

static void compare(void) {
    static const f64 special[] = {0, SIGN_BIT, 1, 0xfffffffffffff, 0x10000000000000, INFINITY_BITS,
                                  SIGN_BIT | INFINITY_BITS, NAN_BITS, 0x3ff0000000000000,
                                  0x7fefffffffffffff, 0x3fefffffffffffff, 0x8000000000000001};
    u64 seed = 22;
    for (int i = 0; i < 600; i++) {
        f64 a = g_rand(&seed), b = g_rand(&seed);
        if (i % 3 == 1) /* near each other, so that sums cancel */
            b = (b & ~INFINITY_BITS) | ((a & INFINITY_BITS) ^ (b & 1) << 52);
        if (i % 8 == 7)
            a = special[a % G_COUNT(special)];
        if (i % 16 == 15)
            b = special[b % G_COUNT(special)];
        double x = to_double(a), y = to_double(b);
        g_check(same(soft_add(a, b), x + y), "sum");
        g_check(same(soft_sub(a, b), x - y), "difference");
        g_check(same(soft_mul(a, b), x * y), "product");
        g_check(same(soft_div(a, b), x / y), "quotient");
        g_check(soft_less(a, b) == (x < y), "comparison");
        g_check(same(from_int((i64)a), (double)(i64)a), "conversion");
    }
}

int guest_main(int argc, char **argv) {
    i64 side = (i64)g_arg(argc, argv, 1, 22);
    enum { LIMIT = 60 };
    compare();
    f64 four = from_int(4), two = from_int(2);
    f64 width = soft_div(from_int(3), from_int(side)), height = soft_div(two, from_int(side));
    u64 sum = 0, inside = 0;
    for (i64 row = 0; row < side; row++)
        for (i64 column = 0; column < side; column++) {
            f64 cx = soft_sub(soft_mul(from_int(column), width), two);
            f64 cy = soft_sub(soft_mul(from_int(row), height), from_int(1));
            f64 x = 0, y = 0;
            int n = 0;
            for (; n < LIMIT; n++) {
                f64 xx = soft_mul(x, x), yy = soft_mul(y, y);
                if (soft_less(four, soft_add(xx, yy)))
                    break;
                y = soft_add(soft_mul(soft_mul(x, y), two), cy);
                x = soft_add(soft_sub(xx, yy), cx);
            }
            inside += n == LIMIT;
            sum = g_mix(sum, x ^ g_rotl64(y, 1) ^ (u64)n);
        }
    g_line_dec("inside", inside);
    g_line("softfloat", sum);
    return 0;
}
