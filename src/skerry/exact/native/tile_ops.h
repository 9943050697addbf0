/* The instructions of the tile machine: one loop each, included once for each CPU level. */

static inline f32 N(max1)(f32 x, f32 y) {
    i32 p = order_key(x), q = order_key(y);
    return from_order_key(p > q ? p : q);
}
static inline f32 N(min1)(f32 x, f32 y) {
    i32 p = order_key(x), q = order_key(y);
    p = p == 0x7fc00000 ? (i32)0x80000000 : p; /* NaN wins here too */
    q = q == 0x7fc00000 ? (i32)0x80000000 : q;
    i32 k = p < q ? p : q;
    return k == (i32)0x80000000 ? from32(0x7fc00000u) : from_order_key(k);
}
static inline i64 N(floordiv1)(i64 x, i64 y) {
    if (y == 0) return 0;
    if (y == -1) return (i64)(0 - (u64)x);
    i64 q = x / y;
    return q - ((x % y != 0) & ((x < 0) != (y < 0)));
}
static inline i64 N(rem1)(i64 x, i64 y) {
    if (y == 0 || y == -1) return 0;
    i64 m = x % y;
    return m + (m != 0 && ((m < 0) != (y < 0)) ? y : 0);
}
static inline i64 N(cast1)(f32 x) {
    f64 y = x, limit = 4611686018427387904.0;
    if (x != x) return 0;
    if (y >= limit) return (i64)1 << 62;
    if (y <= -limit) return -((i64)1 << 62);
    if (y >= -1e15 && y <= 1e15) return (i64)((y + ROUND_MAGIC) - ROUND_MAGIC);
    return (i64)y;
}

BINARY(add_f4, f32, f32, x + y)
BINARY(sub_f4, f32, f32, x - y)
BINARY(mul_f4, f32, f32, x *y)
BINARY(div_f4, f32, f32, x / y)
BINARY(max_f4, f32, f32, N(max1)(x, y))
BINARY(min_f4, f32, f32, N(min1)(x, y))
UNARY(neg_f4, f32, f32, from32(bits32(x) ^ 0x80000000u))
UNARY(abs_f4, f32, f32, from32(bits32(x) & 0x7fffffffu))
UNARY(sqrt_f4, f32, f32, __builtin_sqrtf(x))
BINARY(lt_f4, u8, f32, x < y)
BINARY(le_f4, u8, f32, x <= y)
BINARY(eq_f4, u8, f32, x == y)
UNARY(exp_f4, f32, f32, N(exp1)(x))
UNARY(log_f4, f32, f32, N(log1)(x))
UNARY(tanh_f4, f32, f32, N(tanh1)(x))
static void N(erf_f4)(const Arg *g) {
    for (i64 r = 0; r < g->rows; r++) {
        f32 *d = (f32 *)g->d + r * g->ds;
        const f32 *a = (const f32 *)g->a + r * g->as;
        if (g->ae) N(erf_row)(d, a, g->n);
        else for (i64 i = 0; i < g->n; i++) d[i] = N(erf_value)(*a, N(erf_log)(*a));
    }
}
BINARY(add_i8, i64, i64, (i64)((u64)x + (u64)y))
BINARY(sub_i8, i64, i64, (i64)((u64)x - (u64)y))
BINARY(mul_i8, i64, i64, (i64)((u64)x * (u64)y))
BINARY(max_i8, i64, i64, x > y ? x : y)
BINARY(min_i8, i64, i64, x < y ? x : y)
UNARY(neg_i8, i64, i64, (i64)(0 - (u64)x))
UNARY(abs_i8, i64, i64, x < 0 ? (i64)(0 - (u64)x) : x)
BINARY(floordiv_i8, i64, i64, N(floordiv1)(x, y))
BINARY(rem_i8, i64, i64, N(rem1)(x, y))
BINARY(lt_i8, u8, i64, x < y)
BINARY(le_i8, u8, i64, x <= y)
BINARY(eq_i8, u8, i64, x == y)
BINARY(and_b1, u8, u8, x &y)
BINARY(or_b1, u8, u8, x | y)
UNARY(not_b1, u8, u8, x ^ 1)
BINARY(eq_b1, u8, u8, (x ^ y) ^ 1)
/* integers held in doubles; the + 0.0 keeps a product of 0 and a negative number from being -0 */
BINARY(add_f8, f64, f64, x + y)
BINARY(sub_f8, f64, f64, x - y)
BINARY(mul_f8, f64, f64, x *y + 0.0)
UNARY(neg_f8, f64, f64, 0.0 - x)
UNARY(copy_f4, f32, f32, x)
UNARY(copy_i8, i64, i64, x)
UNARY(copy_b1, u8, u8, x)
UNARY(copy_f8, f64, f64, x)
UNARY(copy_h2, int16_t, int16_t, x)
UNARY(cast_f4_i8, i64, f32, N(cast1)(x))
UNARY(cast_i8_f4, f32, i64, (f32)x)
UNARY(cast_b1_f4, f32, u8, (f32)x)
UNARY(cast_b1_i8, i64, u8, (i64)x)
UNARY(cast_b1_f8, f64, u8, (f64)x)
UNARY(cast_i8_b1, u8, i64, x != 0)
UNARY(cast_f4_b1, u8, f32, x != 0.0f)
UNARY(cast_f8_i8, i64, f64, (i64)x)
UNARY(cast_i8_f8, f64, i64, (f64)x)
UNARY(cast_f8_f4, f32, f64, (f32)x)
UNARY(scale_of_i8, f64, i64, scale_of(x))
UNARY(i8_of_scale, i64, f64, x != x ? 129 : (i64)(bits64(x) >> 52) - 1023)

static void N(sincos)(const Arg *g, u64 turn) {
    i64 n = g->n;
    for (i64 r = 0; r < g->rows; r++) {
        f32 *d = (f32 *)g->d + r * g->ds;
        const f32 *a = (const f32 *)g->a + r * g->as;
        f32 held[64]; /* d may be a: keep the arguments of the rare path */
        for (i64 at = 0; at < n; at += 64) {
            i64 m = n - at < 64 ? n - at : 64;
            u32 most = 0, least = 0x7fffffffu;
            for (i64 i = 0; i < m; i++) {
                held[i] = a[(at + i) * g->ae];
                u32 b = bits32(held[i]) & 0x7fffffffu;
                most = b > most ? b : most;
                least = b < least ? b : least;
            }
            f32 *out = d + at;
            for (i64 i = 0; i < m; i++) out[i] = N(sincos1)(held[i], turn);
            if (most >= 0x49800000u || least == 0) N(sincos_big)(out, held, m, turn);
        }
    }
}
static void N(sin_f4)(const Arg *g) { N(sincos)(g, 0); }
static void N(cos_f4)(const Arg *g) { N(sincos)(g, 1); }

SELECT(select_f4, u32)
SELECT(select_i8, i64)
SELECT(select_b1, u8)
SELECT(select_f8, f64)

/* a = x, b = 2^e, imm = bits. The general form clamps and maps NaN to 0 for any e. */
static void N(quantise)(const Arg *g) {
    f64 limit = power_of_two(g->imm - 1);
    for (i64 r = 0; r < g->rows; r++) {
        f64 *d = (f64 *)g->d + r * g->ds;
        const f32 *a = (const f32 *)g->a + r * g->as;
        const f64 *b = (const f64 *)g->b + r * g->bs;
        for (i64 i = 0; i < g->n; i++) {
            f64 k = limit / b[i * g->be];
            f64 v = (f64)a[i * g->ae] * k;
            v = k == k && v == v ? v : 0.0;
            v = v > limit ? limit : v;
            v = v < -limit ? -limit : v;
            d[i] = (v + ROUND_MAGIC) - ROUND_MAGIC;
        }
    }
}

/* The same where e is known to be the exponent of a group that holds x. */
static void N(quantise_tight)(const Arg *g) {
    f64 limit = power_of_two(g->imm - 1);
    i64 n = g->n;
    for (i64 r = 0; r < g->rows; r++) {
        f64 *d = (f64 *)g->d + r * g->ds;
        const f32 *a = (const f32 *)g->a + r * g->as;
        const f64 *b = (const f64 *)g->b + r * g->bs;
        if (!g->ae) {
            for (i64 i = 0; i < n; i++) {
                f64 k = limit / b[i * g->be];
                f64 v = ((f64)*a * k + ROUND_MAGIC) - ROUND_MAGIC;
                d[i] = k == k ? v : 0.0;
            }
        } else if (!g->be) {
            f64 k = limit / *b;
            if (k != k) {
                for (i64 i = 0; i < n; i++) d[i] = 0.0;
            } else {
                IVDEP for (i64 i = 0; i < n; i++) d[i] = ((f64)a[i] * k + ROUND_MAGIC) - ROUND_MAGIC;
            }
        } else {
            IVDEP for (i64 i = 0; i < n; i++) {
                f64 k = limit / b[i];
                f64 v = ((f64)a[i] * k + ROUND_MAGIC) - ROUND_MAGIC;
                d[i] = k == k ? v : 0.0;
            }
        }
    }
}

static void N(quantise_tight_h2)(const Arg *g) {
    f32 limit = (f32)power_of_two(g->imm - 1);
    i64 n = g->n;
    for (i64 r = 0; r < g->rows; r++) {
        int16_t *d = (int16_t *)g->d + r * g->ds;
        const f32 *a = (const f32 *)g->a + r * g->as;
        const f64 *b = (const f64 *)g->b + r * g->bs;
        f64 k = (f64)limit / *b;
        if (g->be || !g->ae) {
            for (i64 i = 0; i < n; i++) {
                k = (f64)limit / b[i * g->be];
                d[i] = k != k ? 0 : (int16_t)(i32)(u32)bits64((f64)a[i * g->ae] * k + ROUND_MAGIC);
            }
        } else if (k != k) {
            for (i64 i = 0; i < n; i++) d[i] = 0;
        } else { /* |x k| <= 2^15: the low bits of the shifted double are the integer */
            IVDEP for (i64 i = 0; i < n; i++) d[i] = (int16_t)(i32)(u32)bits64((f64)a[i] * k + ROUND_MAGIC);
        }
    }
}

/* the + 0.0 turns the -0 that a product of 0 and a negative integer leaves into the integer 0 */
static void N(rescale1)(const Arg *g) {
    f64 down = power_of_two(-g->imm);
    i64 n = g->n;
    for (i64 r = 0; r < g->rows; r++) {
        f32 *d = (f32 *)g->d + r * g->ds;
        const f64 *a = (const f64 *)g->a + r * g->as, *b = (const f64 *)g->b + r * g->bs;
        if (g->ae && !g->be) {
            f64 k = *b * down;
            IVDEP for (i64 i = 0; i < n; i++) d[i] = (f32)((a[i] + 0.0) * k);
        } else {
            for (i64 i = 0; i < n; i++) d[i] = (f32)((a[i * g->ae] + 0.0) * (b[i * g->be] * down));
        }
    }
}

static void N(rescale2)(const Arg *g) {
    f64 down = power_of_two(-g->imm);
    i64 n = g->n;
    for (i64 r = 0; r < g->rows; r++) {
        f32 *d = (f32 *)g->d + r * g->ds;
        const f64 *a = (const f64 *)g->a + r * g->as, *b = (const f64 *)g->b + r * g->bs;
        const f64 *c = (const f64 *)g->c + r * g->cs;
        if (g->ae && !g->be && g->ce) {
            f64 k = *b * down;
            IVDEP for (i64 i = 0; i < n; i++) d[i] = (f32)(((a[i] + 0.0) * k) * c[i]);
        } else if (g->ae && g->be && !g->ce) {
            f64 k = *c * down;
            IVDEP for (i64 i = 0; i < n; i++) d[i] = (f32)(((a[i] + 0.0) * k) * b[i]);
        } else {
            for (i64 i = 0; i < n; i++)
                d[i] = (f32)(((a[i * g->ae] + 0.0) * (b[i * g->be] * down)) * c[i * g->ce]);
        }
    }
}

static void N(uniform)(const Arg *g) {
    f32 *d = (f32 *)g->d;
    u64 seed = *(const u64 *)g->a, first = (u64)g->index, n = (u64)(g->rows * g->n);
    for (u64 block = first / 4; block <= (first + n - 1) / 4; block++) {
        u32 c[4] = {(u32)block, (u32)(block >> 32), (u32)g->imm, 0};
        u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
        for (int round = 0; round < 10; round++) {
            u64 p0 = (u64)0xD2511F53u * c[0], p1 = (u64)0xCD9E8D57u * c[2];
            u32 c1 = c[1], c3 = c[3];
            c[0] = (u32)(p1 >> 32) ^ c1 ^ k0;
            c[1] = (u32)p1;
            c[2] = (u32)(p0 >> 32) ^ c3 ^ k1;
            c[3] = (u32)p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        for (u64 w = 0; w < 4; w++) {
            u64 at = block * 4 + w;
            if (at >= first && at < first + n) d[at - first] = (f32)(c[w] >> 8) * 0x1p-24f;
        }
    }
}

/* ---- reductions of a row ---- */

static inline i32 N(max_magnitude)(const f32 *a, i64 n) {
    i32 most = 0;
    for (i64 i = 0; i < n; i++) {
        i32 b = (i32)(bits32(a[i]) & 0x7fffffffu);
        most = b > most ? b : most;
    }
    return most;
}
static inline i32 N(max_key)(const f32 *a, i64 n) {
    i32 most = (i32)0x80000000;
    for (i64 i = 0; i < n; i++) {
        i32 k = order_key(a[i]);
        most = k > most ? k : most;
    }
    return most;
}
/* sum of round(x k): the integer of each term is read from the bits, so the adds are integer adds */
static inline u64 N(sum_quantised)(const f32 *a, i64 n, f64 k) {
    u64 sum = 0;
    for (i64 i = 0; i < n; i++) sum += bits64((f64)a[i] * k + ROUND_MAGIC);
    return sum - (u64)n * ROUND_BITS;
}

static void N(row_exponent)(const Arg *g) {
    for (i64 r = 0; r < g->rows; r++)
        ((f64 *)g->d)[r] = scale_of_max(N(max_magnitude)((const f32 *)g->a + r * g->as, g->n));
}
static void N(row_amax)(const Arg *g) {
    for (i64 r = 0; r < g->rows; r++)
        ((f32 *)g->d)[r] = from_order_key(N(max_key)((const f32 *)g->a + r * g->as, g->n));
}
static void N(row_argmax)(const Arg *g) {
    for (i64 r = 0; r < g->rows; r++) {
        const f32 *a = (const f32 *)g->a + r * g->as;
        i32 most = N(max_key)(a, g->n);
        i64 at = 0;
        while (order_key(a[at]) != most) at++;
        ((i64 *)g->d)[r] = at;
    }
}
/* a = x, b = 2^e of the row, imm = bits: the integer sum of the quantised row */
static void N(row_sum_f4)(const Arg *g) {
    f64 limit = power_of_two(g->imm - 1);
    for (i64 r = 0; r < g->rows; r++) {
        f64 k = limit / ((const f64 *)g->b)[r * g->bs];
        ((f64 *)g->d)[r] = k != k ? 0.0 : (f64)(i64)N(sum_quantised)((const f32 *)g->a + r * g->as, g->n, k);
    }
}
static void N(row_sum_f8)(const Arg *g) { /* |a| < 2^51 */
    for (i64 r = 0; r < g->rows; r++) {
        const f64 *a = (const f64 *)g->a + r * g->as;
        u64 sum = 0;
        for (i64 i = 0; i < g->n; i++) sum += bits64(a[i] + ROUND_MAGIC);
        ((f64 *)g->d)[r] = (f64)(i64)(sum - (u64)g->n * ROUND_BITS);
    }
}
static void N(row_sum_i8)(const Arg *g) {
    for (i64 r = 0; r < g->rows; r++) {
        const u64 *a = (const u64 *)g->a + r * g->as;
        u64 sum = 0;
        for (i64 i = 0; i < g->n; i++) sum += a[i];
        ((u64 *)g->d)[r] = sum;
    }
}
static void N(row_sum_b1)(const Arg *g) {
    for (i64 r = 0; r < g->rows; r++) {
        const u8 *a = (const u8 *)g->a + r * g->as;
        i64 sum = 0;
        for (i64 i = 0; i < g->n; i++) sum += a[i];
        ((i64 *)g->d)[r] = sum;
    }
}

static const OpFn N(ops)[OP_COUNT] = {
#define X(name) N(name),
    OP_LIST(X)
#undef X
};
