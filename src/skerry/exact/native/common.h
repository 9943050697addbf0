/* Names that every file of the native kernels shares.

   What    Short integer and float types, the layout of a step as 64-bit words, the op list.
   Why     A plan is one array of 64-bit words plus one array of base addresses, so that any run of
           steps is a single call from Python and needs no structs shared across languages.
   Rule    Nothing here may change a value: no contraction, no reassociation of floats. */
#ifndef SKERRY_COMMON_H
#define SKERRY_COMMON_H

#include <stdint.h>
#include <string.h>
#include <stdlib.h>

typedef int64_t i64;
typedef uint64_t u64;
typedef int32_t i32;
typedef uint32_t u32;
typedef uint8_t u8;
typedef float f32;
typedef double f64;

/* How the elements of a register or buffer are stored. F8 holds an exact integer (|q| <= 2^53) or,
   for an exponent e, the float 2^e (NaN for 129). */
enum { F4 = 0, I8 = 1, B1 = 2, F8 = 3, H2 = 4 };

/* Register classes of the tile machine. */
enum {
    TEMP_FULL = 0, /* scratch, one value an element */
    TEMP_ROW = 1,  /* scratch, one value a row */
    CONST = 2,     /* the value lies in the register's own words */
    SCALAR = 3,    /* one value in memory */
    DENSE = 4,     /* memory in iteration order, read or written in place */
    ROW_DENSE = 5, /* memory, one value a row in order */
    STRIDED_IN = 6,
    ROW_STRIDED_IN = 7,
    STRIDED_OUT = 8,
    ROW_STRIDED_OUT = 9,
};

#define OUTER_MAX 8
#define RED_MAX 5 /* dims of a reduction */
#define INSTR_WORDS 8
/* header of a tile step */
enum { H_KIND, H_WORDS, H_OUTER, H_DIMS, H_COLS = H_DIMS + OUTER_MAX, H_REGS, H_INSTRS, H_TILE_ROWS, H_TILE_COLS, H_END };
/* register */
enum { R_CLASS, R_KIND, R_SLOT, R_OFFSET, R_COL_STRIDE, R_STRIDES,
       R_SCRATCH = R_STRIDES + OUTER_MAX, R_SPARE, REG_WORDS };
/* instruction */
enum { I_OP, I_DST, I_A, I_B, I_C, I_IMM, I_IMM2, I_SPARE };

/* Step kinds. */
enum { STEP_TILE = 1, STEP_REDUCE, STEP_QUANT_COLS, STEP_TAKE, STEP_SCATTER, STEP_TOPK, STEP_CUMSUM,
       STEP_GEMM16, STEP_UNFOLD, STEP_ARGMAX, STEP_GEMM64 };

typedef struct {
    void *d;
    const void *a, *b, *c;
    i64 rows, n;             /* loops */
    i64 ds, as, bs, cs;      /* elements from row to row */
    int ae, be, ce;          /* 1: one element a column, 0: one value for the row */
    i64 imm, imm2, index;    /* index: number of the first element in iteration order */
} Arg;
typedef void (*OpFn)(const Arg *);

#define OP_LIST(X)                                                                                 \
    X(add_f4) X(sub_f4) X(mul_f4) X(div_f4) X(max_f4) X(min_f4) X(neg_f4) X(abs_f4) X(sqrt_f4)     \
    X(lt_f4) X(le_f4) X(eq_f4) X(exp_f4) X(log_f4) X(tanh_f4) X(erf_f4) X(sin_f4) X(cos_f4)        \
    X(add_i8) X(sub_i8) X(mul_i8) X(max_i8) X(min_i8) X(neg_i8) X(abs_i8) X(floordiv_i8) X(rem_i8) \
    X(lt_i8) X(le_i8) X(eq_i8) X(and_b1) X(or_b1) X(not_b1) X(eq_b1)                               \
    X(select_f4) X(select_i8) X(select_b1) X(select_f8)                                            \
    X(copy_f4) X(copy_i8) X(copy_b1) X(copy_f8) X(copy_h2)                                                    \
    X(cast_f4_i8) X(cast_i8_f4) X(cast_b1_f4) X(cast_b1_i8) X(cast_b1_f8) X(cast_i8_b1)            \
    X(cast_f4_b1) X(cast_f8_i8) X(cast_i8_f8) X(cast_f8_f4) X(scale_of_i8) X(i8_of_scale)          \
    X(quantise) X(quantise_tight) X(quantise_tight_h2) X(rescale1) X(rescale2) X(uniform)          \
    X(row_exponent) X(row_amax) X(row_argmax) X(row_sum_f4) X(row_sum_f8) X(row_sum_i8)            \
    X(row_sum_b1) X(add_f8) X(sub_f8) X(mul_f8) X(neg_f8)

enum {
#define X(name) OP_##name,
    OP_LIST(X)
#undef X
    OP_COUNT
};

#define LOG2_E 0x1.71547652b82fep+0
#define LN2 0x1.62e42fefa39efp-1
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33

#define ROUND_MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define ROUND_BITS 0x4338000000000000ULL

static inline u64 bits64(f64 x) { u64 b; memcpy(&b, &x, 8); return b; }
static inline f64 from64(u64 b) { f64 x; memcpy(&x, &b, 8); return x; }
static inline u32 bits32(f32 x) { u32 b; memcpy(&b, &x, 4); return b; }
static inline f32 from32(u32 b) { f32 x; memcpy(&x, &b, 4); return x; }
static inline f64 power_of_two(i64 n) { return from64((u64)(n + 1023) << 52); }
/* 2^e, or NaN where e is not the exponent of a finite group */
static inline f64 scale_of(i64 e) { return e < -125 || e > 128 ? from64(0x7ff8000000000000ULL) : power_of_two(e); }
/* biased exponent field of the largest magnitude -> 2^e */
static inline f64 scale_of_max(i32 magnitude) {
    i32 field = magnitude >> 23;
    return scale_of((field < 1 ? 1 : field) - 126);
}
/* total order -inf < .. < -0 < +0 < .. < inf < nan */
static inline i32 order_key(f32 x) {
    i32 b = (i32)bits32(x);
    i32 k = b ^ ((b >> 31) & 0x7fffffff);
    return (b & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : k;
}
static inline f32 from_order_key(i32 k) { return from32((u32)(k ^ ((k >> 31) & 0x7fffffff))); }

#define COLUMN_BLOCK 1024

/* reduce: w = kind words mode in_slot in_off kept[5] kept_strides[5] red[5] red_strides[5]
   out_slot out_off scale_slot scale_off bits shift in_kind */
enum { RD_MODE = 2, RD_SLOT, RD_OFF, RD_KEPT, RD_KEPT_S = 10, RD_RED = 15, RD_RED_S = 20, RD_OUT = 25, RD_OUT_OFF,
       RD_SCALE, RD_SCALE_OFF, RD_BITS, RD_SHIFT, RD_KIND };
enum { MODE_EXPONENT = 0, MODE_SUM_F32, MODE_AMAX, MODE_SUM, MODE_QSUM };

/* Accumulators of a block of neighbouring results. */
typedef struct {
    i32 magnitude[COLUMN_BLOCK];
    f64 k[COLUMN_BLOCK];
    u64 sum[COLUMN_BLOCK];
} Columns;

#define EACH_RED(BODY)                                                                             \
    for (i64 i0 = 0; i0 < q[0]; i0++) for (i64 i1 = 0; i1 < q[1]; i1++)                            \
    for (i64 i2 = 0; i2 < q[2]; i2++) for (i64 i3 = 0; i3 < q[3]; i3++) {                          \
        i64 at = i0 * s[0] + i1 * s[1] + i2 * s[2] + i3 * s[3];                                    \
        BODY                                                                                       \
    }

static inline int greater_first(const void *a, const void *b) {
    u64 x = *(const u64 *)a, y = *(const u64 *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* A register of the tile machine while it runs. */
typedef struct {
    const i64 *w;
    int size, full, once;
    i64 row_step; /* elements from row to row of a row operand: 0 or 1 */
    char *ptr;
} Reg;

static const int KIND_SIZE[5] = {4, 8, 1, 8, 2};

f64 skerry_reduce_big(f32 x, i64 *quadrant);

#endif
