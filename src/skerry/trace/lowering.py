"""The desk on which an ATen graph becomes a Program.

What    A `Lowering` holds the Builder, the type that the ATen node at hand must have, the streams
        of chance handed out so far, and views that fold into one another. Each `lower_*` module is
        a table from ATen names to functions `(desk, *args, **kwargs) -> Value | tuple`.
Why     Lowering functions stay formulas: what PyTorch promotes, broadcasts and wraps is done here.
Never   runs a tensor; it only reads the bytes of constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import torch

from skerry.program import BOOL, F32, I64, Builder, DType, TensorType, Value
from skerry.program.build import broadcast
from skerry.trace.errors import UnsupportedOp

Number: TypeAlias = float | int | bool
Operand: TypeAlias = Value | Number
Result: TypeAlias = Value | tuple[Value | None, ...]
Lower: TypeAlias = Callable[..., Result]
Table: TypeAlias = Mapping[str, Lower]

#: PyTorch's element types and what they become. Every integer is i64: values, not widths, count.
DTYPES: Final[dict[torch.dtype, DType]] = {
    torch.float32: F32,
    torch.int64: I64,
    torch.int32: I64,
    torch.int16: I64,
    torch.int8: I64,
    torch.uint8: I64,
    torch.bool: BOOL,
}
_RANK: Final = {BOOL: 0, I64: 1, F32: 2}
_TO_BYTES: Final = {F32: torch.float32, I64: torch.int64, BOOL: torch.bool}


def dtype_of(dtype: torch.dtype, op: str) -> DType:
    """Return the element type of a Program for one of PyTorch's, or refuse it."""
    found = DTYPES.get(dtype)
    if found is None:
        raise UnsupportedOp(
            op,
            f"it makes a {dtype}, and Programs hold f32, i64 and bool",
            hint="build the model in float32 (model.float()) and without autocast",
        )
    return found


class Lowering:
    """One ATen graph on its way into a Builder."""

    def __init__(self, builder: Builder, seed: Value | None = None) -> None:
        self.builder = builder
        self.seed = seed
        self.op = ""
        #: The types that the ATen node at hand must have; one entry for each of its values.
        self.types: tuple[TensorType, ...] = ()
        #: Rows that are zero but for one element: value id -> (where, the element of each row).
        self.one_hot: dict[int, tuple[Value, Value]] = {}
        #: Integers that are all different along the axis of the rank that made them.
        self.distinct: set[int] = set()
        self._filled: dict[int, Number] = {}
        self._views: dict[int, tuple[str, Value, tuple[int, ...]]] = {}
        self._streams = 0

    # -- what the node at hand is

    @property
    def type(self) -> TensorType:
        """The type that the only value of the ATen node at hand must have."""
        return self.types[0]

    def refuse(self, reason: str, hint: str = "") -> UnsupportedOp:
        """Return the error that refuses the ATen node at hand."""
        return UnsupportedOp(self.op, reason, hint=hint)

    def stream(self) -> tuple[Value, int]:
        """Return the seed and the next stream of chance."""
        if self.seed is None:
            raise self.refuse(
                "it draws at random where nothing may be random",
                "use chance only while training (dropout in train mode), not in evaluation",
            )
        self._streams += 1
        return self.seed, self._streams - 1

    # -- literals

    def full(self, number: Number, shape: Sequence[int], dtype: DType) -> Value:
        """Return one number everywhere, and remember that it is one."""
        value = self.builder.full(number, shape, dtype)
        self._filled[value.id] = number
        return value

    def filled(self, x: Operand) -> Number | None:
        """Return the number that x holds everywhere, or None when that is not known."""
        return self._filled.get(x.id) if isinstance(x, Value) else x

    def constant(self, tensor: torch.Tensor, name: str) -> Value:
        """Return the literal of a tensor that the model holds outside its parameters."""
        dtype = dtype_of(tensor.dtype, name)
        held = tensor.detach().to("cpu", _TO_BYTES[dtype]).contiguous()
        if held.numel() == 1:
            return self.full(held.reshape(()).item(), tuple(held.shape), dtype)
        return self.builder.const(held.numpy().tobytes(), dtype, tuple(held.shape))

    # -- views; a view of a view is one view, and a view of a fill is a fill

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Return the same elements in row-major order under another shape."""
        shape = tuple(shape)
        if x.id in self._filled:
            return self.full(self._filled[x.id], shape, x.dtype)
        kind, source, _ = self._views.get(x.id, ("", x, ()))
        if kind == "reshape":
            x = source
        value = self.builder.reshape(x, shape)
        return self._viewed("reshape", value, x, shape)

    def permute(self, x: Value, axes: Sequence[int]) -> Value:
        """Return x with its axes in the order `axes`."""
        axes = tuple(axis % len(x.shape) for axis in axes) if x.shape else ()
        if x.id in self._filled:
            return self.full(self._filled[x.id], [x.shape[axis] for axis in axes], x.dtype)
        kind, source, before = self._views.get(x.id, ("", x, ()))
        if kind == "permute":
            x, axes = source, tuple(before[axis] for axis in axes)
        value = self.builder.permute(x, axes)
        return self._viewed("permute", value, x, axes)

    def transpose(self, x: Value, first: int = -2, second: int = -1) -> Value:
        """Return x with two axes exchanged."""
        axes = list(range(len(x.shape)))
        axes[first], axes[second] = axes[second], axes[first]
        return self.permute(x, axes)

    def expand(self, x: Value, shape: Sequence[int]) -> Value:
        """Return x repeated along axes of size 1, and along new leading axes."""
        if x.id in self._filled:
            return self.full(self._filled[x.id], shape, x.dtype)
        rank = len(shape)
        if len(x.shape) < rank:
            x = self.reshape(x, (1,) * (rank - len(x.shape)) + x.shape)
        kind, source, _ = self._views.get(x.id, ("", x, ()))
        if kind == "expand" and len(source.shape) == rank:
            x = source
        value = self.builder.expand(x, shape)
        return self._viewed("expand", value, x, tuple(shape))

    def slice_axis(self, x: Value, axis: int, start: int, limit: int, stride: int = 1) -> Value:
        """Return x cut along one axis."""
        if x.id in self._filled:
            shape = list(x.shape)
            shape[axis] = -(-(limit - start) // stride)
            return self.full(self._filled[x.id], shape, x.dtype)
        return self.builder.slice_axis(x, axis, start, limit, stride)

    def _viewed(self, kind: str, value: Value, source: Value, detail: tuple[int, ...]) -> Value:
        if value.id != source.id:
            self._views[value.id] = (kind, source, detail)
        return value

    # -- types

    def cast(self, x: Value, dtype: DType) -> Value:
        """Return x in another element type by PyTorch's rules: f32 to integer truncates."""
        if x.dtype == dtype:
            return x
        number = self.filled(x)
        if number is not None and math.isfinite(number):
            typed = {F32: float, I64: int, BOOL: bool}[dtype](number)
            return self.full(typed, x.shape, dtype)
        if not (x.dtype == F32 and dtype == I64):
            return self.builder.cast(x, dtype)
        b = self.builder
        size = b.node("abs", (x,))
        near = b.cast(size, I64)
        whole = b.sub(near, b.cast(b.each("lt", size, b.cast(near, F32)), I64))
        return b.select(b.each("lt", x, 0.0), b.node("neg", (whole,)), whole)

    def typed(self, x: Operand, dtype: DType) -> Value:
        """Return an operand as a value of that element type; numbers become scalars."""
        if isinstance(x, Value):
            return self.cast(x, dtype)
        return self.full({F32: float, I64: int, BOOL: bool}[dtype](x), (), dtype)

    def promoted(self, *operands: Operand) -> DType:
        """Return the element type in which PyTorch would compute with these operands."""
        ranks = [
            _RANK[x.dtype] if isinstance(x, Value) else 0 if isinstance(x, bool)
            else 1 if isinstance(x, int) else 2
            for x in operands
        ]  # fmt: skip
        return (BOOL, I64, F32)[max(ranks)]

    def each(self, op: str, *operands: Operand, dtype: DType | None = None) -> Value:
        """Apply an elementwise op in `dtype`, or in the type the operands promote to."""
        dtype = dtype or self.promoted(*operands)
        values = [self.typed(x, dtype) for x in operands]
        shape = broadcast([x.shape for x in values])
        return self.builder.node(op, [self.expand(x, shape) for x in values])

    def select(self, condition: Value, a: Operand, b: Operand, dtype: DType | None = None) -> Value:
        """Return a where the condition holds, else b."""
        dtype = dtype or self.promoted(a, b)
        values = [self.cast(condition, BOOL), self.typed(a, dtype), self.typed(b, dtype)]
        shape = broadcast([x.shape for x in values])
        return self.builder.node("select", [self.expand(x, shape) for x in values])

    # -- arithmetic on f32, with the identities that hold for every value

    def add(self, a: Operand, b: Operand) -> Value:
        """Return a + b in f32."""
        return self.each("add", a, b, dtype=F32)

    def sub(self, a: Operand, b: Operand) -> Value:
        """Return a - b in f32."""
        return self.each("sub", a, b, dtype=F32)

    def mul(self, a: Operand, b: Operand) -> Value:
        """Return a * b in f32."""
        for x, y in ((a, b), (b, a)):
            if self.filled(y) == 1 and isinstance(x, Value) and x.dtype == F32:
                shape = y.shape if isinstance(y, Value) else ()
                return self.expand(x, broadcast([x.shape, shape]))
        return self.each("mul", a, b, dtype=F32)

    def div(self, a: Operand, b: Operand) -> Value:
        """Return a / b in f32; a division by a power of two is the equal multiplication."""
        number = self.filled(b)
        if number is not None and 0 < abs(number) < math.inf:
            fraction, power = math.frexp(abs(number))
            if fraction == 0.5 and abs(power) < 120:
                inverse = 1.0 / number
                shape = b.shape if isinstance(b, Value) else ()
                return self.mul(a, self.full(inverse, shape, F32))
        return self.each("div", a, b, dtype=F32)

    def unary(self, op: str, x: Value) -> Value:
        """Apply an elementwise op of one f32 operand."""
        return self.builder.node(op, (self.cast(x, F32),))

    def negate(self, condition: Value) -> Value:
        """Return the other truth."""
        return self.builder.node("not", (condition,))

    # -- reductions

    def sum(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Return the sum over `axes`, exact for integers; axes of size 1 cost nothing."""
        kept = [1 if at in axes else size for at, size in enumerate(x.shape)]
        shape = kept if keep else [size for at, size in enumerate(x.shape) if at not in axes]
        real = [axis for axis in axes if x.shape[axis] > 1]
        if not real:
            return self.reshape(x, shape)
        if x.dtype == F32:
            return self.reshape(self.builder.sum_f32(x, real), shape)
        return self.reshape(self.builder.reduce("sum", self.cast(x, I64), real), shape)

    def mean(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Return the mean over `axes`."""
        terms = math.prod(x.shape[axis] for axis in axes)
        return self.div(self.sum(x, axes, keep=keep), float(terms))

    def amax(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """Return the greatest over `axes`."""
        return self.builder.reduce("amax", x, axes, keep=keep)


def axes_of(dims: Any, rank: int) -> tuple[int, ...]:
    """Return ascending non-negative axes from PyTorch's dim argument; None or [] is all."""
    if dims is None or dims == []:
        return tuple(range(rank))
    if isinstance(dims, int):
        dims = [dims]
    return tuple(sorted({int(dim) % max(rank, 1) for dim in dims})) if rank else ()


def unsupported(reason: str, hint: str = "") -> Lower:
    """Return a lowering that refuses with a reason of its own."""

    def lower(desk: Lowering, *args: Any, **kwargs: Any) -> Result:
        raise desk.refuse(reason, hint)

    return lower
