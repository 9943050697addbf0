"""Views and moves: where elements go, never what they are.

What    `TABLE`: reshapes, permutations, slices, joins, pads, repeats, and the backward of slices.
Why     A backward slice is a pad; PyTorch's own route through slice_scatter costs twelve nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from skerry.program import I64, Value
from skerry.trace.lowering import Lower, Lowering, Number, Result

_END: Final = (1 << 63) - 1


def _same(desk: Lowering, x: Value, *_: Any, **__: Any) -> Result:
    return x


def _reshape(desk: Lowering, x: Value, *_: Any, **__: Any) -> Result:
    return desk.reshape(x, desk.type.shape)


def _permute(desk: Lowering, x: Value, dims: Sequence[int]) -> Result:
    return desk.permute(x, dims)


def _transpose(desk: Lowering, x: Value, first: int, second: int) -> Result:
    return desk.transpose(x, first, second)


def _t(desk: Lowering, x: Value) -> Result:
    return desk.transpose(x) if len(x.shape) == 2 else x


def _expand(desk: Lowering, x: Value, *_: Any, **__: Any) -> Result:
    return desk.expand(x, desk.type.shape)


def _bounds(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    start, end = start or 0, _END if end is None else end
    first = max(0, start + size if start < 0 else start)
    return min(first, size), min(max(0, end + size if end < 0 else end), size)


def _slice(
    desk: Lowering, x: Value, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Result:  # fmt: skip
    axis = dim % len(x.shape)
    first, limit = _bounds(start, end, x.shape[axis])
    return desk.slice_axis(x, axis, first, limit, step)


def _select(desk: Lowering, x: Value, dim: int, index: int) -> Result:
    axis = dim % len(x.shape)
    index %= x.shape[axis]
    return desk.reshape(desk.slice_axis(x, axis, index, index + 1), desk.type.shape)


def _placed(
    desk: Lowering, x: Value, shape: Sequence[int], axis: int, start: int, step: int
) -> Value:
    """Return zeros of `shape` that hold x at start, start + step, .. along the axis."""
    low, high, interior = [0] * len(shape), [0] * len(shape), [0] * len(shape)
    low[axis], interior[axis] = start, step - 1
    high[axis] = shape[axis] - start - ((x.shape[axis] - 1) * step + 1)
    return desk.builder.pad(x, low, high, interior)


def _slice_backward(
    desk: Lowering, grad: Value, sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Result:
    axis = dim % len(sizes)
    first, _ = _bounds(start, end, sizes[axis])
    return _placed(desk, grad, sizes, axis, first, step)


def _select_backward(
    desk: Lowering, grad: Value, sizes: Sequence[int], dim: int, index: int
) -> Result:
    axis = dim % len(sizes)
    row = desk.reshape(grad, (*sizes[:axis], 1, *sizes[axis + 1 :]))
    return _placed(desk, row, sizes, axis, index % sizes[axis], 1)


def _slice_scatter(
    desk: Lowering, x: Value, source: Value, dim: int = 0, start: int | None = None,
    end: int | None = None, step: int = 1,
) -> Result:  # fmt: skip
    axis = dim % len(x.shape)
    first, limit = _bounds(start, end, x.shape[axis])
    source = desk.cast(source, x.dtype)
    if step == 1:
        parts = [(0, first, x), (0, limit - first, source), (limit, x.shape[axis], x)]
        return desk.builder.concat(
            [desk.slice_axis(part, axis, a, b) for a, b, part in parts if a < b], axis
        )
    at = desk.builder.iota(x.shape, axis)
    offset = desk.each("sub", at, first)
    inside = desk.each("and", desk.each("le", 0, offset), desk.each("lt", at, limit))
    inside = desk.each("and", inside, desk.each("eq", desk.each("rem", offset, step), 0))
    return desk.select(inside, _placed(desk, source, x.shape, axis, first, step), x)


def _select_scatter(desk: Lowering, x: Value, source: Value, dim: int, index: int) -> Result:
    axis = dim % len(x.shape)
    index %= x.shape[axis]
    row = desk.reshape(source, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return _slice_scatter(desk, x, row, axis, index, index + 1)


def _split_with_sizes(desk: Lowering, x: Value, sizes: Sequence[int], dim: int = 0) -> Result:
    axis, start, parts = dim % len(x.shape), 0, []
    for size in sizes:
        parts.append(desk.slice_axis(x, axis, start, start + size))
        start += size
    return tuple(parts)


def _split(desk: Lowering, x: Value, size: int, dim: int = 0) -> Result:
    total = x.shape[dim % len(x.shape)]
    sizes = [min(size, total - start) for start in range(0, total, size)]
    return _split_with_sizes(desk, x, sizes, dim)


def _unbind(desk: Lowering, x: Value, dim: int = 0) -> Result:
    axis = dim % len(x.shape)
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    rows = [desk.slice_axis(x, axis, at, at + 1) for at in range(x.shape[axis])]
    return tuple(desk.reshape(row, rest) for row in rows)


def _cat(desk: Lowering, values: Sequence[Value], dim: int = 0) -> Result:
    axis = dim % len(desk.type.shape)
    return desk.builder.concat([desk.cast(value, desk.type.dtype) for value in values], axis)


def _stack(desk: Lowering, values: Sequence[Value], dim: int = 0) -> Result:
    axis = dim % len(desk.type.shape)
    rows = [
        desk.reshape(
            desk.cast(value, desk.type.dtype), (*value.shape[:axis], 1, *value.shape[axis:])
        )
        for value in values
    ]
    return desk.builder.concat(rows, axis)


def _repeat(desk: Lowering, x: Value, repeats: Sequence[int]) -> Result:
    shape = (1,) * (len(repeats) - len(x.shape)) + x.shape
    # Each axis becomes (repeat, size), so that one expand repeats it whole.
    apart = [size for pair in zip((1,) * len(shape), shape, strict=True) for size in pair]
    wide = [size for pair in zip(repeats, shape, strict=True) for size in pair]
    return desk.reshape(desk.expand(desk.reshape(x, apart), wide), desk.type.shape)


def _flip(desk: Lowering, x: Value, dims: Sequence[int]) -> Result:
    for dim in dims:
        x = flipped(desk, x, dim % len(x.shape))
    return x


def flipped(desk: Lowering, x: Value, axis: int) -> Value:
    """Return x in the opposite order along one axis."""
    size = x.shape[axis]
    if size == 1:
        return x
    index = desk.each("sub", size - 1, desk.builder.iota((size,), 0), dtype=I64)
    front = (axis, *(at for at in range(len(x.shape)) if at != axis))
    back = [front.index(at) for at in range(len(x.shape))]
    return desk.permute(desk.builder.take(desk.permute(x, front), index), back)


def _roll(desk: Lowering, x: Value, shifts: Sequence[int], dims: Sequence[int] = ()) -> Result:
    shape = x.shape
    if not dims:
        x, dims = desk.reshape(x, (math.prod(shape),)), [0]
    for shift, dim in zip(shifts, dims, strict=True):
        axis = dim % len(x.shape)
        cut = -shift % x.shape[axis]
        if cut:
            parts = [
                desk.slice_axis(x, axis, cut, x.shape[axis]),
                desk.slice_axis(x, axis, 0, cut),
            ]
            x = desk.builder.concat(parts, axis)
    return desk.reshape(x, shape)


def _constant_pad(desk: Lowering, x: Value, pads: Sequence[int], value: Number = 0) -> Result:
    low, high = [0] * len(x.shape), [0] * len(x.shape)
    for at in range(len(pads) // 2):
        low[-1 - at], high[-1 - at] = pads[2 * at], pads[2 * at + 1]
    return desk.builder.pad(x, low, high, number=value)


def _unfold(desk: Lowering, x: Value, dim: int, size: int, step: int) -> Result:
    return desk.builder.window(x, dim % len(x.shape), size, step)


def triangle(desk: Lowering, shape: Sequence[int], diagonal: int) -> Value:
    """Return where column - row <= diagonal, over the last two axes."""
    rows, columns = shape[-2:]
    row = desk.builder.iota((rows, columns), 0)
    column = desk.builder.iota((rows, columns), 1)
    below = desk.each("le", column, desk.each("add", row, diagonal))
    return desk.expand(below, shape)


def _tril(desk: Lowering, x: Value, diagonal: int = 0) -> Result:
    return desk.select(triangle(desk, x.shape, diagonal), x, desk.full(0, (), x.dtype), x.dtype)


def _triu(desk: Lowering, x: Value, diagonal: int = 0) -> Result:
    below = triangle(desk, x.shape, diagonal - 1)
    return desk.select(below, desk.full(0, (), x.dtype), x, x.dtype)


def _diagonal(desk: Lowering, x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Result:
    rank = len(x.shape)
    first, second = dim1 % rank, dim2 % rank
    rest = [at for at in range(rank) if at not in (first, second)]
    length = desk.type.shape[-1]
    x = desk.permute(x, (first, second, *rest))
    rows, columns = x.shape[:2]
    flat = desk.reshape(x, (rows * columns, *x.shape[2:]))
    start = offset if offset >= 0 else -offset * columns
    stop = start + (length - 1) * (columns + 1) + 1
    line = desk.slice_axis(flat, 0, start, stop, columns + 1)
    return desk.permute(line, (*range(1, len(line.shape)), 0))


def _diagonal_scatter(
    desk: Lowering, x: Value, source: Value, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Result:
    rank = len(x.shape)
    first, second = dim1 % rank, dim2 % rank
    order = (first, second, *(at for at in range(rank) if at not in (first, second)))
    front = desk.permute(x, order)
    rows = desk.permute(source, (rank - 2, *range(rank - 2)))
    row, column = (desk.builder.iota(front.shape[:2], axis) for axis in range(2))
    placed = desk.builder.take(rows, row if offset >= 0 else column)
    on = desk.each("eq", column, desk.each("add", row, offset))
    on = desk.reshape(on, (*front.shape[:2], *(1,) * (rank - 2)))
    written = desk.select(on, placed, front, x.dtype)
    return desk.permute(written, [order.index(at) for at in range(rank)])


TABLE: Final[dict[str, Lower]] = {
    **{
        f"aten.{name}": _same
        for name in (
            "alias.default", "clone.default", "detach.default", "lift_fresh.default",
            "lift_fresh_copy.default", "contiguous.default",
        )
    },
    **{
        f"aten.{name}": _reshape
        for name in (
            "view.default", "_unsafe_view.default", "reshape.default", "unsqueeze.default",
            "squeeze.default", "squeeze.dim", "squeeze.dims",
        )
    },
    "aten.permute.default": _permute,
    "aten.transpose.int": _transpose,
    "aten.t.default": _t,
    "aten.expand.default": _expand,
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.slice_backward.default": _slice_backward,
    "aten.select_backward.default": _select_backward,
    "aten.slice_scatter.default": _slice_scatter,
    "aten.select_scatter.default": _select_scatter,
    "aten.split_with_sizes.default": _split_with_sizes,
    "aten.split.Tensor": _split,
    "aten.unbind.int": _unbind,
    "aten.cat.default": _cat,
    "aten.stack.default": _stack,
    "aten.repeat.default": _repeat,
    "aten.flip.default": _flip,
    "aten.roll.default": _roll,
    "aten.constant_pad_nd.default": _constant_pad,
    "aten.unfold.default": _unfold,
    "aten.tril.default": _tril,
    "aten.triu.default": _triu,
    "aten.diagonal.default": _diagonal,
    "aten.diagonal_scatter.default": _diagonal_scatter,
}  # fmt: skip
