/* Everything that is compiled once for each CPU level, and the loop over the steps of a plan. */
#include "transcend.h"
#include "tile_ops.h"
#include "machine.h"
#include "reduce.h"
#include "gemm16.h"
#include "gemm64.h"

static void N(run)(const i64 *words, i64 first, i64 last, char *const *bases, char *scratch) {
    for (const i64 *w = words + first; w < words + last; w += w[1]) {
        switch (w[0]) {
        case STEP_TILE: N(run_tile)(w, bases, scratch); break;
        case STEP_REDUCE: N(run_reduce)(w, bases, scratch); break;
        case STEP_QUANT_COLS: N(run_quant_cols)(w, bases, scratch); break;
        case STEP_TAKE: N(run_take)(w, bases, scratch); break;
        case STEP_SCATTER: N(run_scatter)(w, bases, scratch); break;
        case STEP_TOPK: N(run_topk)(w, bases, scratch); break;
        case STEP_CUMSUM: N(run_cumsum)(w, bases, scratch); break;
        case STEP_ARGMAX: N(run_argmax)(w, bases, scratch); break;
        case STEP_GEMM16: N(run_gemm16)(w, bases, scratch); break;
        case STEP_GEMM64: N(run_gemm64)(w, bases, scratch); break;
        case STEP_UNFOLD: N(run_unfold)(w, bases, scratch); break;
        default: return;
        }
    }
}
