/* exp, log, tanh, erf, sin, cos: the sequences of skerry/arithmetic/scalar.py, one to one.

   Included once for each CPU level. Every line is one IEEE binary64 operation or an operation on
   its bits, so the compiler can vectorise it and cannot change it. */

static inline f64 N(expm1_poly)(f64 r) {
    f64 p = 0x1.27e4faa28896ap-22;
    p = p * r + 0x1.72e0b23e91318p-19;
    p = p * r + 0x1.a01a7374b1704p-16;
    p = p * r + 0x1.a019951c1ebe2p-13;
    p = p * r + 0x1.6c16c13570404p-10;
    p = p * r + 0x1.11111123a5692p-7;
    p = p * r + 0x1.5555555565b97p-5;
    p = p * r + 0x1.5555555550e29p-3;
    p = p * r + 0x1.fffffffffffb0p-2;
    p = p * r + 0x1.0000000000005p+0;
    return r * p;
}

static inline f64 N(reduce_exp)(f64 y, f64 *scale) {
    f64 shifted = y * LOG2_E + ROUND_MAGIC;
    f64 n = shifted - ROUND_MAGIC;
    f64 r = (y - n * LN2_HIGH) - n * LN2_LOW;
    *scale = from64((bits64(shifted) << 52) + 0x3ff0000000000000ULL);
    return N(expm1_poly)(r);
}

static inline f32 N(exp1)(f32 x) {
    f64 y = x, scale;
    y = y > -110.0 ? y : -110.0; /* a NaN takes any path: it is put back at the end */
    y = y < 90.0 ? y : 90.0;
    f64 em1 = N(reduce_exp)(y, &scale);
    f32 v = (f32)((em1 + 1.0) * scale);
    return x != x ? x : v;
}

static inline f32 N(log1)(f32 x) {
    u64 bits = bits64((f64)x);
    /* (bits - c) >> 52 as an arithmetic shift, made of a logical one */
    u64 biased = (bits - 0x3FE6A09E667F3BCDULL + 0x4000000000000000ULL) >> 52;
    f64 k = from64(biased | 0x4330000000000000ULL) - 4503599627371520.0; /* 2^52 + 1024 */
    f64 f = from64(bits - ((biased - 1024) << 52)) - 1.0;
    f64 s = f / (f + 2.0);
    f64 z = s * s;
    f64 p = 0x1.58791ce4c0b4bp-3;
    p = p * z + 0x1.732c04fd8b167p-3;
    p = p * z + 0x1.c72279087203ep-3;
    p = p * z + 0x1.249241761e7a8p-2;
    p = p * z + 0x1.999999a295c33p-2;
    p = p * z + 0x1.555555555395cp-1;
    f64 series = s * (z * p + 2.0);
    f32 v = (f32)(k * LN2 + series);
    u32 b = bits32(x);
    v = b == 0x7f800000u ? x : v;
    v = (b & 0x7fffffffu) == 0 ? from32(0xff800000u) : v;
    u32 bad = (u32)((b & 0x7fffffffu) > 0x7f800000u) | (u32)((b >> 31) & ((b & 0x7fffffffu) != 0));
    return bad ? from32(0x7fc00000u) : v;
}

static inline f32 N(tanh1)(f32 x) {
    f64 scale, y = from32(bits32(x) & 0x7fffffffu);
    y = y < 20.0 ? y : 20.0;
    f64 em1 = N(reduce_exp)(y + y, &scale);
    f64 t = em1 * scale + (scale - 1.0);
    f32 v = (f32)(t / (t + 2.0));
    v = from32(bits32(v) | (bits32(x) & 0x80000000u));
    return x != x ? x : v;
}

/* The error function in two passes over a block: two short chains overlap where one long one waits. */
#define ERF_BLOCK 64
static inline f64 N(erf_log)(f32 x) {
    f64 a = from32(bits32(x) & 0x7fffffffu);
    a = a < 3.95 ? a : 3.95;
    f64 p = -0x1.6a86fa944edcbp-34;
    p = p * a + 0x1.0b7d43afa362bp-29;
    p = p * a + -0x1.4b7c108b5dc9fp-26;
    p = p * a + 0x1.98ced7adaf3f0p-24;
    p = p * a + -0x1.1707c410fe93dp-23;
    p = p * a + -0x1.6c8131b6ff8a6p-20;
    p = p * a + 0x1.6157e6ac0ec05p-17;
    p = p * a + -0x1.41a48a851961ap-15;
    p = p * a + 0x1.2e4a5101cd8f5p-14;
    p = p * a + 0x1.61358360598a8p-16;
    p = p * a + -0x1.344077bf595dap-11;
    p = p * a + 0x1.bc7909656a4dcp-10;
    p = p * a + -0x1.b66d17a36599cp-13;
    p = p * a + -0x1.396697566ea29p-6;
    p = p * a + 0x1.a4f4e2e8f3837p-4;
    p = p * a + 0x1.45f306dc64dbep-1;
    p = p * a + 0x1.20dd750429d33p+0;
    return 0.0 - a * p;
}
static inline f32 N(erf_value)(f32 x, f64 y) {
    f64 scale, em1 = N(reduce_exp)(y, &scale);
    f32 v = (f32)((1.0 - scale) - em1 * scale);
    v = from32(bits32(v) | (bits32(x) & 0x80000000u));
    return x != x ? x : v;
}
static void N(erf_row)(f32 *d, const f32 *a, i64 n) {
    f64 y[ERF_BLOCK];
    i64 at = 0;
    for (; at + ERF_BLOCK <= n; at += ERF_BLOCK) {
        for (int i = 0; i < ERF_BLOCK; i++) y[i] = N(erf_log)(a[at + i]);
        IVDEP for (int i = 0; i < ERF_BLOCK; i++) d[at + i] = N(erf_value)(a[at + i], y[i]);
    }
    IVDEP for (; at < n; at++) d[at] = N(erf_value)(a[at], N(erf_log)(a[at]));
}

static inline f32 N(quadrant_value)(u64 quadrant, f64 r) {
    f64 z = r * r;
    f64 c = 0x1.1bc6fa54a6ddfp-29;
    c = c * z + -0x1.27e0281ed437fp-22;
    c = c * z + 0x1.a019faa527418p-16;
    c = c * z + -0x1.6c16c16767002p-10;
    c = c * z + 0x1.55555555530e6p-5;
    c = (1.0 - z * 0.5) + (z * z) * c;
    f64 s = -0x1.a965d21d21e0dp-26;
    s = s * z + 0x1.71d77a1b5a8bcp-19;
    s = s * z + -0x1.a019f9554c402p-13;
    s = s * z + 0x1.1111110c9ec17p-7;
    s = s * z + -0x1.55555555523c6p-3;
    s = r + (r * z) * s;
    u64 odd = 0 - (quadrant & 1);
    u64 v = (bits64(c) & odd) | (bits64(s) & ~odd);
    return (f32)from64(v ^ ((quadrant & 2) << 62));
}

static inline f32 N(sincos1)(f32 x, u64 turn) {
    f64 y = x;
    f64 shifted = y * 0x1.45f306dc9c883p-1 + ROUND_MAGIC;
    f64 n = shifted - ROUND_MAGIC;
    f64 r = ((y - n * 0x1.921fb54400000p+0) - n * 0x1.0b4611a600000p-34) - n * 0x1.3198a2e037073p-69;
    return N(quadrant_value)(bits64(shifted) + turn, r);
}

/* Arguments of 2^20 and more, infinities and NaN: rare, one at a time. */
static void N(sincos_big)(f32 *d, const f32 *a, i64 n, u64 turn) {
    for (i64 i = 0; i < n; i++) {
        u32 b = bits32(a[i]) & 0x7fffffffu;
        if (b >= 0x7f800000u) d[i] = from32(0x7fc00000u);
        else if (b >= 0x49800000u) {
            i64 quadrant;
            f64 r = skerry_reduce_big(a[i], &quadrant);
            d[i] = N(quadrant_value)((u64)quadrant + turn, r);
        } else if (b == 0 && turn == 0) d[i] = a[i];
    }
}
