/* The loops that every instruction is made of: full, one-a-row and constant operands. */
#ifndef SKERRY_LOOPS_H
#define SKERRY_LOOPS_H

#define IVDEP _Pragma("GCC ivdep")
#ifdef __clang__
#undef IVDEP
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#endif

#define BINARY(name, TD, TA, EXPR)                                                                 \
    static void N(name)(const Arg *g) {                                                            \
        i64 n = g->n;                                                                              \
        for (i64 r = 0; r < g->rows; r++) {                                                        \
            TD *d = (TD *)g->d + r * g->ds;                                                        \
            const TA *a = (const TA *)g->a + r * g->as, *b = (const TA *)g->b + r * g->bs;         \
            if (g->ae && g->be) {                                                                  \
                IVDEP for (i64 i = 0; i < n; i++) { TA x = a[i], y = b[i]; d[i] = EXPR; }          \
            } else if (g->ae) {                                                                    \
                TA y = *b;                                                                         \
                IVDEP for (i64 i = 0; i < n; i++) { TA x = a[i]; d[i] = EXPR; }                    \
            } else if (g->be) {                                                                    \
                TA x = *a;                                                                         \
                IVDEP for (i64 i = 0; i < n; i++) { TA y = b[i]; d[i] = EXPR; }                    \
            } else {                                                                               \
                TA x = *a, y = *b;                                                                 \
                TD v = EXPR;                                                                       \
                IVDEP for (i64 i = 0; i < n; i++) d[i] = v;                                        \
            }                                                                                      \
        }                                                                                          \
    }

#define UNARY(name, TD, TA, EXPR)                                                                  \
    static void N(name)(const Arg *g) {                                                            \
        i64 n = g->n;                                                                              \
        for (i64 r = 0; r < g->rows; r++) {                                                        \
            TD *d = (TD *)g->d + r * g->ds;                                                        \
            const TA *a = (const TA *)g->a + r * g->as;                                            \
            if (g->ae) {                                                                           \
                IVDEP for (i64 i = 0; i < n; i++) { TA x = a[i]; d[i] = EXPR; }                    \
            } else {                                                                               \
                TA x = *a;                                                                         \
                TD v = EXPR;                                                                       \
                IVDEP for (i64 i = 0; i < n; i++) d[i] = v;                                        \
            }                                                                                      \
        }                                                                                          \
    }

#define SELECT(name, T)                                                                            \
    static void N(name)(const Arg *g) {                                                            \
        i64 n = g->n;                                                                              \
        for (i64 r = 0; r < g->rows; r++) {                                                        \
            T *d = (T *)g->d + r * g->ds;                                                          \
            const u8 *a = (const u8 *)g->a + r * g->as;                                            \
            const T *b = (const T *)g->b + r * g->bs, *c = (const T *)g->c + r * g->cs;            \
            if (!g->ae) {                                                                          \
                const T *s = *a ? b : c;                                                           \
                i64 step = *a ? g->be : g->ce;                                                     \
                for (i64 i = 0; i < n; i++) d[i] = s[i * step];                                    \
            } else if (g->be && g->ce) {                                                           \
                IVDEP for (i64 i = 0; i < n; i++) { T x = b[i], y = c[i]; d[i] = a[i] ? x : y; }   \
            } else if (g->be) {                                                                    \
                T y = *c;                                                                          \
                IVDEP for (i64 i = 0; i < n; i++) { T x = b[i]; d[i] = a[i] ? x : y; }             \
            } else if (g->ce) {                                                                    \
                T x = *b;                                                                          \
                IVDEP for (i64 i = 0; i < n; i++) { T y = c[i]; d[i] = a[i] ? x : y; }             \
            } else {                                                                               \
                T x = *b, y = *c;                                                                  \
                IVDEP for (i64 i = 0; i < n; i++) d[i] = a[i] ? x : y;                             \
            }                                                                                      \
        }                                                                                          \
    }
#endif
