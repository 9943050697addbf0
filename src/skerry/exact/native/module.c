/* skerry.exact._native: runs plans of steps over raw memory, at the best CPU level there is.

   What    `run(words, bases, first, last, scratch)` runs the steps that lie in words[first:last].
           `bases` holds the addresses that a step's (slot, offset) pairs refer to. `tensor_root`
           hashes a tensor.
   Why     One call runs any number of steps without the interpreter; the kernels are compiled once
           per CPU level from the same text, and every level gives equal bits.
   Rule    No third-party headers. The float environment is set to IEEE defaults for the run and
           put back after it. */
#if defined(__GNUC__) && !defined(__clang__)
/* Nobody reads the exception flags; without this the compiler keeps every comparison scalar. */
#pragma GCC optimize("no-trapping-math")
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "common.h"
#include "loops.h"
#include "sha256.h"

#if defined(__x86_64__) || defined(_M_X64)
#define X86 1
#include <immintrin.h>
#else
#define X86 0
#endif

/* floor(2 / pi * 2^256), most significant word first */
static const u64 TWO_OVER_PI[4] = {0xA2F9836E4E441529ULL, 0xFC2757D1F534DDC0ULL, 0xDB6295993C439041ULL,
                                   0xFE5163ABDEBBC561ULL};

/* The sine's reduction for |x| >= 2^20: exact integers modulo four quadrants. */
f64 skerry_reduce_big(f32 x, i64 *quadrant) {
    typedef unsigned __int128 u128;
    u32 b = bits32(x) & 0x7fffffffu;
    u64 mantissa = (b & 0x7fffffu) | 0x800000u;
    int shift = 130 - ((int)(b >> 23) - 150); /* of the 256 bits, to the right: 26 .. 133 */
    u128 high = ((u128)TWO_OVER_PI[0] << 64) | TWO_OVER_PI[1], low = ((u128)TWO_OVER_PI[2] << 64) | TWO_OVER_PI[3];
    u128 window = shift >= 128 ? high >> (shift - 128) : (high << (128 - shift)) | (low >> shift);
    u128 turns = window * mantissa;
    i64 q = (i64)(turns >> 126);
    u64 fraction = (u64)(turns >> 62);
    q += fraction >> 63;
    f64 r = ((f64)(i64)fraction * 0x1p-64) * 0x1.921fb54442d18p+0;
    *quadrant = (bits32(x) >> 31) ? (-q & 3) : (q & 3);
    return (bits32(x) >> 31) ? -r : r;
}

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)

#define N(name) JOIN(name, baseline)
#include "level.h"
#undef N

#if X86 && defined(__GNUC__) && !defined(__clang__)
#define LEVELS 3
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#define N(name) JOIN(name, avx2)
#define WIDE_INT16 1
#define MULTIPLY_ADD 1
#include "level.h"
#undef WIDE_INT16
#undef MULTIPLY_ADD
#undef N
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt")
#define N(name) JOIN(name, avx512)
#define WIDE_INT16 1
#define MULTIPLY_ADD 1
#include "level.h"
#undef WIDE_INT16
#undef MULTIPLY_ADD
#undef N
#pragma GCC pop_options
#else
#define LEVELS 1
#endif

typedef void (*RunFn)(const i64 *, i64, i64, char *const *, char *);
static const char *const LEVEL_NAMES[] = {"baseline", "avx2", "avx512"};
static RunFn run_level;
static int level;

static int best_level(void) {
#if LEVELS == 3
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma")) return 1;
#endif
    return 0;
}

static void choose(int wanted) {
    level = wanted;
    run_level = run_baseline;
#if LEVELS == 3
    if (wanted == 1) run_level = run_avx2;
    if (wanted == 2) run_level = run_avx512;
#endif
}

static PyObject *native_set_level(PyObject *self, PyObject *name) {
    (void)self;
    for (int k = 0; k < 3; k++)
        if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, LEVEL_NAMES[k]) == 0) {
            if (k > best_level()) return PyErr_Format(PyExc_ValueError, "this CPU or build has no level %s", LEVEL_NAMES[k]);
            choose(k);
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "unknown CPU level %R: baseline, avx2 or avx512", name);
}

static PyObject *native_level(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    return PyUnicode_FromString(LEVEL_NAMES[level]);
}

static PyObject *native_levels(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    PyObject *list = PyList_New(0);
    for (int k = 0; list && k <= best_level(); k++) {
        PyObject *name = PyUnicode_FromString(LEVEL_NAMES[k]);
        if (!name || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *native_run(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)self;
    if (nargs != 5) return PyErr_Format(PyExc_TypeError, "run takes words, bases, first, last, scratch");
    Py_buffer words, bases;
    if (PyObject_GetBuffer(args[0], &words, PyBUF_SIMPLE) < 0) return NULL;
    if (PyObject_GetBuffer(args[1], &bases, PyBUF_SIMPLE) < 0) { PyBuffer_Release(&words); return NULL; }
    i64 first = PyLong_AsLongLong(args[2]), last = PyLong_AsLongLong(args[3]);
    char *scratch = (char *)PyLong_AsVoidPtr(args[4]);
    int ok = !PyErr_Occurred();
    if (ok && (first < 0 || last < first || last * 8 > words.len)) {
        PyErr_SetString(PyExc_ValueError, "steps outside the plan");
        ok = 0;
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
#if X86
        unsigned int saved = _mm_getcsr();
        _mm_setcsr(0x1f80); /* round to nearest even, subnormals kept, no traps */
#endif
        run_level((const i64 *)words.buf, first, last, (char *const *)bases.buf, scratch);
#if X86
        _mm_setcsr(saved);
#endif
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&bases);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyObject *native_tensor_root(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data, prefix;
    long long row, leaf;
    int instructions;
    u8 root[32];
    if (!PyArg_ParseTuple(args, "y*y*LLp", &data, &prefix, &row, &leaf, &instructions)) return NULL;
    int ok = row > 0 && leaf > 0 && data.len % row == 0 && prefix.len <= PREFIX_MAX;
    if (ok) {
        Cut cut = {row, leaf, prefix.len, prefix.buf};
        Py_BEGIN_ALLOW_THREADS
        skerry_tensor_root(data.buf, data.len, &cut, instructions, root);
        Py_END_ALLOW_THREADS
    } else PyErr_SetString(PyExc_ValueError, "the rows do not tile the data, or the prefix is longer than 63 bytes");
    PyBuffer_Release(&data);
    PyBuffer_Release(&prefix);
    return ok ? PyBytes_FromStringAndSize((const char *)root, sizeof root) : NULL;
}

static PyObject *native_sha_instructions(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    return PyBool_FromLong(skerry_sha_instructions());
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))native_run, METH_FASTCALL, "run(words, bases, first, last, scratch): run steps."},
    {"set_level", native_set_level, METH_O, "Choose a CPU level by name; every level gives equal bits."},
    {"level", native_level, METH_NOARGS, "Return the name of the CPU level in use."},
    {"tensor_root", native_tensor_root, METH_VARARGS,
     "tensor_root(data, prefix, row_bytes, leaf_bytes, instructions): the Merkle root over the leaves of data."},
    {"sha_instructions", native_sha_instructions, METH_NOARGS, "Return whether there are instructions for SHA-256."},
    {"levels", native_levels, METH_NOARGS, "Return the names of the CPU levels that run here."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "skerry.exact._native", "Exact kernels.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *m = PyModule_Create(&module), *ops = PyDict_New();
    static const char *const names[OP_COUNT] = {
#define X(name) #name,
        OP_LIST(X)
#undef X
    };
    if (!m || !ops) return NULL;
    for (int k = 0; k < OP_COUNT; k++) {
        PyObject *number = PyLong_FromLong(k);
        if (!number || PyDict_SetItemString(ops, names[k], number) < 0) return NULL;
        Py_DECREF(number);
    }
    if (PyModule_AddObject(m, "OPS", ops) < 0) return NULL;
    choose(best_level());
    const char *forced = getenv("SKERRY_CPU_LEVEL");
    for (int k = 0; forced && k <= best_level(); k++)
        if (strcmp(forced, LEVEL_NAMES[k]) == 0) choose(k);
    return m;
}
