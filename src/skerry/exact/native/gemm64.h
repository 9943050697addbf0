/* The product of wide integers held as float64: C[m][n] = sum_k A[m][k] * B[n][k].

   Included once for each CPU level. The bounds of a Program keep every partial sum below 2^53, so
   any order, and a multiply-add that rounds once, gives the same exact integer. Operands are packed
   into panels of 6 rows and 8 columns; a panel of columns stays in the first-level cache while the
   panels of rows pass over it. */

#define MR 6
#define NR 8
#define KC 256
#define MC 192

/* panel[k][row]: `count` rows of the source, zeros up to `width` */
static inline void N(pack64)(f64 *to, const f64 *x, i64 count, i64 width, i64 rs, i64 ks, i64 depth) {
    if (count < width) {
        memset(to, 0, (size_t)(depth * width * 8));
        for (i64 k = 0; k < depth; k++) for (i64 r = 0; r < count; r++) to[k * width + r] = x[r * rs + k * ks];
    } else if (rs == 1) {
        for (i64 k = 0; k < depth; k++) memcpy(to + k * width, x + k * ks, (size_t)width * 8);
    } else {
        for (i64 k = 0; k < depth; k++) for (i64 r = 0; r < width; r++) to[k * width + r] = x[r * rs + k * ks];
    }
}

#ifdef MULTIPLY_ADD
#define ROW64(i)                                                                                   \
    x = _mm256_broadcast_sd(a + i);                                                                \
    c##i##0 = _mm256_fmadd_pd(x, b0, c##i##0);                                                     \
    c##i##1 = _mm256_fmadd_pd(x, b1, c##i##1);
#define LOAD64(i) c##i##0 = _mm256_loadu_pd(c + i * ldc), c##i##1 = _mm256_loadu_pd(c + i * ldc + 4);
#define STORE64(i) _mm256_storeu_pd(c + i * ldc, c##i##0), _mm256_storeu_pd(c + i * ldc + 4, c##i##1);
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)
__attribute__((target("avx2,fma")))
static void N(kernel64)(const f64 *a, const f64 *b, i64 depth, f64 *c, i64 ldc, int more) {
    __m256d c00, c01, c10, c11, c20, c21, c30, c31, c40, c41, c50, c51, x;
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = c40 = c41 = c50 = c51 = _mm256_setzero_pd();
    if (more) { EACH_ROW(LOAD64) }
    for (i64 k = 0; k < depth; k++, a += MR, b += NR) {
        __m256d b0 = _mm256_loadu_pd(b), b1 = _mm256_loadu_pd(b + 4);
        EACH_ROW(ROW64)
    }
    EACH_ROW(STORE64)
}
#undef ROW64
#undef LOAD64
#undef STORE64
#undef EACH_ROW
#else
static void N(kernel64)(const f64 *a, const f64 *b, i64 depth, f64 *c, i64 ldc, int more) {
    f64 sum[MR * NR] = {0};
    for (i64 k = 0; k < depth; k++, a += MR, b += NR)
        for (int i = 0; i < MR; i++) for (int j = 0; j < NR; j++) sum[i * NR + j] += a[i] * b[j];
    for (int i = 0; i < MR; i++) for (int j = 0; j < NR; j++)
        c[i * ldc + j] = sum[i * NR + j] + (more ? c[i * ldc + j] : 0.0);
}
#endif

/* A tile that sticks out of C is made beside it, and the part inside copied. */
static void N(edge64)(const f64 *a, const f64 *b, i64 depth, f64 *c, i64 ldc, int more, i64 rows, i64 cols) {
    f64 tile[MR * NR];
    N(kernel64)(a, b, depth, tile, NR, 0);
    for (i64 i = 0; i < rows; i++) for (i64 j = 0; j < cols; j++)
        c[i * ldc + j] = tile[i * NR + j] + (more ? c[i * ldc + j] : 0.0);
}

/* gemm64: w = kind words a_slot a_off b_slot b_off c_slot c_off batch a_bs b_bs M N K a_rs a_ks b_rs b_ks */
static void N(run_gemm64)(const i64 *w, char *const *bases, char *scratch) {
    i64 M = w[11], n = w[12], K = w[13];
    f64 *packed_a = (f64 *)scratch, *packed_b = packed_a + (MC + MR) * KC;
    for (i64 batch = 0; batch < w[8]; batch++) {
        const f64 *a = (const f64 *)(bases[w[2]] + w[3]) + batch * w[9];
        const f64 *b = (const f64 *)(bases[w[4]] + w[5]) + batch * w[10];
        f64 *c = (f64 *)(bases[w[6]] + w[7]) + batch * M * n;
        for (i64 k0 = 0; k0 < K; k0 += KC) {
            i64 depth = K - k0 < KC ? K - k0 : KC;
            for (i64 j = 0; j < n; j += NR)
                N(pack64)(packed_b + j * depth, b + j * w[16] + k0 * w[17], n - j < NR ? n - j : NR, NR, w[16], w[17], depth);
            for (i64 i0 = 0; i0 < M; i0 += MC) {
                i64 height = M - i0 < MC ? M - i0 : MC;
                for (i64 i = 0; i < height; i += MR)
                    N(pack64)(packed_a + i * depth, a + (i0 + i) * w[14] + k0 * w[15], height - i < MR ? height - i : MR, MR, w[14], w[15], depth);
                for (i64 j = 0; j < n; j += NR) for (i64 i = 0; i < height; i += MR) {
                    const f64 *pa = packed_a + i * depth, *pb = packed_b + j * depth;
                    f64 *d = c + (i0 + i) * n + j;
                    i64 rows = height - i < MR ? height - i : MR, cols = n - j < NR ? n - j : NR;
                    if (rows == MR && cols == NR) N(kernel64)(pa, pb, depth, d, n, k0 > 0);
                    else N(edge64)(pa, pb, depth, d, n, k0 > 0, rows, cols);
                }
            }
        }
    }
}
#undef MR
#undef NR
#undef KC
#undef MC
