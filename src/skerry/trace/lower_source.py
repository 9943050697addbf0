"""Values out of nothing: fills, ranges and chance.

What    `TABLE`: full, arange, and random draws. The n-th draw of a trace reads stream n of the
        seed, so dropout is a function of (seed, stream, place) that a verifier recomputes.
Why     PyTorch's dropout reaches ATen as `empty.bernoulli_().div_()`; the draw is what counts.
Source  Box and Muller 1958, "A note on the generation of random normal deviates".
"""

from __future__ import annotations

import math
from typing import Any, Final

from skerry.program import BOOL, F32, I64, Value
from skerry.trace.lowering import Lower, Lowering, Number, Operand, Result, unsupported


def _full(desk: Lowering, size: Any, value: Operand, **_: Any) -> Result:
    return _filled(desk, value)


def _filled(desk: Lowering, value: Operand) -> Result:
    if isinstance(value, Value):
        return desk.expand(desk.cast(value, desk.type.dtype), desk.type.shape)
    typed = {F32: float, I64: int, BOOL: bool}[desk.type.dtype](value)
    return desk.full(typed, desk.type.shape, desk.type.dtype)


def _number(number: int) -> Lower:
    def lower(desk: Lowering, *_: Any, **__: Any) -> Result:
        return _filled(desk, number)

    return lower


def _scalar_tensor(desk: Lowering, value: Number, **_: Any) -> Result:
    return _filled(desk, value)


def _fill(desk: Lowering, x: Value, value: Operand, **_: Any) -> Result:
    return _filled(desk, value)


def _arange(desk: Lowering, *bounds: Number, **_: Any) -> Result:
    start = bounds[0] if len(bounds) > 1 else 0
    step = bounds[2] if len(bounds) > 2 else 1
    dtype = desk.type.dtype
    if dtype == I64 and not (float(start).is_integer() and float(step).is_integer()):
        raise desk.refuse("an integer range with a fractional start or step")
    count = desk.cast(desk.builder.iota(desk.type.shape, 0), dtype)
    steps = count if step == 1 else desk.each("mul", count, step, dtype=dtype)
    return steps if start == 0 else desk.each("add", steps, start, dtype=dtype)


def _linspace(desk: Lowering, start: Number, end: Number, steps: int, **_: Any) -> Result:
    step = (float(end) - float(start)) / max(steps - 1, 1)
    count = desk.cast(desk.builder.iota(desk.type.shape, 0), F32)
    return desk.add(desk.mul(count, step), float(start))


def _eye(desk: Lowering, *_: Any, **__: Any) -> Result:
    shape = desk.type.shape
    same = desk.each("eq", desk.builder.iota(shape, 0), desk.builder.iota(shape, 1))
    return desk.cast(same, desk.type.dtype)


# -- chance


def uniform(desk: Lowering) -> Value:
    """Return draws in [0, 1) in the shape of the ATen node at hand."""
    seed, stream = desk.stream()
    return desk.builder.uniform(seed, stream, desk.type.shape)


def normal(desk: Lowering) -> Value:
    """Return normal draws by Box and Muller: sqrt(-2 ln(1 - u)) * cos(2 pi v)."""
    radius = desk.unary("log", desk.sub(1.0, uniform(desk)))
    turn = desk.unary("cos", desk.mul(uniform(desk), 2.0 * math.pi))
    return desk.mul(desk.unary("sqrt", desk.mul(radius, -2.0)), turn)


def _bernoulli(desk: Lowering, x: Value, p: Operand | None = None, **_: Any) -> Result:
    chance = x if p is None else p
    return desk.cast(desk.each("lt", uniform(desk), chance, dtype=F32), desk.type.dtype)


def _rand(desk: Lowering, *_: Any, **__: Any) -> Result:
    return uniform(desk)


def _randn(desk: Lowering, *_: Any, **__: Any) -> Result:
    return normal(desk)


def _uniform(desk: Lowering, x: Value, low: Number = 0, high: Number = 1, **_: Any) -> Result:
    return desk.add(desk.mul(uniform(desk), float(high) - float(low)), float(low))


def _normal(desk: Lowering, x: Value, mean: Number = 0, std: Number = 1, **_: Any) -> Result:
    return desk.add(desk.mul(normal(desk), float(std)), float(mean))


def _native_dropout(desk: Lowering, x: Value, p: Number, train: bool | None) -> Result:
    if train is False:
        return x, desk.full(True, x.shape, BOOL)
    kept = desk.each("lt", uniform(desk), 1.0 - float(p))
    scale = 0.0 if p == 1 else 1.0 / (1.0 - float(p))
    return desk.select(kept, desk.mul(x, scale), 0.0), kept


def _native_dropout_backward(desk: Lowering, grad: Value, mask: Value, scale: Number) -> Result:
    return desk.select(mask, desk.mul(grad, float(scale)), 0.0)


_SHUFFLE: Final = unsupported(
    "a random permutation has no place in a training step", "shuffle in the data set's order"
)

TABLE: Final[dict[str, Lower]] = {
    "aten.full.default": _full,
    "aten.new_full.default": lambda desk, _, size, value, **__: _filled(desk, value),
    "aten.full_like.default": _fill,
    "aten.fill.Scalar": _fill,
    "aten.fill.Tensor": _fill,
    "aten.scalar_tensor.default": _scalar_tensor,
    **{
        f"aten.{name}.default": _number(number)
        for number, names in (
            (0, "zeros zeros_like new_zeros zero empty empty_like new_empty"),
            (1, "ones ones_like new_ones"),
        )
        for name in names.split()
    },
    "aten.empty.memory_format": _number(0),
    "aten.empty_permuted.default": _number(0),
    "aten.empty_strided.default": _number(0),
    "aten.new_empty_strided.default": _number(0),
    "aten.arange.default": _arange,
    "aten.arange.start": _arange,
    "aten.arange.start_step": _arange,
    "aten.linspace.default": _linspace,
    "aten.eye.default": _eye,
    "aten.eye.m": _eye,
    "aten.bernoulli.default": _bernoulli,
    "aten.bernoulli.float": _bernoulli,
    "aten.bernoulli.p": _bernoulli,
    "aten.bernoulli.Tensor": _bernoulli,
    "aten.rand.default": _rand,
    "aten.rand_like.default": _rand,
    "aten.randn.default": _randn,
    "aten.randn_like.default": _randn,
    "aten.uniform.default": _uniform,
    "aten.normal.default": _normal,
    "aten.normal_functional.default": _normal,
    "aten.native_dropout.default": _native_dropout,
    "aten.native_dropout_backward.default": _native_dropout_backward,
    "aten.randperm.default": _SHUFFLE,
    "aten.randint.default": _SHUFFLE,
    "aten.randint.low": _SHUFFLE,
}
