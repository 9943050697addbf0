"""Random valid Programs from every op, and inputs full of special values.

`random_program(rng)` grows a Program node by node; a rng of hypothesis makes it shrink, a plain
`random.Random(seed)` makes it a case that a benchmark can count.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from skerry.program import OPS, Builder, DType, InvalidProgram, Node, Program, Value
from skerry.program.bounds import CARRIER_MAX, node_bound
from skerry.program.graph import DTYPES, Attr, InputRole

ELEMENTS_MAX = 160
SIZES = (1, 1, 2, 3, 4, 5)
F32_SPECIAL = (
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x00000001,
    0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F000000, 0xC0200000, 0x40200000,
    0x4B000001, 0x5F000000, 0xDF000000, 0x49742400, 0x4E6E6B28, 0x33800000, 0x3EAAAAAB, 0x0DA24260,
)  # fmt: skip
I64_SPECIAL = (
    0, 1, -1, 2, 3, -7, 1 << 31, 1 << 53, (1 << 53) + 1, -(1 << 62), (1 << 63) - 1, -(1 << 63),
    16777217, -125, 128, 129, -126,
)  # fmt: skip


class Growth:
    """A Program under random construction, with the integer bound of each value so far."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.builder = Builder("random")
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.bounds: list[int | None] = []
        self.read: set[int] = set()

    def port(self, dtype: DType, shape: tuple[int, ...]) -> Value:
        name = f"x{len(self.nodes)}"
        roles: tuple[InputRole, ...] = ("data", "given", "chance")
        value = self.builder.input(name, self.rng.choice(roles), dtype, shape)
        self._record(value, Node("input", (), (), value.type))
        return value

    def add(self, op: str, *reads: Value, **attrs: Attr) -> Value:
        value = self.builder.node(op, reads, **attrs)
        if value.id == len(self.nodes):
            pairs = tuple((name, attrs[name]) for name in OPS[op].attrs)
            self._record(value, Node(op, tuple(x.id for x in reads), pairs, value.type))
        self.read.update(x.id for x in reads)
        return value

    def _record(self, value: Value, node: Node) -> None:
        self.nodes.append(node)
        self.values.append(value)
        self.bounds.append(node_bound(node, self.bounds, tuple(self.nodes)))

    def pick(self, *dtypes: DType, rank_min: int = 0) -> Value:
        """Return an earlier value, or a new port when none fits."""
        fits = [x for x in self.values if x.dtype in dtypes and len(x.shape) >= rank_min]
        if fits and self.rng.random() < 0.9:
            return self.rng.choice(fits)
        return self.port(self.rng.choice(dtypes), self.shape(rank_min))

    def like(self, other: Value, dtype: DType) -> Value:
        """Return a value of that dtype in the shape of `other`."""
        fits = [x for x in self.values if x.dtype == dtype and x.shape == other.shape]
        return self.rng.choice(fits) if fits else self.port(dtype, other.shape)

    def bounded(self, value: Value) -> int | None:
        return self.bounds[value.id]

    def shape(self, rank_min: int = 0, rank_max: int = 3) -> tuple[int, ...]:
        rank = self.rng.randint(rank_min, max(rank_min, rank_max))
        return tuple(self.rng.choice(SIZES) for _ in range(rank))

    def axes(self, rank: int) -> tuple[int, ...]:
        return tuple(sorted(self.rng.sample(range(rank), self.rng.randint(1, rank))))

    def finish(self) -> Program:
        """Return the Program; every value that nobody reads is an output."""
        for value in self.values:
            if value.id not in self.read or self.rng.random() < 0.05:
                self.builder.output(f"o{value.id}", value)
        return self.builder.build()


Grow = Callable[[Growth], Value]


def _full(g: Growth) -> Value:
    dtype = g.rng.choice(DTYPES)
    value = {"f32": g.rng.choice(F32_SPECIAL), "i64": g.rng.choice(I64_SPECIAL), "bool": 1}[dtype]
    return g.add("full", dtype=DTYPES.index(dtype), shape=g.shape(), value=value)


def _const(g: Growth) -> Value:
    dtype, shape = g.rng.choice(DTYPES), g.shape()
    count = torch.Size(shape).numel()
    if dtype == "f32":
        data = b"".join(struct.pack("<I", g.rng.choice(F32_SPECIAL)) for _ in range(count))
    elif dtype == "i64":
        data = b"".join(struct.pack("<q", g.rng.choice(I64_SPECIAL)) for _ in range(count))
    else:
        data = bytes(g.rng.choice((0, 1)) for _ in range(count))
    return g.add("const", data=data, dtype=DTYPES.index(dtype), shape=shape)


def _iota(g: Growth) -> Value:
    shape = g.shape(rank_min=1)
    return g.add("iota", axis=g.rng.randrange(len(shape)), shape=shape)


def _uniform(g: Growth) -> Value:
    seeds = [x for x in g.values if x.dtype == "i64" and x.shape == ()]
    seed = g.rng.choice(seeds) if seeds else g.port("i64", ())
    return g.add("uniform", seed, shape=g.shape(), stream=g.rng.choice((0, 1, (1 << 32) - 1)))


def _reshape(g: Growth) -> Value:
    x = g.pick(*DTYPES)
    left, shape = x.type.elements, []
    while left > 1:
        size = g.rng.choice([n for n in range(2, left + 1) if left % n == 0])
        shape.append(size)
        left //= size
    if g.rng.random() < 0.3:
        shape.insert(g.rng.randint(0, len(shape)), 1)
    return g.add("reshape", x, shape=tuple(shape))


def _permute(g: Growth) -> Value:
    x = g.pick(*DTYPES, rank_min=2)
    axes = list(range(len(x.shape)))
    g.rng.shuffle(axes)
    return g.add("permute", x, axes=tuple(axes))


def _expand(g: Growth) -> Value:
    x = g.pick(*DTYPES, rank_min=1)
    return g.add(
        "expand", x, shape=tuple(g.rng.choice((1, 2, 3)) if n == 1 else n for n in x.shape)
    )


def _slice(g: Growth) -> Value:
    x = g.pick(*DTYPES, rank_min=1)
    starts = tuple(g.rng.randrange(n) for n in x.shape)
    limits = tuple(g.rng.randint(a + 1, n) for a, n in zip(starts, x.shape, strict=True))
    strides = tuple(g.rng.choice((1, 1, 2, 3)) for _ in x.shape)
    return g.add("slice", x, limits=limits, starts=starts, strides=strides)


def _window(g: Growth) -> Value:
    x = g.pick(*DTYPES, rank_min=1)
    axis = g.rng.randrange(len(x.shape))
    dilation = g.rng.choice((1, 1, 2))
    size = g.rng.randint(1, (x.shape[axis] - 1) // dilation + 1)
    return g.add("window", x, axis=axis, dilation=dilation, size=size, stride=g.rng.choice((1, 2)))


def _concat(g: Growth) -> Value:
    x = g.pick(*DTYPES, rank_min=1)
    axis = g.rng.randrange(len(x.shape))
    more = [
        y for y in g.values
        if y.dtype == x.dtype and len(y.shape) == len(x.shape)
        and y.shape[:axis] + y.shape[axis + 1:] == x.shape[:axis] + x.shape[axis + 1:]
    ]  # fmt: skip
    reads = [x, *(g.rng.choice(more) for _ in range(g.rng.randint(0, 2)))]
    return g.add("concat", *reads, axis=axis)


def _pad(g: Growth) -> Value:
    x = g.pick(*DTYPES, rank_min=1)
    interior = tuple(g.rng.choice((0, 0, 1, 2)) for _ in x.shape)
    spans = [n + (n - 1) * gap for n, gap in zip(x.shape, interior, strict=True)]
    low = tuple(g.rng.randint(-min(2, span - 1), 2) for span in spans)
    high = tuple(
        g.rng.randint(max(-2, 1 - span - a), 2) for span, a in zip(spans, low, strict=True)
    )
    value = {"f32": g.rng.choice(F32_SPECIAL), "i64": g.rng.choice((0, 5, -3)), "bool": 1}[x.dtype]
    return g.add("pad", x, high=high, interior=interior, low=low, value=value)


def _take(g: Growth) -> Value:
    return g.add("take", g.pick(*DTYPES, rank_min=1), g.pick("i64"))


def _cumsum(g: Growth) -> Value:
    x = g.pick("i64", rank_min=1)
    return g.add("cumsum", x, axis=g.rng.randrange(len(x.shape)))


def _each(op: str, arity: int, *dtypes: DType) -> Grow:
    def grow(g: Growth) -> Value:
        x = g.pick(*dtypes)
        return g.add(op, x, *(g.like(x, x.dtype) for _ in range(arity - 1)))

    return grow


def _select(g: Growth) -> Value:
    x = g.pick(*DTYPES)
    return g.add("select", g.like(x, "bool"), x, g.like(x, x.dtype))


def _cast(g: Growth) -> Value:
    return g.add("cast", g.pick(*DTYPES), to=g.rng.randrange(3))


def _exponent(g: Growth) -> Value:
    x = g.pick("f32", rank_min=1)
    return g.add("exponent", x, axes=g.axes(len(x.shape)))


def quantised(g: Growth, x: Value, bits: int, *, over_last: bool = False) -> tuple[Value, Value]:
    """Return the integers of x and their exponents, of size 1 on the reduced axes."""
    axes = (len(x.shape) - 1,) if over_last else g.axes(len(x.shape))
    e = g.add("exponent", x, axes=axes)
    return g.add("quantise", x, g.add("expand", e, shape=x.shape), bits=bits), e


def _quantise(g: Growth) -> Value:
    x = g.pick("f32", rank_min=1)
    if g.rng.random() < 0.3:
        return g.add("quantise", x, g.like(x, "i64"), bits=g.rng.choice((2, 8, 24, 41)))
    return quantised(g, x, g.rng.choice((2, 8, 12, 23, 24, 31, 41)))[0]


def _rescale(g: Growth) -> Value:
    def fits(x: Value) -> bool:
        bound = g.bounded(x)
        return x.dtype == "i64" and bound is not None and bound <= CARRIER_MAX

    choices = [x for x in g.values if fits(x)]
    if not choices:
        return _quantise(g)
    d = g.rng.choice(choices)
    es = [g.like(d, "i64") for _ in range(g.rng.choice((1, 2)))]
    return g.add("rescale", d, *es, shift=g.rng.randint(0, 82))


def _sum(g: Growth) -> Value:
    x = g.pick("i64", rank_min=1)
    return g.add("sum", x, axes=g.axes(len(x.shape)))


def _sum_chain(g: Growth) -> Value:
    x = g.pick("f32", rank_min=1)
    bits = g.rng.choice((8, 24, 31))
    q, e = quantised(g, x, bits, over_last=True)
    total = g.add("sum", q, axes=(len(x.shape) - 1,))
    return g.add("rescale", total, g.add("reshape", e, shape=total.shape), shift=bits - 1)


def _scatter_add(g: Growth) -> Value:
    v = g.pick("i64", rank_min=1)
    if g.rng.random() < 0.5:
        v = quantised(g, g.pick("f32", rank_min=1), 24)[0]
    index = [x for x in g.values if x.dtype == "i64" and x.shape == v.shape[:1]]
    chosen = g.rng.choice(index) if index else g.port("i64", v.shape[:1])
    return g.add("scatter_add", chosen, v, size=g.rng.randint(1, 6))


def _amax(g: Growth) -> Value:
    x = g.pick("f32", rank_min=1)
    return g.add("amax", x, axes=g.axes(len(x.shape)))


def _argmax(g: Growth) -> Value:
    x = g.pick("f32", rank_min=1)
    return g.add("argmax", x, axis=g.rng.randrange(len(x.shape)))


def _topk(g: Growth) -> Value:
    x = g.pick("f32", rank_min=1)
    return g.add("topk", x, k=g.rng.randint(1, x.shape[-1]))


def _dot(g: Growth) -> Value:
    a = g.pick("f32", rank_min=2)
    rows = g.rng.choice(SIZES)
    b = g.port("f32", (*a.shape[:-2], rows, a.shape[-1]))
    bits = g.rng.choice((7, 12, 16, 24))
    (qa, ea), (qb, eb) = (quantised(g, x, bits, over_last=True) for x in (a, b))
    d = g.add("dot", qa, qb)
    rank = len(d.shape)
    turned = g.add("permute", eb, axes=(*range(rank - 2), rank - 1, rank - 2))
    es = [g.add("expand", e, shape=d.shape) for e in (ea, turned)]
    return g.add("rescale", d, *es, shift=2 * (bits - 1))


def _dot_plain(g: Growth) -> Value:
    def fits(x: Value) -> bool:
        bound = g.bounded(x)
        small = bound is not None and bound <= 1 << 23
        return x.dtype == "i64" and len(x.shape) >= 2 and small and x.shape[-1] <= 64

    choices = [x for x in g.values if fits(x)]
    if not choices:
        return _dot(g)
    a = g.rng.choice(choices)
    pairs = [b for b in choices if b.shape[:-2] == a.shape[:-2] and b.shape[-1] == a.shape[-1]]
    return g.add("dot", a, g.rng.choice(pairs))


GROW: dict[str, Grow] = {
    "full": _full, "const": _const, "iota": _iota, "uniform": _uniform, "reshape": _reshape,
    "permute": _permute, "expand": _expand, "slice": _slice, "window": _window, "concat": _concat,
    "pad": _pad, "take": _take, "cumsum": _cumsum, "select": _select, "cast": _cast,
    "exponent": _exponent, "quantise": _quantise, "rescale": _rescale, "sum": _sum,
    "sum_chain": _sum_chain, "scatter_add": _scatter_add, "amax": _amax, "argmax": _argmax,
    "topk": _topk, "dot": _dot, "dot_plain": _dot_plain,
    **{op: _each(op, 2, "f32", "i64") for op in ("add", "sub", "mul", "max", "min", "lt", "le")},
    **{op: _each(op, 1, "f32", "i64") for op in ("neg", "abs")},
    **{op: _each(op, 2, "i64") for op in ("floordiv", "rem")},
    **{op: _each(op, 2, "bool") for op in ("and", "or")},
    **{op: _each(op, 1, "f32") for op in ("sqrt", "exp", "log", "tanh", "erf", "sin", "cos")},
    "div": _each("div", 2, "f32"), "eq": _each("eq", 2, *DTYPES), "not": _each("not", 1, "bool"),
}  # fmt: skip


def random_program(rng: random.Random, nodes: int = 12) -> Program:
    """Return a random valid Program of about `nodes` nodes."""
    g = Growth(rng)
    g.port("f32", (3, 4))
    ops = list(GROW)
    while len(g.nodes) < nodes:
        before = len(g.nodes)
        try:
            value = GROW[rng.choice(ops)](g)
        except InvalidProgram:  # too high a rank or too large a value
            continue
        if value.type.elements > ELEMENTS_MAX and len(g.nodes) > before:
            g.values.pop()  # kept as a node, never grown upon
            g.read.discard(value.id)
    return g.finish()


def random_f32_bits(rng: random.Random) -> int:
    """Return an f32: special, of any bits, or of ordinary size."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(F32_SPECIAL)
    if kind < 0.25:
        return rng.getrandbits(32)
    return int(struct.unpack("<I", struct.pack("<f", rng.gauss(0.0, 3.0)))[0])


def random_i64(rng: random.Random) -> int:
    """Return an i64: special, small, or of any bits."""
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(I64_SPECIAL)
    return rng.randint(-4, 8) if kind < 0.8 else rng.getrandbits(64) - (1 << 63)


def random_inputs(program: Program, rng: random.Random) -> dict[str, Tensor]:
    """Return inputs for `program`; about half of the f32 ports hold only ordinary numbers."""
    inputs: dict[str, Tensor] = {}
    for port in program.inputs:
        count = port.type.elements
        if port.type.dtype == "bool":
            held = torch.tensor([rng.random() < 0.5 for _ in range(count)])
        elif port.type.dtype == "i64":
            held = torch.tensor([random_i64(rng) for _ in range(count)], dtype=torch.int64)
        elif rng.random() < 0.5:
            held = torch.tensor([rng.gauss(0.0, 2.0) for _ in range(count)], dtype=torch.float32)
        else:
            bits = [random_f32_bits(rng) for _ in range(count)]
            signed = [x - (1 << 32) if x >> 31 else x for x in bits]
            held = torch.tensor(signed, dtype=torch.int32).view(torch.float32)
        inputs[port.name] = held.reshape(port.type.shape)
    return inputs


@st.composite
def cases(draw: st.DrawFn, nodes_max: int = 24) -> tuple[Program, dict[str, Tensor]]:
    """Draw a random Program and inputs for it."""
    rng = draw(st.randoms(use_true_random=False))
    program = random_program(rng, draw(st.integers(1, nodes_max)))
    seed = draw(st.integers(0, (1 << 32) - 1))
    return program, random_inputs(program, random.Random(seed))
