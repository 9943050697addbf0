/* The tile machine: runs a fused chain over an index space of rows and columns, tile by tile.

   Included once for each CPU level. A tile (about a thousand elements) stays in the first-level
   cache while every instruction of the chain passes over it once. */

static void N(copy_strided)(char *to, i64 to_step, const char *from, i64 from_step, i64 n, int size) {
    if (from_step == 1 && to_step == 1) { memcpy(to, from, (size_t)(n * size)); return; }
    switch (size) {
    case 1: for (i64 i = 0; i < n; i++) to[i * to_step] = from[i * from_step]; break;
    case 2: for (i64 i = 0; i < n; i++) ((int16_t *)to)[i * to_step] = ((const int16_t *)from)[i * from_step]; break;
    case 4: for (i64 i = 0; i < n; i++) ((u32 *)to)[i * to_step] = ((const u32 *)from)[i * from_step]; break;
    default: for (i64 i = 0; i < n; i++) ((u64 *)to)[i * to_step] = ((const u64 *)from)[i * from_step];
    }
}

/* The offset of a row, and the walk from one row to the next, over up to OUTER_MAX dims. */
static inline i64 N(row_offset)(const i64 *index, const i64 *strides) {
    i64 at = 0;
    for (int k = 0; k < OUTER_MAX; k++) at += index[k] * strides[k];
    return at;
}
static inline void N(next_row)(i64 *index, const i64 *dims) {
    for (int k = OUTER_MAX - 1; k >= 0; k--) {
        if (++index[k] < dims[k]) return;
        index[k] = 0;
    }
}
static void N(row_index)(i64 *index, const i64 *dims, i64 row) {
    for (int k = OUTER_MAX - 1; k >= 0; k--) { index[k] = row % dims[k]; row /= dims[k]; }
}

/* Bring a strided operand into scratch, or a result out of it. */
static void N(move_tile)(Reg *reg, char *base, const i64 *index0, const i64 *dims, i64 nr, i64 c0, i64 nc, int out) {
    const i64 *w = reg->w;
    i64 index[OUTER_MAX];
    memcpy(index, index0, sizeof index);
    int row = w[R_CLASS] == ROW_STRIDED_IN || w[R_CLASS] == ROW_STRIDED_OUT;
    i64 n = row ? 1 : nc, step = w[R_COL_STRIDE];
    for (i64 r = 0; r < nr; r++) {
        char *far = base + (N(row_offset)(index, w + R_STRIDES) + (row ? 0 : c0 * step)) * reg->size;
        char *near = reg->ptr + r * n * reg->size;
        if (out) N(copy_strided)(far, step, near, 1, n, reg->size);
        else N(copy_strided)(near, 1, far, step, n, reg->size);
        N(next_row)(index, dims);
    }
}

static void N(bind)(Reg *regs, i64 n_regs, char *const *bases, char *scratch, const i64 *dims, i64 cols,
                    i64 r0, i64 nr, i64 c0, i64 nc) {
    i64 index[OUTER_MAX];
    N(row_index)(index, dims, r0);
    for (i64 k = 0; k < n_regs; k++) {
        Reg *reg = regs + k;
        const i64 *w = reg->w;
        switch (w[R_CLASS]) {
        case DENSE: reg->ptr = bases[w[R_SLOT]] + w[R_OFFSET] + (r0 * cols + c0) * reg->size; break;
        case ROW_DENSE: reg->ptr = bases[w[R_SLOT]] + w[R_OFFSET] + r0 * reg->size; break;
        case STRIDED_IN: {
            char *base = bases[w[R_SLOT]] + w[R_OFFSET];
            if (nr == 1 && w[R_COL_STRIDE] == 1) {
                reg->ptr = base + (N(row_offset)(index, w + R_STRIDES) + c0) * reg->size;
                break;
            }
            reg->ptr = scratch + w[R_SCRATCH];
            if (reg->once > 1 && nc == cols) break; /* the same columns for every row: already here */
            N(move_tile)(reg, base, index, dims, nr, c0, nc, 0);
            if (reg->once && nc == cols) reg->once = 2;
            break;
        }
        case ROW_STRIDED_IN:
            reg->ptr = scratch + w[R_SCRATCH];
            N(move_tile)(reg, bases[w[R_SLOT]] + w[R_OFFSET], index, dims, nr, c0, nc, 0);
            break;
        default: break;
        }
    }
}

static void N(instruct)(const i64 *w, const Reg *regs, i64 nr, i64 nc, i64 index) {
    const Reg *d = regs + w[I_DST], *o[3] = {0, 0, 0};
    Arg g = {.d = d->ptr, .imm = w[I_IMM], .imm2 = w[I_IMM2], .index = index};
    i64 steps[3] = {0, 0, 0};
    int each[3] = {0, 0, 0}, by_row = 0, any_full = 0;
    for (int k = 0; k < 3; k++) {
        if (w[I_A + k] < 0) continue;
        o[k] = regs + w[I_A + k];
        by_row |= !o[k]->full && o[k]->row_step;
        any_full |= o[k]->full;
    }
    if (d->full) {
        g.rows = by_row ? nr : 1;
        g.n = by_row ? nc : nr * nc;
        g.ds = nc;
    } else { /* a value a row: an elementwise op over rows, or a reduction of a full operand */
        g.rows = any_full ? nr : 1;
        g.n = any_full ? nc : nr;
        g.ds = 1;
    }
    for (int k = 0; k < 3; k++) {
        if (!o[k]) continue;
        int pass = !d->full && !any_full; /* rows are the elements */
        each[k] = pass ? (int)o[k]->row_step : o[k]->full;
        steps[k] = pass ? 0 : o[k]->full ? nc : o[k]->row_step;
    }
    g.a = o[0] ? o[0]->ptr : 0; g.b = o[1] ? o[1]->ptr : 0; g.c = o[2] ? o[2]->ptr : 0;
    g.ae = each[0]; g.be = each[1]; g.ce = each[2];
    g.as = steps[0]; g.bs = steps[1]; g.cs = steps[2];
    N(ops)[w[I_OP]](&g);
}

static void N(run_tile)(const i64 *w, char *const *bases, char *scratch) {
    const i64 *dims = w + H_DIMS, cols = w[H_COLS], n_regs = w[H_REGS], n_instrs = w[H_INSTRS];
    i64 rows = 1;
    for (int k = 0; k < OUTER_MAX; k++) rows *= dims[k];
    Reg regs[n_regs];
    const i64 *instrs = w + H_END + n_regs * REG_WORDS;
    for (i64 k = 0; k < n_regs; k++) {
        const i64 *r = w + H_END + k * REG_WORDS;
        i64 c = r[R_CLASS];
        regs[k] = (Reg){.w = r, .size = KIND_SIZE[r[R_KIND]]};
        regs[k].full = c == TEMP_FULL || c == DENSE || c == STRIDED_IN || c == STRIDED_OUT;
        regs[k].row_step = c == TEMP_ROW || c == ROW_DENSE || c == ROW_STRIDED_IN || c == ROW_STRIDED_OUT;
        regs[k].ptr = scratch + r[R_SCRATCH];
        if (c == CONST) regs[k].ptr = (char *)(r + R_OFFSET);
        if (c == SCALAR) regs[k].ptr = bases[r[R_SLOT]] + r[R_OFFSET];
        if (c == STRIDED_IN) {
            regs[k].once = 1;
            for (int s = 0; s < OUTER_MAX; s++)
                if (r[R_STRIDES + s] && dims[s] > 1) regs[k].once = 0;
        }
    }
    i64 tile_rows = w[H_TILE_ROWS], tile_cols = w[H_TILE_COLS];
    for (i64 r0 = 0; r0 < rows; r0 += tile_rows) {
        i64 nr = rows - r0 < tile_rows ? rows - r0 : tile_rows;
        for (i64 c0 = 0; c0 < cols; c0 += tile_cols) {
            i64 nc = cols - c0 < tile_cols ? cols - c0 : tile_cols;
            N(bind)(regs, n_regs, bases, scratch, dims, cols, r0, nr, c0, nc);
            for (i64 k = 0; k < n_instrs; k++) N(instruct)(instrs + k * INSTR_WORDS, regs, nr, nc, r0 * cols + c0);
            for (i64 k = 0; k < n_regs; k++) {
                i64 c = regs[k].w[R_CLASS];
                if (c != STRIDED_OUT && c != ROW_STRIDED_OUT) continue;
                i64 index[OUTER_MAX];
                N(row_index)(index, dims, r0);
                N(move_tile)(regs + k, bases[regs[k].w[R_SLOT]] + regs[k].w[R_OFFSET], index, dims, nr, c0, nc, 1);
            }
        }
    }
}
