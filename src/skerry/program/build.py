"""The Builder: how Programs are written, one op call at a time.

What    Each method adds one node, or returns the equal node that is already there. `matmul`,
        `sum_f32` and `mean_f32` spell out the exact composites: exponent, quantise, integer dot or
        sum, rescale.
Why     Every scale and every integer of an exact product is a node of its own, so a wrong scale is
        as provable as a wrong product (docs/decisions/0003).
Pure    The Builder is the one mutable thing of this room; what it builds is frozen and checked.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.program.check import check
from skerry.program.compose import prune
from skerry.program.graph import (
    BOOL,
    DTYPES,
    F32,
    I64,
    Attr,
    Attrs,
    DType,
    InputRole,
    InvalidProgram,
    Node,
    Output,
    OutputRole,
    Port,
    Program,
    TensorType,
)
from skerry.program.ops import OPS
from skerry.program.profiles import WIDE, Profile

if TYPE_CHECKING:
    from skerry.program.graph import Layout


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a Program under construction."""

    id: int
    type: TensorType

    @property
    def shape(self) -> tuple[int, ...]:
        """The static shape."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.type.dtype


def f32_bits(number: float) -> int:
    """Return the bits of `number` rounded to f32; an overflow becomes the infinity."""
    try:
        packed = struct.pack("<f", number)
    except OverflowError:
        packed = struct.pack("<f", float("inf") if number > 0 else float("-inf"))
    return int.from_bytes(packed, "little")


class Builder:
    """Builds one Program."""

    def __init__(self, name: str, profile: Profile = WIDE, *, shards: int = 1) -> None:
        self.name = name
        self.profile = profile
        self.shards = shards
        self._ports: list[Port] = []
        self._nodes: list[Node] = []
        self._outputs: list[Output] = []
        self._known: dict[tuple[str, tuple[int, ...], Attrs], Value] = {}

    # -- ports, outputs, the finished Program

    def input(self, name: str, role: InputRole, dtype: DType, shape: Sequence[int] = ()) -> Value:
        """Declare a port and return its value."""
        port = Port(name, role, TensorType(dtype, tuple(shape)))
        self._ports.append(port)
        return self._add("input", (), (("port", len(self._ports) - 1),), port.type)

    def output(self, name: str, value: Value, role: OutputRole = "value") -> None:
        """Declare an output."""
        self._outputs.append(Output(name, role, value.id))

    def build(self) -> Program:
        """Return the finished Program, pruned and checked."""
        program = prune(
            Program(
                name=self.name,
                inputs=tuple(self._ports),
                nodes=tuple(self._nodes),
                outputs=tuple(self._outputs),
                shards=self.shards,
            )
        )
        check(program)
        return program

    def node(self, op: str, reads: Sequence[Value], /, **attrs: Attr) -> Value:
        """Add a node of any op of the table, or return the equal one."""
        spec = OPS[op]
        pairs = tuple((name, attrs[name]) for name in spec.attrs)
        if not spec.inputs_min <= len(reads) <= spec.inputs_max:
            raise InvalidProgram(f"{op} takes no {len(reads)} operands")
        result = spec.rule([value.type for value in reads], attrs)
        return self._add(op, tuple(value.id for value in reads), pairs, result)

    def _add(self, op: str, reads: tuple[int, ...], attrs: Attrs, result: TensorType) -> Value:
        key = (op, reads, attrs)
        if key not in self._known:
            self._nodes.append(Node(op, reads, attrs, result))
            self._known[key] = Value(len(self._nodes) - 1, result)
        return self._known[key]

    # -- literals

    def full(
        self, number: float | int | bool, shape: Sequence[int] = (), dtype: DType = F32
    ) -> Value:
        """Return one number everywhere; an f32 is rounded from `number`."""
        value = f32_bits(float(number)) if dtype == F32 else int(number)
        return self.node("full", (), dtype=DTYPES.index(dtype), shape=tuple(shape), value=value)

    def like(self, other: Value, number: float | int | bool) -> Value:
        """Return one number in the type of `other`."""
        return self.full(number, other.shape, other.dtype)

    def const(self, data: bytes, dtype: DType, shape: Sequence[int]) -> Value:
        """Return literal elements from their canonical bytes."""
        return self.node("const", (), data=data, dtype=DTYPES.index(dtype), shape=tuple(shape))

    def iota(self, shape: Sequence[int], axis: int) -> Value:
        """Return the index along `axis`."""
        return self.node("iota", (), axis=axis, shape=tuple(shape))

    def uniform(self, seed: Value, stream: int, shape: Sequence[int]) -> Value:
        """Return f32 draws in [0, 1)."""
        return self.node("uniform", (seed,), shape=tuple(shape), stream=stream)

    # -- views and moves

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Return the same elements in another shape."""
        return x if tuple(shape) == x.shape else self.node("reshape", (x,), shape=tuple(shape))

    def permute(self, x: Value, axes: Sequence[int]) -> Value:
        """Return x with its axes in the order `axes`."""
        if tuple(axes) == tuple(range(len(x.shape))):
            return x
        return self.node("permute", (x,), axes=tuple(axes))

    def expand(self, x: Value, shape: Sequence[int]) -> Value:
        """Return x with axes of size 1 repeated, and new leading axes where the rank grows."""
        if tuple(shape) == x.shape:
            return x
        aligned = (1,) * (len(shape) - len(x.shape)) + x.shape
        return self.node("expand", (self.reshape(x, aligned),), shape=tuple(shape))

    def slice(
        self, x: Value, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int] = ()
    ) -> Value:
        """Return every stride-th element from starts to limits."""
        strides = tuple(strides) or (1,) * len(x.shape)
        if tuple(limits) == x.shape and not any(starts) and set(strides) <= {1}:
            return x
        return self.node("slice", (x,), starts=tuple(starts), limits=tuple(limits), strides=strides)

    def slice_axis(self, x: Value, axis: int, start: int, limit: int, stride: int = 1) -> Value:
        """Return x cut along one axis."""
        starts, limits, strides = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
        starts[axis], limits[axis], strides[axis] = start, limit, stride
        return self.slice(x, starts, limits, strides)

    def window(self, x: Value, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Value:
        """Return the windows along `axis`, their inside on a new last axis."""
        return self.node("window", (x,), axis=axis, size=size, stride=stride, dilation=dilation)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Return the values end to end."""
        return values[0] if len(values) == 1 else self.node("concat", values, axis=axis)

    def pad(
        self,
        x: Value,
        low: Sequence[int],
        high: Sequence[int],
        interior: Sequence[int] = (),
        number: float | int = 0,
    ) -> Value:
        """Return x with elements added at the ends of its axes and between neighbours."""
        interior = tuple(interior) or (0,) * len(x.shape)
        if not any((*low, *high, *interior)):
            return x
        value = f32_bits(float(number)) if x.dtype == F32 else int(number)
        return self.node(
            "pad", (x,), low=tuple(low), high=tuple(high), interior=interior, value=value
        )

    def take(self, x: Value, index: Value) -> Value:
        """Return rows of x."""
        return self.node("take", (x, index))

    def cast(self, x: Value, dtype: DType) -> Value:
        """Return x in another element type."""
        return x if x.dtype == dtype else self.node("cast", (x,), to=DTYPES.index(dtype))

    # -- elementwise, with scalars and size-1 axes expanded

    def each(self, op: str, *operands: Value | float | int) -> Value:
        """Apply an elementwise op; numbers and smaller shapes are expanded as numpy does."""
        typed = [x for x in operands if isinstance(x, Value)]
        dtype = typed[-1].dtype
        shape = broadcast([x.shape for x in typed])
        return self.node(
            op,
            [
                self.expand(x, shape) if isinstance(x, Value) else self.full(x, shape, dtype)
                for x in operands
            ],
        )

    def add(self, a: Value | float, b: Value | float) -> Value:
        """Return a + b."""
        return self.each("add", a, b)

    def sub(self, a: Value | float, b: Value | float) -> Value:
        """Return a - b."""
        return self.each("sub", a, b)

    def mul(self, a: Value | float, b: Value | float) -> Value:
        """Return a * b."""
        return self.each("mul", a, b)

    def div(self, a: Value | float, b: Value | float) -> Value:
        """Return a / b."""
        return self.each("div", a, b)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """Return a where the condition holds, else b."""
        shape = broadcast([condition.shape, a.shape, b.shape])
        return self.node("select", [self.expand(value, shape) for value in (condition, a, b)])

    # -- reductions and exact composites

    def reduce(self, op: str, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Apply "sum" (i64) or "amax" (f32) over `axes`, kept as size 1 if `keep`."""
        axes = tuple(sorted(axes))
        value = self.node(op, (x,), axes=axes) if axes else x
        return self._kept(value, x, axes) if keep else value

    def _kept(self, value: Value, x: Value, axes: Sequence[int]) -> Value:
        return self.reshape(value, [1 if at in axes else n for at, n in enumerate(x.shape)])

    def exponent(self, x: Value, axes: Sequence[int]) -> Value:
        """Return the exponents over `axes`, which stay as size 1."""
        return self.node("exponent", (x,), axes=tuple(sorted(axes)))

    def quantise(self, x: Value, e: Value, bits: int) -> Value:
        """Return x rounded to integers of `bits` bits under the exponents e, which are expanded."""
        return self.node("quantise", (x, self.expand(e, x.shape)), bits=bits)

    def rescale(self, d: Value, *exponents: Value, shift: int) -> Value:
        """Return d * 2^(sum of exponents - shift) as f32; the exponents are expanded."""
        reads = [d, *(self.expand(e, d.shape) for e in exponents)]
        return self.node("rescale", reads, shift=shift)

    def sum_f32(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Return the sum over `axes`: terms rounded to one grid an output, added as integers."""
        axes = tuple(sorted(axes))
        if not axes:
            return x
        terms = x.type.elements // max(1, _elements_without(x.shape, axes))
        bits = self.profile.sum_bits(terms)
        e = self.exponent(x, axes)
        total = self.node("sum", (self.quantise(x, e, bits),), axes=axes)
        result = self.rescale(total, self.reshape(e, total.shape), shift=bits - 1)
        return self._kept(result, x, axes) if keep else result

    def mean_f32(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Return the sum over `axes` divided by the number of terms."""
        terms = x.type.elements // max(1, _elements_without(x.shape, tuple(axes)))
        return self.div(self.sum_f32(x, axes, keep=keep), float(terms))

    def scatter_sum(self, index: Value, v: Value, size: int) -> Value:
        """Return f32 [size, ...]: row n is the sum of the rows of v whose index is n."""
        bits = self.profile.sum_bits(index.type.elements)
        e = self.exponent(v, range(len(v.shape)))
        total = self.node("scatter_add", (index, self.quantise(v, e, bits)), size=size)
        return self.rescale(total, self.reshape(e, (1,) * len(total.shape)), shift=bits - 1)

    def matmul(self, a: Value, b: Value) -> Value:
        """Return a[.., M, K] times b[.., N, K] over K: the second operand comes transposed."""
        bits = self.profile.matmul_bits(a.shape[-1])
        last = (len(a.shape) - 1,)
        ea, eb = self.exponent(a, last), self.exponent(b, last)
        product = self.node("dot", (self.quantise(a, ea, bits), self.quantise(b, eb, bits)))
        turned = self.permute(eb, (*range(len(eb.shape) - 2), len(eb.shape) - 1, len(eb.shape) - 2))
        return self.rescale(product, ea, turned, shift=2 * (bits - 1))

    # -- flat state

    def unpack(self, flat: Value, layout: Layout) -> dict[str, Value]:
        """Return the named tensors that lie in a flat vector, as views."""
        return {
            slot.name: self.reshape(
                self.slice(flat, (slot.offset,), (slot.offset + slot.elements,)), slot.shape
            )
            for slot in layout.slots
        }

    def pack(self, tensors: Mapping[str, Value], layout: Layout) -> Value:
        """Return the flat vector that holds the named tensors."""
        flat = [self.reshape(tensors[slot.name], (slot.elements,)) for slot in layout.slots]
        return self.concat(flat, 0)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape that all `shapes` expand to, by numpy's rule."""
    rank = max(len(shape) for shape in shapes)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = tuple(max(sizes) for sizes in zip(*aligned, strict=True))
    for shape in aligned:
        if any(size not in (1, most) for size, most in zip(shape, result, strict=True)):
            raise InvalidProgram(f"shapes {list(shapes)} do not broadcast")
    return result


def _elements_without(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    count = 1
    for at, size in enumerate(shape):
        count *= 1 if at in axes else size
    return count


__all__ = ["BOOL", "F32", "I64", "Builder", "Value", "broadcast", "f32_bits"]
