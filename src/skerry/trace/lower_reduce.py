"""Reductions over axes.

What    `TABLE`: sum, mean, variance, extremes and their places, any, all, running sums.
Why     A sum of f32 is a sum of integers on one grid for each result, so its order is free. A
        running sum of f32 is a product with a triangle of ones: exact by the same argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import torch

from skerry.program import BOOL, F32, I64, Value
from skerry.trace.lower_view import triangle
from skerry.trace.lowering import Lower, Lowering, Number, Result, axes_of, unsupported


def _sum(
    desk: Lowering, x: Value, dim: Any = None, keepdim: bool = False, *,
    dtype: torch.dtype | None = None,
) -> Result:  # fmt: skip
    return desk.sum(desk.cast(x, desk.type.dtype), axes_of(dim, len(x.shape)), keep=keepdim)


def _mean(
    desk: Lowering, x: Value, dim: Any = None, keepdim: bool = False, *,
    dtype: torch.dtype | None = None,
) -> Result:  # fmt: skip
    return desk.mean(desk.cast(x, F32), axes_of(dim, len(x.shape)), keep=keepdim)


def _spread(
    desk: Lowering, x: Value, dim: Any, correction: Number | None, keepdim: bool
) -> tuple[Value, Value]:
    axes = axes_of(dim, len(x.shape))
    mean = desk.mean(x, axes, keep=True)
    centred = desk.sub(x, mean)
    terms = math.prod(x.shape[axis] for axis in axes)
    below = max(0.0, terms - float(1 if correction is None else correction))
    total = desk.sum(desk.mul(centred, centred), axes, keep=keepdim)
    return desk.div(total, below), desk.mean(x, axes, keep=keepdim)


def _var(
    desk: Lowering, x: Value, dim: Any = None, *, correction: Number | None = None,
    keepdim: bool = False,
) -> Result:  # fmt: skip
    return _spread(desk, x, dim, correction, keepdim)[0]


def _std(
    desk: Lowering, x: Value, dim: Any = None, *, correction: Number | None = None,
    keepdim: bool = False,
) -> Result:  # fmt: skip
    return desk.unary("sqrt", _spread(desk, x, dim, correction, keepdim)[0])


def _var_mean(
    desk: Lowering, x: Value, dim: Any = None, *, correction: Number | None = None,
    keepdim: bool = False,
) -> Result:  # fmt: skip
    return _spread(desk, x, dim, correction, keepdim)


def _vector_norm(
    desk: Lowering, x: Value, ord: Number = 2, dim: Any = None, keepdim: bool = False, *,
    dtype: torch.dtype | None = None,
) -> Result:  # fmt: skip
    axes, size = axes_of(dim, len(x.shape)), desk.unary("abs", x)
    if ord == 2:
        return desk.unary("sqrt", desk.sum(desk.mul(x, x), axes, keep=keepdim))
    if ord == 1:
        return desk.sum(size, axes, keep=keepdim)
    if ord == math.inf:
        return desk.amax(size, axes, keep=keepdim)
    raise desk.refuse(f"a norm of order {ord}", "use order 1, 2 or infinity")


# -- extremes


def _turned(desk: Lowering, x: Value, *, least: bool) -> Value:
    """Return x, negated when the least is asked for; integers pass as f32 while that is exact."""
    x = desk.builder.cast(x, F32)
    return desk.unary("neg", x) if least else x


def _extreme(*, least: bool) -> Lower:
    def lower(desk: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Result:
        axes = axes_of(dim, len(x.shape))
        if x.dtype == I64 and x.type.elements > 1:
            return _integer_extreme(desk, x, axes, keepdim, least=least)
        top = desk.amax(_turned(desk, x, least=least), axes, keep=keepdim)
        return desk.cast(desk.unary("neg", top) if least else top, desk.type.dtype)

    return lower


def _integer_extreme(
    desk: Lowering, x: Value, axes: Sequence[int], keepdim: bool, *, least: bool
) -> Value:
    """Return the extreme of integers by halving each axis: Programs order f32 only."""
    op = "min" if least else "max"
    for axis in axes:
        while (size := x.shape[axis]) > 1:
            half = size // 2
            pair = desk.each(
                op, desk.slice_axis(x, axis, 0, half), desk.slice_axis(x, axis, half, 2 * half)
            )
            rest = [desk.slice_axis(x, axis, 2 * half, size)] if size % 2 else []
            x = desk.builder.concat([pair, *rest], axis)
    shape = x.shape if keepdim else [n for at, n in enumerate(x.shape) if at not in axes]
    return desk.reshape(x, shape)


def _place(*, least: bool) -> Lower:
    def lower(desk: Lowering, x: Value, dim: int | None = None, keepdim: bool = False) -> Result:
        if x.dtype == I64:
            raise desk.refuse("the place of an extreme among integers", "cast to float32 first")
        if dim is None:
            x, dim = desk.reshape(x, (x.type.elements,)), 0
        found = desk.builder.node(
            "argmax", (_turned(desk, x, least=least),), axis=dim % len(x.shape)
        )
        return desk.reshape(found, desk.type.shape)

    return lower


def _extreme_and_place(*, least: bool) -> Lower:
    value_of, place_of = _extreme(least=least), _place(least=least)

    def lower(desk: Lowering, x: Value, dim: int, keepdim: bool = False) -> Result:
        value = value_of(desk, x, dim, keepdim)
        desk.types = desk.types[1:]
        place = place_of(desk, x, dim, keepdim)
        assert isinstance(value, Value)
        assert isinstance(place, Value)
        return value, place

    return lower


def _topk(
    desk: Lowering, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Result:
    axis = dim % len(x.shape)
    return _ranked(desk, x, k, axis, largest=largest)


def _sort(desk: Lowering, x: Value, dim: int = -1, descending: bool = False) -> Result:
    axis = dim % len(x.shape)
    return _ranked(desk, x, x.shape[axis], axis, largest=descending)


def _ranked(desk: Lowering, x: Value, k: int, axis: int, *, largest: bool) -> Result:
    """Return the k first by rank, and where they are; of equals the lowest place comes first."""
    if x.dtype != F32:
        raise desk.refuse("a rank among integers", "cast to float32 first")
    last = desk.transpose(_turned(desk, x, least=not largest), axis, -1)
    index = desk.builder.node("topk", (last,), k=k)
    desk.distinct.add(index.id)
    rows, width = last.type.elements // last.shape[-1], last.shape[-1]
    at = desk.each("mul", desk.builder.iota((rows, k), 0), width)
    flat = desk.each("add", desk.reshape(index, (rows, k)), at)
    taken = desk.builder.take(desk.reshape(last, (rows * width,)), flat)
    values = desk.reshape(taken, index.shape)
    values = values if largest else desk.unary("neg", values)
    back = desk.transpose(index, axis, -1)
    desk.distinct.add(back.id)
    return desk.transpose(values, axis, -1), back


# -- truth and running sums


def _any(desk: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Result:
    count = desk.cast(desk.cast(x, BOOL), I64)
    return desk.each("lt", 0, desk.sum(count, axes_of(dim, len(x.shape)), keep=keepdim))


def _all(desk: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Result:
    fails = desk.cast(desk.negate(desk.cast(x, BOOL)), I64)
    return desk.each("eq", 0, desk.sum(fails, axes_of(dim, len(x.shape)), keep=keepdim))


def _cumsum(desk: Lowering, x: Value, dim: int, *, dtype: torch.dtype | None = None) -> Result:
    if not x.shape:
        return desk.cast(x, desk.type.dtype)
    x, axis = desk.cast(x, desk.type.dtype), dim % len(x.shape)
    if x.dtype == I64:
        return desk.builder.node("cumsum", (x,), axis=axis)
    size = x.shape[axis]
    ones = desk.cast(triangle(desk, (size, size), 0), F32)
    last = desk.transpose(x, axis, -1)
    rows = desk.reshape(last, (x.type.elements // size, size))
    sums = desk.reshape(desk.builder.matmul(rows, ones), last.shape)
    return desk.transpose(sums, axis, -1)


_PRODUCT: Final = unsupported(
    "a product over an axis rounds in an order that PyTorch does not fix",
    "write the sum of logarithms, or multiply slices one by one",
)

TABLE: Final[dict[str, Lower]] = {
    "aten.sum.default": _sum,
    "aten.sum.dim_IntList": _sum,
    "aten.mean.default": _mean,
    "aten.mean.dim": _mean,
    "aten.var.correction": _var,
    "aten.std.correction": _std,
    "aten.var_mean.correction": _var_mean,
    "aten.linalg_vector_norm.default": _vector_norm,
    "aten.amax.default": _extreme(least=False),
    "aten.amin.default": _extreme(least=True),
    "aten.max.default": _extreme(least=False),
    "aten.min.default": _extreme(least=True),
    "aten.max.dim": _extreme_and_place(least=False),
    "aten.min.dim": _extreme_and_place(least=True),
    "aten.argmax.default": _place(least=False),
    "aten.argmin.default": _place(least=True),
    "aten.topk.default": _topk,
    "aten.sort.default": _sort,
    "aten.any.default": _any,
    "aten.any.dim": _any,
    "aten.any.dims": _any,
    "aten.all.default": _all,
    "aten.all.dim": _all,
    "aten.all.dims": _all,
    "aten.cumsum.default": _cumsum,
    "aten.prod.default": _PRODUCT,
    "aten.prod.dim_int": _PRODUCT,
}
