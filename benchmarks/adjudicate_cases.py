"""Cases for the judges: for every op, random and special operands of telling shapes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.step_run import f32_tensor
from skerry.program import Builder, Program, Value
from skerry.program.graph import DTYPES, DType, InputRole

F32_SPECIAL = (
    0, 0x80000000, 1, 0x80000001, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000,
    0xFF800000, 0x7FC00000, 0x3F800000, 0xBF800000, 0x3F800001, 0x3F7FFFFF, 0x4B000000, 0x5E800000,
    0x5F000000, 0xDF000000, 0x42B17218, 0xC2CE8ED0, 0x497FFFFF, 0x49800000, 0xC9800000, 0x407CCCCD,
)  # fmt: skip
I64_SPECIAL = (
    0, 1, -1, 2, -2, 129, 128, -125, -126, (1 << 24) + 1, (1 << 53) + 1, 1 << 62, -(1 << 62),
    (1 << 63) - 1, -(1 << 63),
)  # fmt: skip
NAN = 0x7FC00000

Case = tuple[Program, dict[str, Tensor]]
ROLE: InputRole = "given"


def f32_bits(rng: random.Random) -> int:
    """Return an f32: special, of any bits, subnormal, or of ordinary size."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(F32_SPECIAL)
    if kind < 0.4:
        bits = rng.getrandbits(32)
        return NAN if bits & 0x7FFFFFFF > 0x7F800000 else bits
    if kind < 0.5:
        return rng.getrandbits(23) | rng.getrandbits(1) << 31
    size = 10 ** rng.uniform(-3, 2)
    return int(struct.unpack("<I", struct.pack("<f", rng.gauss(0, size)))[0])


def near_bits(rng: random.Random, bits: int) -> int:
    """Return an f32 that nearly cancels another or ties with it, or any one."""
    if bits & 0x7FFFFFFF >= 0x7F800000 or rng.random() < 0.6:
        return f32_bits(rng)
    near = (bits ^ rng.getrandbits(1) << 31) + rng.choice((-2, -1, 0, 0, 1, 3))
    return near if 0 <= near < 1 << 32 and near & 0x7FFFFFFF <= 0x7F800000 else bits


def i64(rng: random.Random) -> int:
    """Return an i64: special, small, or of any length."""
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(I64_SPECIAL)
    if kind < 0.4:
        return rng.randint(-9, 9)
    return rng.getrandbits(rng.randint(1, 63)) * rng.choice((1, -1))


class Cases:
    """A Program being built together with what it is given."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.b = Builder("case")
        self.inputs: dict[str, Tensor] = {}

    def f32(self, *shape: int, like: Sequence[int] | None = None) -> Value:
        """Return a port of f32, some of which nearly equal `like`."""
        count = _count(shape)
        bits = [f32_bits(self.rng) for _ in range(count)]
        if like is not None:
            bits = [near_bits(self.rng, x) for x in like]
        return self._port("f32", shape, f32_tensor(bits, shape))

    def ties(self, *shape: int) -> Value:
        """Return a port of f32 with few different values."""
        pool = [f32_bits(self.rng) for _ in range(self.rng.choice((1, 3, 40)))]
        bits = [self.rng.choice(pool) for _ in range(_count(shape))]
        return self._port("f32", shape, f32_tensor(bits, shape))

    def i64(self, *shape: int, low: int | None = None, high: int = 0) -> Value:
        """Return a port of i64, of any kind or within low..high."""
        draws = range(_count(shape))
        if low is None:
            numbers = [i64(self.rng) for _ in draws]
        else:
            numbers = [self.rng.randint(low, high) for _ in draws]
        held = torch.tensor(numbers, dtype=torch.int64)
        return self._port("i64", shape, held.reshape(shape))

    def bool(self, *shape: int) -> Value:
        """Return a port of truth values."""
        held = torch.tensor([self.rng.random() < 0.5 for _ in range(_count(shape))])
        return self._port("bool", shape, held.reshape(shape))

    def any(self, dtype: DType, *shape: int) -> Value:
        """Return a port of any type."""
        match dtype:
            case "f32":
                return self.f32(*shape)
            case "i64":
                return self.i64(*shape)
            case "bool":
                return self.bool(*shape)

    def one(self, *shape: int) -> Value:
        """Return a port of a random type."""
        return self.any(self.rng.choice(DTYPES), *shape)

    def small(self, *shape: int, bits: int = 8) -> Value:
        """Return bounded integers, as a quantise gives them."""
        x = self.f32(*shape)
        return self.b.node("quantise", (x, self.i64(*shape, low=-3, high=9)), bits=bits)

    def shape(self, rank_min: int = 1, rank_max: int = 4, last: int = 0) -> tuple[int, ...]:
        """Return a shape, sometimes with a last axis of several leaves."""
        rank = self.rng.randint(rank_min, rank_max)
        sizes = [self.rng.randint(1, 4) for _ in range(rank)]
        if rank and self.rng.random() < 0.4:
            sizes[-1] = last or self.rng.choice((511, 512, 513, 600, 1025))
            sizes[:-1] = [min(size, 2) for size in sizes[:-1]]
        return tuple(sizes)

    def axes(self, rank: int) -> tuple[int, ...]:
        """Return some axes, at least one."""
        count = self.rng.randint(1, rank)
        return tuple(sorted(self.rng.sample(range(rank), count)))

    def done(self, value: Value) -> Case:
        """Return the Program that gives `value`, and its inputs."""
        self.b.output("y", value, "value")
        program = self.b.build()
        return program, {port.name: self.inputs[port.name] for port in program.inputs}

    def _port(self, dtype: DType, shape: Sequence[int], held: Tensor) -> Value:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = held
        return self.b.input(name, ROLE, dtype, shape)


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


# ---- elementwise: one long vector a case ---------------------------------------------------------

REAL_1 = ("sqrt", "neg", "abs", "exp", "log", "tanh", "erf", "sin", "cos")
REAL_2 = ("add", "sub", "mul", "div", "max", "min", "lt", "le", "eq")
WHOLE_1 = ("neg", "abs")
WHOLE_2 = ("add", "sub", "mul", "max", "min", "lt", "le", "eq", "floordiv", "rem")
TRUTH_2 = ("and", "or", "eq")


def elementwise(op: str, count: int, rng: random.Random) -> list[Case]:
    """Return cases of an elementwise op with `count` elements in all, or a few more."""
    makers: list[Callable[[Cases, int], Value]] = []
    if op in REAL_1:
        makers.append(lambda c, n: c.b.node(op, (c.f32(n),)))
    if op in REAL_2:
        makers.append(lambda c, n: c.b.node(op, _near_pair(c, n)))
    if op in WHOLE_1:
        makers.append(lambda c, n: c.b.node(op, (c.i64(n),)))
    if op in WHOLE_2:
        makers.append(lambda c, n: c.b.node(op, (c.i64(n), c.i64(n))))
    if op in TRUTH_2:
        makers.append(lambda c, n: c.b.node(op, (c.bool(n), c.bool(n))))
    if op == "not":
        makers.append(lambda c, n: c.b.node(op, (c.bool(n),)))
    if op == "select":
        makers += [_selected(dtype) for dtype in DTYPES]
    if op == "cast":
        makers += [_cast(dtype, to) for dtype in DTYPES for to in range(3)]
    if op == "quantise":
        makers += [_quantised(bits) for bits in (2, 8, 12, 24, 31, 41)]
    if op == "rescale":
        makers += [_rescaled(shift, two) for shift in (0, 23, 46, 82) for two in (False, True)]
    each = -(-count // len(makers))
    found = []
    for make in makers:
        cases = Cases(rng)
        found.append(cases.done(make(cases, each)))
    return found


def _near_pair(c: Cases, n: int) -> tuple[Value, Value]:
    a = c.f32(n)
    raw = c.inputs[f"x{len(c.inputs) - 1}"].view(torch.int32).tolist()
    return a, c.f32(n, like=[x & 0xFFFFFFFF for x in raw])


def _selected(dtype: DType) -> Callable[[Cases, int], Value]:
    return lambda c, n: c.b.node("select", (c.bool(n), c.any(dtype, n), c.any(dtype, n)))


def _cast(dtype: DType, to: int) -> Callable[[Cases, int], Value]:
    return lambda c, n: c.b.node("cast", (c.any(dtype, n),), to=to)


def _exponents(c: Cases, n: int) -> Value:
    return c.i64(n, low=-130, high=131)


def _quantised(bits: int) -> Callable[[Cases, int], Value]:
    def make(c: Cases, n: int) -> Value:
        x = c.f32(n)
        if c.rng.random() < 0.5:
            return c.b.node("quantise", (x, _exponents(c, n)), bits=bits)
        e = c.b.node("exponent", (c.b.node("reshape", (x,), shape=(n, 1)),), axes=(1,))
        moved = c.b.node("add", (c.b.node("reshape", (e,), shape=(n,)), c.i64(n, low=-2, high=2)))
        return c.b.node("quantise", (x, moved), bits=bits)

    return make


def _rescaled(shift: int, two: bool) -> Callable[[Cases, int], Value]:
    def make(c: Cases, n: int) -> Value:
        d = c.b.node("mul", (_quantised(27)(c, n), _quantised(28)(c, n)))
        es = [_exponents(c, n) for _ in range(2 if two else 1)]
        return c.b.node("rescale", (d, *es), shift=shift)

    return make


# ---- everything that maps indices or reduces -----------------------------------------------------


def _const(c: Cases) -> Value:
    shape, dtype = c.shape(0), c.rng.choice(DTYPES)
    count = _count(shape)
    data = c.rng.randbytes({"f32": 4, "i64": 8, "bool": 1}[dtype] * count)
    if dtype == "bool":
        data = bytes(byte & 1 for byte in data)
    return c.b.const(data, dtype, shape)


def _full(c: Cases) -> Value:
    dtype = c.rng.choice(DTYPES)
    held = {"f32": c.rng.choice((NAN, 0xFFC00001, f32_bits(c.rng))), "i64": i64(c.rng), "bool": 1}
    code = DTYPES.index(dtype)
    return c.b.node("full", (), dtype=code, shape=c.shape(0), value=held[dtype])


def _iota(c: Cases) -> Value:
    shape = c.shape()
    return c.b.node("iota", (), axis=c.rng.randrange(len(shape)), shape=shape)


def _uniform(c: Cases) -> Value:
    return c.b.node("uniform", (c.i64(),), shape=c.shape(), stream=c.rng.getrandbits(32))


def _reshape(c: Cases) -> Value:
    shape = c.shape(1)
    flat = (_count(shape),)
    return c.b.node(
        "reshape", (c.one(*shape),), shape=c.rng.choice((flat, (*shape, 1), shape[::-1]))
    )


def _permute(c: Cases) -> Value:
    shape = c.shape(1)
    return c.b.node(
        "permute", (c.one(*shape),), axes=tuple(c.rng.sample(range(len(shape)), len(shape)))
    )


def _expand(c: Cases) -> Value:
    shape = c.shape(1)
    ones = tuple(1 if c.rng.random() < 0.5 else size for size in shape)
    return c.b.node("expand", (c.one(*ones),), shape=shape)


def _slice(c: Cases) -> Value:
    shape = c.shape(1)
    starts = tuple(c.rng.randrange(size) for size in shape)
    limits = tuple(c.rng.randint(a + 1, size) for a, size in zip(starts, shape, strict=True))
    strides = tuple(c.rng.randint(1, 3) for _ in shape)
    return c.b.node("slice", (c.one(*shape),), limits=limits, starts=starts, strides=strides)


def _window(c: Cases) -> Value:
    shape = c.shape(1, 3)
    axis = c.rng.randrange(len(shape))
    dilation = c.rng.randint(1, 2)
    size = c.rng.randint(1, min((shape[axis] - 1) // dilation + 1, 5))
    stride = c.rng.randint(1, 3)
    x = c.one(*shape)
    return c.b.node("window", (x,), axis=axis, dilation=dilation, size=size, stride=stride)


def _concat(c: Cases) -> Value:
    shape, dtype = c.shape(1, 3, last=300), c.rng.choice(DTYPES)
    axis = c.rng.randrange(len(shape))
    parts = []
    for _ in range(c.rng.randint(1, 6)):
        size = c.rng.randint(1, 5)
        parts.append(c.any(dtype, *shape[:axis], size, *shape[axis + 1 :]))
    return c.b.node("concat", [c.rng.choice(parts) for _ in range(len(parts))], axis=axis)


def _pad(c: Cases) -> Value:
    shape, dtype = c.shape(1, 3), c.rng.choice(DTYPES)
    interior = tuple(c.rng.choice((0, 0, 1, 2)) for _ in shape)
    spans = [n + (n - 1) * gap for n, gap in zip(shape, interior, strict=True)]
    low = tuple(c.rng.randint(-min(2, span - 1), 2) for span in spans)
    high = tuple(
        c.rng.randint(max(-2, 1 - span - a), 2) for span, a in zip(spans, low, strict=True)
    )
    value = {"f32": c.rng.choice(F32_SPECIAL), "i64": i64(c.rng), "bool": 1}[dtype]
    x = c.any(dtype, *shape)
    return c.b.node("pad", (x,), high=high, interior=interior, low=low, value=value)


def _take(c: Cases) -> Value:
    shape = c.shape(1, 3)
    index = c.i64(*c.shape(0, 2, last=520), low=-1, high=shape[0])
    if c.rng.random() < 0.2:
        index = c.i64(3)
    return c.b.node("take", (c.one(*shape), index))


def _sum(c: Cases) -> Value:
    shape = c.shape()
    return c.b.node("sum", (c.i64(*shape),), axes=c.axes(len(shape)))


def _cumsum(c: Cases) -> Value:
    shape = c.shape()
    return c.b.node("cumsum", (c.i64(*shape),), axis=c.rng.randrange(len(shape)))


def _amax(c: Cases) -> Value:
    shape = c.shape()
    x = c.f32(*shape) if c.rng.random() < 0.5 else c.ties(*shape)
    return c.b.node("amax", (x,), axes=c.axes(len(shape)))


def _exponent(c: Cases) -> Value:
    shape = c.shape()
    x = c.f32(*shape) if c.rng.random() < 0.3 else c.ties(*shape)
    return c.b.node("exponent", (x,), axes=c.axes(len(shape)))


def _argmax(c: Cases) -> Value:
    shape = c.shape()
    x = c.f32(*shape) if c.rng.random() < 0.5 else c.ties(*shape)
    return c.b.node("argmax", (x,), axis=c.rng.randrange(len(shape)))


def _topk(c: Cases) -> Value:
    shape = c.shape()
    x = c.f32(*shape) if c.rng.random() < 0.5 else c.ties(*shape)
    return c.b.node("topk", (x,), k=c.rng.randint(1, min(shape[-1], 9)))


def _dot(c: Cases) -> Value:
    *batch, terms = c.shape(1, 3)
    rows, columns = c.rng.randint(1, 3), c.rng.randint(1, 3)
    a = c.small(*batch, rows, terms, bits=c.rng.choice((2, 8, 20)))
    if rows == columns and c.rng.random() < 0.3:
        return c.b.node("dot", (a, a))
    return c.b.node("dot", (a, c.small(*batch, columns, terms, bits=c.rng.choice((2, 8, 20)))))


def _scatter_add(c: Cases) -> Value:
    size, flat = c.rng.randint(1, 5), c.rng.random() < 0.5
    rows = c.rng.choice((1, 7, 513, 600) if flat else (1, 3, 7, 30))
    index = c.i64(rows, low=-1, high=size)
    shape = (rows,) if flat else (rows, *c.shape(1, 2, last=520))
    v = c.i64(*shape)
    if len(shape) == 1 and c.rng.random() < 0.2:
        v = index
    return c.b.node("scatter_add", (index, v), size=size)


STRUCTURED: dict[str, Callable[[Cases], Value]] = {
    "const": _const, "full": _full, "iota": _iota, "uniform": _uniform, "reshape": _reshape,
    "permute": _permute, "expand": _expand, "slice": _slice, "window": _window, "concat": _concat,
    "pad": _pad, "take": _take, "sum": _sum, "cumsum": _cumsum, "amax": _amax, "dot": _dot,
    "exponent": _exponent, "argmax": _argmax, "topk": _topk, "scatter_add": _scatter_add,
}  # fmt: skip
ELEMENTWISE = sorted(
    {*REAL_1, *REAL_2, *WHOLE_2, *TRUTH_2, "not", "select", "cast", "quantise", "rescale"}
)


def structured(op: str, rng: random.Random) -> Case:
    """Return one random case of an op that maps indices or reduces."""
    cases = Cases(rng)
    return cases.done(STRUCTURED[op](cases))
