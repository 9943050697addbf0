/* Reductions that cross rows, columnwise quantising, and moves of whole rows.

   Included once for each CPU level. Blocks of columns keep their accumulators in cache while the
   rows stream past; every sum is of integers, so the order never shows. */

static void N(column_magnitudes)(const f32 *x, i64 m, const i64 *q, const i64 *s, i32 *acc) {
    for (i64 j = 0; j < m; j++) acc[j] = 0;
    EACH_RED(for (i64 i4 = 0; i4 < q[4]; i4++) {
        const f32 *a = x + at + i4 * s[4];
        IVDEP for (i64 j = 0; j < m; j++) {
            i32 b = (i32)(bits32(a[j]) & 0x7fffffffu);
            acc[j] = b > acc[j] ? b : acc[j];
        }
    })
}
static void N(column_keys)(const f32 *x, i64 m, const i64 *q, const i64 *s, i32 *acc) {
    for (i64 j = 0; j < m; j++) acc[j] = (i32)0x80000000;
    EACH_RED(for (i64 i4 = 0; i4 < q[4]; i4++) {
        const f32 *a = x + at + i4 * s[4];
        IVDEP for (i64 j = 0; j < m; j++) {
            i32 b = order_key(a[j]);
            acc[j] = b > acc[j] ? b : acc[j];
        }
    })
}
static void N(column_sums)(const f32 *x, i64 m, const i64 *q, const i64 *s, const f64 *k, u64 *acc) {
    u64 terms = (u64)(q[0] * q[1] * q[2] * q[3] * q[4]);
    for (i64 j = 0; j < m; j++) acc[j] = 0 - terms * ROUND_BITS;
    EACH_RED(for (i64 i4 = 0; i4 < q[4]; i4++) {
        const f32 *a = x + at + i4 * s[4];
        IVDEP for (i64 j = 0; j < m; j++) acc[j] += bits64((f64)a[j] * k[j] + ROUND_MAGIC);
    })
}
/* the same for one result whose last reduced dim is contiguous (step 1) or strided */
static i32 N(one_magnitude)(const f32 *x, const i64 *q, const i64 *s) {
    i32 most = 0;
    EACH_RED({
        const f32 *a = x + at;
        if (s[4] == 1) { i32 b = N(max_magnitude)(a, q[4]); most = b > most ? b : most; }
        else for (i64 i = 0; i < q[4]; i++) {
            i32 b = (i32)(bits32(a[i * s[4]]) & 0x7fffffffu);
            most = b > most ? b : most;
        }
    })
    return most;
}
static i32 N(one_key)(const f32 *x, const i64 *q, const i64 *s) {
    i32 most = (i32)0x80000000;
    EACH_RED({
        const f32 *a = x + at;
        if (s[4] == 1) { i32 b = N(max_key)(a, q[4]); most = b > most ? b : most; }
        else for (i64 i = 0; i < q[4]; i++) { i32 b = order_key(a[i * s[4]]); most = b > most ? b : most; }
    })
    return most;
}
static u64 N(one_sum)(const f32 *x, const i64 *q, const i64 *s, f64 k) {
    u64 sum = 0;
    EACH_RED({
        const f32 *a = x + at;
        if (s[4] == 1) sum += N(sum_quantised)(a, q[4], k);
        else for (i64 i = 0; i < q[4]; i++) sum += bits64((f64)a[i * s[4]] * k + ROUND_MAGIC) - ROUND_BITS;
    })
    return sum;
}

/* plain integer sums of stored integers (F8, I8, B1); i64 output wraps, F8 output is exact */
static u64 N(one_integer_sum)(const char *x, int kind, const i64 *q, const i64 *s) {
    u64 sum = 0;
    EACH_RED(for (i64 i = 0; i < q[4]; i++) {
        i64 p = at + i * s[4];
        sum += kind == F8 ? (u64)(i64)((const f64 *)x)[p] : kind == I8 ? ((const u64 *)x)[p] : ((const u8 *)x)[p];
    })
    return sum;
}

static void N(reduce_block)(const i64 *w, char *const *bases, const char *x, i64 out, i64 m, Columns *c) {
    const i64 *q = w + RD_RED, *s = w + RD_RED_S;
    char *d = bases[w[RD_OUT]] + w[RD_OUT_OFF];
    f64 *scale = w[RD_SCALE] < 0 ? 0 : (f64 *)(bases[w[RD_SCALE]] + w[RD_SCALE_OFF]);
    int mode = (int)w[RD_MODE];
    if (mode == MODE_SUM) {
        for (i64 j = 0; j < m; j++) {
            int kind = (int)w[RD_KIND];
            u64 sum = N(one_integer_sum)(x + j * KIND_SIZE[kind], kind, q, s);
            if (kind == F8) ((f64 *)d)[out + j] = (f64)(i64)sum;
            else ((u64 *)d)[out + j] = sum;
        }
        return;
    }
    const f32 *a = (const f32 *)x;
    if (mode == MODE_AMAX) {
        if (m > 1) N(column_keys)(a, m, q, s, c->magnitude);
        else c->magnitude[0] = N(one_key)(a, q, s);
        for (i64 j = 0; j < m; j++) ((f32 *)d)[out + j] = from_order_key(c->magnitude[j]);
        return;
    }
    if (m > 1) N(column_magnitudes)(a, m, q, s, c->magnitude);
    else c->magnitude[0] = N(one_magnitude)(a, q, s);
    f64 limit = power_of_two(w[RD_BITS] - 1), down = power_of_two(-w[RD_SHIFT]);
    for (i64 j = 0; j < m; j++) {
        f64 e = scale_of_max(c->magnitude[j]);
        if (scale) scale[out + j] = e;
        if (mode == MODE_EXPONENT) ((f64 *)d)[out + j] = e;
        c->k[j] = e == e ? limit / e : e;
    }
    if (mode == MODE_EXPONENT) return;
    if (m > 1) N(column_sums)(a, m, q, s, c->k, c->sum);
    else c->sum[0] = N(one_sum)(a, q, s, c->k[0]);
    for (i64 j = 0; j < m; j++) {
        f64 k = c->k[j], sum = k == k ? (f64)(i64)c->sum[j] : 0.0;
        if (mode == MODE_QSUM) ((f64 *)d)[out + j] = sum;
        else ((f32 *)d)[out + j] = (f32)((sum * down) * scale_of_max(c->magnitude[j]));
    }
}

static void N(run_reduce)(const i64 *w, char *const *bases, char *scratch) {
    Columns *c = (Columns *)scratch;
    const i64 *n = w + RD_KEPT, *s = w + RD_KEPT_S;
    const char *x = bases[w[RD_SLOT]] + w[RD_OFF];
    int size = KIND_SIZE[w[RD_KIND]];
    i64 out = 0;
    for (i64 i0 = 0; i0 < n[0]; i0++) for (i64 i1 = 0; i1 < n[1]; i1++)
    for (i64 i2 = 0; i2 < n[2]; i2++) for (i64 i3 = 0; i3 < n[3]; i3++) {
        i64 at = i0 * s[0] + i1 * s[1] + i2 * s[2] + i3 * s[3];
        for (i64 j = 0; j < n[4];) {
            i64 m = s[4] == 1 ? (n[4] - j < COLUMN_BLOCK ? n[4] - j : COLUMN_BLOCK) : 1;
            N(reduce_block)(w, bases, x + (at + j * s[4]) * size, out, m, c);
            out += m;
            j += m;
        }
    }
}

/* quantise columns: w = kind words in_slot in_off batch[3] batch_strides[3] K K_stride n(cols, stride 1)
   out_slot out_off scale_slot scale_off bits out_kind: [batch, K, n] integers, [batch, n] scales */
static void N(run_quant_cols)(const i64 *w, char *const *bases, char *scratch) {
    Columns *c = (Columns *)scratch;
    const f32 *x = (const f32 *)(bases[w[2]] + w[3]);
    const i64 *b = w + 4, *bs = w + 7;
    i64 K = w[10], ks = w[11], n = w[12];
    f64 *scale = (f64 *)(bases[w[15]] + w[16]), limit = power_of_two(w[17] - 1);
    f64 *d = (f64 *)(bases[w[13]] + w[14]);
    int16_t *h = (int16_t *)d;
    int narrow = w[18] == H2;
    i64 width = n < COLUMN_BLOCK ? n : COLUMN_BLOCK, batch = 0;
    for (i64 i = 0; i < b[0]; i++) for (i64 j = 0; j < b[1]; j++) for (i64 l = 0; l < b[2]; l++, batch++)
    for (i64 c0 = 0; c0 < n; c0 += width) {
        i64 m = n - c0 < width ? n - c0 : width, q[5] = {1, 1, 1, 1, K}, s[5] = {0, 0, 0, 0, ks};
        const f32 *a = x + i * bs[0] + j * bs[1] + l * bs[2] + c0;
        N(column_magnitudes)(a, m, q, s, c->magnitude);
        int bad = 0;
        for (i64 t = 0; t < m; t++) {
            f64 e = scale_of_max(c->magnitude[t]);
            scale[batch * n + c0 + t] = e;
            bad |= e != e;
            c->k[t] = limit / e;
        }
        for (i64 k = 0; k < K; k++) {
            const f32 *from = a + k * ks;
            i64 at = (batch * K + k) * n + c0;
            if (narrow) {
                IVDEP for (i64 t = 0; t < m; t++) h[at + t] = (int16_t)(i32)(u32)bits64((f64)from[t] * c->k[t] + ROUND_MAGIC);
                if (bad) for (i64 t = 0; t < m; t++) if (c->k[t] != c->k[t]) h[at + t] = 0;
            } else {
                f64 *to = d + at;
                IVDEP for (i64 t = 0; t < m; t++) to[t] = ((f64)from[t] * c->k[t] + ROUND_MAGIC) - ROUND_MAGIC;
                if (bad) for (i64 t = 0; t < m; t++) if (c->k[t] != c->k[t]) to[t] = 0.0;
            }
        }
    }
}

/* unfold: w = kind words x_slot x_off out_slot out_off sizes[6] strides[6]: doubles into row-major order */
static void N(run_unfold)(const i64 *w, char *const *bases, char *scratch) {
    (void)scratch;
    const f64 *x = (const f64 *)(bases[w[2]] + w[3]);
    f64 *d = (f64 *)(bases[w[4]] + w[5]);
    const i64 *n = w + 6, *s = w + 12;
    for (i64 a = 0; a < n[0]; a++) for (i64 b = 0; b < n[1]; b++) for (i64 c = 0; c < n[2]; c++)
    for (i64 e = 0; e < n[3]; e++) for (i64 f = 0; f < n[4]; f++, d += n[5]) {
        const f64 *from = x + a * s[0] + b * s[1] + c * s[2] + e * s[3] + f * s[4];
        if (s[5] == 1) IVDEP for (i64 i = 0; i < n[5]; i++) d[i] = from[i];
        else for (i64 i = 0; i < n[5]; i++) d[i] = from[i * s[5]];
    }
}

/* take: w = kind words x_slot x_off idx_slot idx_off out_slot out_off n_idx n_rows row_bytes row_stride_bytes */
static void N(run_take)(const i64 *w, char *const *bases, char *scratch) {
    (void)scratch;
    const char *x = bases[w[2]] + w[3];
    const i64 *idx = (const i64 *)(bases[w[4]] + w[5]);
    char *d = bases[w[6]] + w[7];
    for (i64 i = 0; i < w[8]; i++, d += w[10]) {
        if (idx[i] < 0 || idx[i] >= w[9]) memset(d, 0, (size_t)w[10]);
        else memcpy(d, x + idx[i] * w[11], (size_t)w[10]);
    }
}

/* scatter_add: w = kind words idx_slot idx_off v_slot v_off out_slot out_off n_idx size row_elems kind */
static void N(run_scatter)(const i64 *w, char *const *bases, char *scratch) {
    (void)scratch;
    const i64 *idx = (const i64 *)(bases[w[2]] + w[3]);
    const char *v = bases[w[4]] + w[5];
    char *d = bases[w[6]] + w[7];
    i64 n = w[10];
    memset(d, 0, (size_t)(w[9] * n * 8));
    for (i64 i = 0; i < w[8]; i++) {
        if (idx[i] < 0 || idx[i] >= w[9]) continue;
        if (w[11] == F8) {
            f64 *to = (f64 *)d + idx[i] * n;
            const f64 *from = (const f64 *)v + i * n;
            IVDEP for (i64 j = 0; j < n; j++) to[j] += from[j];
        } else {
            u64 *to = (u64 *)d + idx[i] * n;
            const u64 *from = (const u64 *)v + i * n;
            IVDEP for (i64 j = 0; j < n; j++) to[j] += from[j];
        }
    }
}

/* cumsum: w = kind words x_slot x_off out_slot out_off outer n inner (contiguous i64) */
static void N(run_cumsum)(const i64 *w, char *const *bases, char *scratch) {
    (void)scratch;
    const u64 *x = (const u64 *)(bases[w[2]] + w[3]);
    u64 *d = (u64 *)(bases[w[4]] + w[5]);
    i64 n = w[7], inner = w[8];
    for (i64 o = 0; o < w[6]; o++)
        for (i64 k = 0; k < n; k++)
            for (i64 j = 0; j < inner; j++) {
                i64 at = (o * n + k) * inner + j;
                d[at] = x[at] + (k ? d[at - inner] : 0);
            }
}

/* argmax over a middle axis: w = kind words x_slot x_off out_slot out_off outer n inner */
static void N(run_argmax)(const i64 *w, char *const *bases, char *scratch) {
    (void)scratch;
    const f32 *x = (const f32 *)(bases[w[2]] + w[3]);
    i64 *d = (i64 *)(bases[w[4]] + w[5]), n = w[7], inner = w[8];
    for (i64 o = 0; o < w[6]; o++)
        for (i64 j = 0; j < inner; j++) {
            i32 most = (i32)0x80000000;
            i64 at = 0;
            for (i64 k = 0; k < n; k++) {
                i32 key = order_key(x[(o * n + k) * inner + j]);
                if (k == 0 || key > most) { most = key; at = k; }
            }
            d[o * inner + j] = at;
        }
}

/* topk: w = kind words x_slot x_off out_slot out_off rows n k. Keys (order, then lowest index) are
   distinct 64-bit numbers, so a threshold by counting and a sort of k keys give one answer. */
static u64 N(topk_key)(f32 x, i64 i) {
    return ((u64)((u32)order_key(x) ^ 0x80000000u) << 32) | (u32)(0xffffffffu - (u32)i);
}
static void N(run_topk)(const i64 *w, char *const *bases, char *scratch) {
    const f32 *x = (const f32 *)(bases[w[2]] + w[3]);
    i64 *d = (i64 *)(bases[w[4]] + w[5]), n = w[7], k = w[8];
    u64 *key = (u64 *)scratch;
    for (i64 r = 0; r < w[6]; r++, x += n, d += k) {
        for (i64 i = 0; i < n; i++) key[i] = N(topk_key)(x[i], i);
        i64 low = 0, high = n - 1;
        while (low < high) { /* quickselect: the k greatest come first */
            u64 pivot = key[low + (high - low) / 2];
            i64 i = low, j = high;
            while (i <= j) {
                while (key[i] > pivot) i++;
                while (key[j] < pivot) j--;
                if (i <= j) { u64 t = key[i]; key[i++] = key[j]; key[j--] = t; }
            }
            if (k - 1 <= j) high = j;
            else if (k - 1 >= i) low = i;
            else break;
        }
        qsort(key, (size_t)k, 8, greater_first);
        for (i64 i = 0; i < k; i++) d[i] = (i64)(0xffffffffu - (u32)key[i]);
    }
}
