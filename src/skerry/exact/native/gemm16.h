/* The product of narrow integers: C[m][n] = sum_k A[m][k] * B[n][k] for |a|, |b| <= 2^11.

   Included once for each CPU level. Operands are packed into panels of 6 rows and 16 columns with
   two neighbouring k side by side, so that one multiply-add instruction takes both. A 32-bit
   accumulator holds 510 products; longer ones are added in float64, which is exact up to 2^53. */

#define MR 6
#define NR 16
#define KC 480 /* even, and 480 * 2^22 < 2^31 */
#define MC 96

/* panel[kp][row][2]: `count` rows of the source, zeros up to `width` */
static void N(pack16)(int16_t *to, const int16_t *x, i64 count, i64 width, i64 rs, i64 ks, i64 k0, i64 k1) {
    i64 pairs = (k1 - k0 + 1) / 2;
    if (count < width) memset(to, 0, (size_t)(pairs * width * 4));
    if (ks == 1) {
        for (i64 r = 0; r < count; r++) {
            const int16_t *from = x + r * rs + k0;
            i64 p = 0;
            for (; p < (k1 - k0) / 2; p++) memcpy(to + (p * width + r) * 2, from + 2 * p, 4);
            if (p < pairs) { to[(p * width + r) * 2] = from[2 * p]; to[(p * width + r) * 2 + 1] = 0; }
        }
        return;
    }
    for (i64 p = 0; p < pairs; p++) {
        const int16_t *a = x + (k0 + 2 * p) * ks, *b = a + ks;
        int16_t *d = to + p * width * 2;
        if (k0 + 2 * p + 1 < k1) for (i64 r = 0; r < count; r++) { d[2 * r] = a[r * rs]; d[2 * r + 1] = b[r * rs]; }
        else for (i64 r = 0; r < count; r++) { d[2 * r] = a[r * rs]; d[2 * r + 1] = 0; }
    }
}

#ifdef WIDE_INT16
#define ROW16(i)                                                                                   \
    x = _mm256_set1_epi32(((const i32 *)(const void *)a)[i]);                                      \
    c##i##0 = _mm256_add_epi32(c##i##0, _mm256_madd_epi16(x, b0));                                 \
    c##i##1 = _mm256_add_epi32(c##i##1, _mm256_madd_epi16(x, b1));
#define STORE16(i)                                                                                 \
    _mm256_storeu_si256((__m256i *)(out + 16 * i), c##i##0);                                       \
    _mm256_storeu_si256((__m256i *)(out + 16 * i + 8), c##i##1);
static void N(kernel16)(const int16_t *a, const int16_t *b, i64 pairs, i32 *out) {
    __m256i c00, c01, c10, c11, c20, c21, c30, c31, c40, c41, c50, c51, x;
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = c40 = c41 = c50 = c51 = _mm256_setzero_si256();
    for (i64 p = 0; p < pairs; p++, a += 2 * MR, b += 2 * NR) {
        __m256i b0 = _mm256_loadu_si256((const __m256i *)b), b1 = _mm256_loadu_si256((const __m256i *)(b + 16));
        ROW16(0) ROW16(1) ROW16(2) ROW16(3) ROW16(4) ROW16(5)
    }
    STORE16(0) STORE16(1) STORE16(2) STORE16(3) STORE16(4) STORE16(5)
}
#undef ROW16
#undef STORE16
#else
static void N(kernel16)(const int16_t *a, const int16_t *b, i64 pairs, i32 *out) {
    for (int i = 0; i < MR * NR; i++) out[i] = 0;
    for (i64 p = 0; p < pairs; p++, a += 2 * MR, b += 2 * NR)
        for (int i = 0; i < MR; i++) {
            i32 x = a[2 * i], y = a[2 * i + 1];
            for (int j = 0; j < NR; j++) out[i * NR + j] += x * b[2 * j] + y * b[2 * j + 1];
        }
}
#endif

/* gemm16: w = kind words a_slot a_off b_slot b_off c_slot c_off batch a_bs b_bs M N K a_rs a_ks b_rs b_ks */
static void N(run_gemm16)(const i64 *w, char *const *bases, char *scratch) {
    i64 M = w[11], n = w[12], K = w[13], panels = (n + NR - 1) / NR;
    int16_t *packed_a = (int16_t *)scratch, *packed_b = packed_a + (MC + MR) * KC;
    i32 out[MR * NR] __attribute__((aligned(32)));
    for (i64 batch = 0; batch < w[8]; batch++) {
        const int16_t *a = (const int16_t *)(bases[w[2]] + w[3]) + batch * w[9];
        const int16_t *b = (const int16_t *)(bases[w[4]] + w[5]) + batch * w[10];
        f64 *c = (f64 *)(bases[w[6]] + w[7]) + batch * M * n;
        for (i64 k0 = 0; k0 < K; k0 += KC) {
            i64 k1 = k0 + KC < K ? k0 + KC : K, pairs = (k1 - k0 + 1) / 2;
            for (i64 j = 0; j < panels; j++) {
                i64 m = n - j * NR < NR ? n - j * NR : NR;
                N(pack16)(packed_b + j * pairs * 2 * NR, b + j * NR * w[16], m, NR, w[16], w[17], k0, k1);
            }
            for (i64 i0 = 0; i0 < M; i0 += MC) {
                i64 i1 = i0 + MC < M ? i0 + MC : M, blocks = (i1 - i0 + MR - 1) / MR;
                for (i64 i = 0; i < blocks; i++) {
                    i64 m = i1 - i0 - i * MR < MR ? i1 - i0 - i * MR : MR;
                    N(pack16)(packed_a + i * pairs * 2 * MR, a + (i0 + i * MR) * w[14], m, MR, w[14], w[15], k0, k1);
                }
                for (i64 j = 0; j < panels; j++) for (i64 i = 0; i < blocks; i++) {
                    N(kernel16)(packed_a + i * pairs * 2 * MR, packed_b + j * pairs * 2 * NR, pairs, out);
                    i64 rows = i1 - i0 - i * MR < MR ? i1 - i0 - i * MR : MR, cols = n - j * NR < NR ? n - j * NR : NR;
                    f64 *d = c + (i0 + i * MR) * n + j * NR;
                    if (k0 == 0 && cols == NR)
                        for (i64 r = 0; r < rows; r++) for (int q = 0; q < NR; q++) d[r * n + q] = out[r * NR + q];
                    else if (k0 == 0)
                        for (i64 r = 0; r < rows; r++) for (i64 q = 0; q < cols; q++) d[r * n + q] = out[r * NR + q];
                    else if (cols == NR)
                        for (i64 r = 0; r < rows; r++) for (int q = 0; q < NR; q++) d[r * n + q] += out[r * NR + q];
                    else
                        for (i64 r = 0; r < rows; r++) for (i64 q = 0; q < cols; q++) d[r * n + q] += out[r * NR + q];
                }
            }
        }
    }
}
#undef MR
#undef NR
#undef KC
#undef MC
