"""Reading and writing rows by index, and the losses that pick one class.

What    `TABLE`: embedding, index, gather, scatter, and negative log likelihood, with their
        derivatives.
Why     Every read is one `take` of rows by a linear index; every write that adds is one
        `scatter_sum`, whose integers may come in any order. A write that overwrites is refused
        where two writes could meet: their order would decide the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from skerry.program import BOOL, F32, I64, Value
from skerry.program.build import broadcast
from skerry.trace.lowering import Lower, Lowering, Number, Result

_MEAN: Final = 1
_SUM: Final = 2
_OVERWRITES: Final = "two writes may meet in one place, and their order would decide"


def _wrapped(desk: Lowering, index: Value, size: int) -> Value:
    """Return an index counted from the start; known constants are never negative."""
    negative = desk.each("lt", index, 0)
    return desk.select(negative, desk.each("add", index, size), index)


# -- embedding


def _embedding(
    desk: Lowering, weight: Value, index: Value, padding_idx: int = -1,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Result:  # fmt: skip
    return desk.builder.take(weight, index)


def _embedding_backward(
    desk: Lowering, grad: Value, index: Value, size: int, padding_idx: int,
    scale_grad_by_freq: bool,
) -> Result:  # fmt: skip
    if scale_grad_by_freq:
        raise desk.refuse("scale_grad_by_freq", "build the embedding without scale_grad_by_freq")
    flat = desk.reshape(index, (index.type.elements,))
    if padding_idx >= 0:
        flat = desk.select(desk.each("eq", flat, padding_idx), size, flat)
    rows = desk.reshape(grad, (flat.shape[0], grad.shape[-1]))
    return desk.builder.scatter_sum(flat, rows, size)


# -- general indexing


def _joined(
    desk: Lowering, x: Value, indices: Sequence[Value | None]
) -> tuple[tuple[int, ...], list[int], Value]:
    """Return the shape of the joint index, the indexed axes and the linear row index."""
    axes = [at for at, index in enumerate(indices) if index is not None]
    given = [index for index in indices if index is not None]
    if any(index.dtype != I64 for index in given):
        raise desk.refuse(
            "a mask as an index gives a shape that depends on data", "use torch.where"
        )
    shape = broadcast([index.shape for index in given])
    linear: Value | None = None
    for axis, index in zip(axes, given, strict=True):
        place = _wrapped(desk, index, x.shape[axis])
        if linear is not None:
            place = desk.each("add", desk.each("mul", linear, x.shape[axis]), place)
        linear = place
    assert linear is not None, "PyTorch indexes with at least one tensor"
    return shape, axes, desk.expand(linear, shape)


def _rows_first(desk: Lowering, x: Value, axes: Sequence[int]) -> tuple[Value, list[int]]:
    """Return x as [rows, ..] with the indexed axes joined in front, and the axes left."""
    rest = [at for at in range(len(x.shape)) if at not in axes]
    rows = math.prod(x.shape[axis] for axis in axes)
    front = desk.permute(x, (*axes, *rest))
    return desk.reshape(front, (rows, *(x.shape[at] for at in rest))), rest


def _order(axes: Sequence[int], joint: int, rest: int) -> list[int]:
    """Return the permutation from (joint index, rest) to PyTorch's place of the joint index."""
    adjacent = list(axes) == list(range(axes[0], axes[0] + len(axes)))
    before = axes[0] if adjacent else 0
    return [
        *range(joint, joint + before),
        *range(joint),
        *range(joint + before, joint + rest),
    ]


def _index(desk: Lowering, x: Value, indices: Sequence[Value | None]) -> Result:
    shape, axes, linear = _joined(desk, x, indices)
    rows, rest = _rows_first(desk, x, axes)
    return desk.permute(desk.builder.take(rows, linear), _order(axes, len(shape), len(rest)))


def _is_mask(indices: Sequence[Value | None], x: Value) -> bool:
    mask = indices[0]
    return (
        len(indices) == 1
        and mask is not None
        and mask.dtype == BOOL
        and mask.shape == x.shape[: len(mask.shape)]
    )


def _index_put(
    desk: Lowering, x: Value, indices: Sequence[Value | None], values: Value,
    accumulate: bool = False, unsafe: bool = False,
) -> Result:  # fmt: skip
    if not accumulate and _is_mask(indices, x) and values.type.elements == 1:
        # x[mask] = number: every place gets the same, so no two writes differ.
        mask = indices[0]
        assert mask is not None, "a mask is a value"
        wide = desk.reshape(mask, mask.shape + (1,) * (len(x.shape) - len(mask.shape)))
        return desk.select(wide, desk.reshape(values, ()), x, x.dtype)
    if not accumulate:
        raise desk.refuse(_OVERWRITES, "use accumulate=True, torch.where or masked_fill")
    shape, axes, linear = _joined(desk, x, indices)
    rows, rest = _rows_first(desk, x, axes)
    order = _order(axes, len(shape), len(rest))
    full = [*shape, *(x.shape[at] for at in rest)]
    spread = desk.expand(values, [full[at] for at in order])
    back = desk.permute(spread, [order.index(at) for at in range(len(order))])
    flat = desk.reshape(back, (linear.type.elements, *rows.shape[1:]))
    total = _scattered(desk, desk.reshape(linear, (linear.type.elements,)), flat, rows.shape[0])
    front = desk.reshape(total, [x.shape[at] for at in (*axes, *rest)])
    turned = desk.permute(front, [[*axes, *rest].index(at) for at in range(len(x.shape))])
    return _added(desk, x, turned)


def _scattered(desk: Lowering, index: Value, values: Value, size: int) -> Value:
    if values.dtype == F32:
        return desk.builder.scatter_sum(index, values, size)
    return desk.builder.node("scatter_add", (index, desk.cast(values, I64)), size=size)


def _added(desk: Lowering, x: Value, y: Value) -> Value:
    """Return x + y; a scatter never gives -0, so adding it to zeros changes nothing."""
    return y if desk.filled(x) == 0 else desk.each("add", x, y, dtype=x.dtype)


def _index_select(desk: Lowering, x: Value, dim: int, index: Value) -> Result:
    axis = dim % len(x.shape)
    flat = desk.reshape(index, (index.type.elements,))
    rows, rest = _rows_first(desk, x, (axis,))
    return desk.permute(desk.builder.take(rows, flat), _order((axis,), 1, len(rest)))


def _index_add(
    desk: Lowering, x: Value, dim: int, index: Value, source: Value, *, alpha: Number = 1
) -> Result:
    axis = dim % len(x.shape)
    rows, rest = _rows_first(desk, source, (axis,))
    if alpha != 1:
        rows = desk.each("mul", rows, alpha, dtype=rows.dtype)
    flat = desk.reshape(index, (index.type.elements,))
    total = _scattered(desk, flat, rows, x.shape[axis])
    return _added(desk, x, desk.permute(total, _order((axis,), 1, len(rest))))


# -- gather and scatter along one axis


def _linear(desk: Lowering, index: Value, shape: Sequence[int], axis: int) -> Value:
    """Return the row-major place, in a tensor of `shape`, that a gather index names."""
    linear: Value | None = None
    for at, size in enumerate(shape):
        place = index if at == axis else desk.builder.iota(index.shape, at)
        linear = (
            place if linear is None
            else desk.each("add", desk.each("mul", linear, size), place)
        )  # fmt: skip
    assert linear is not None, "a gather has at least one axis"
    return linear


def _gather(desk: Lowering, x: Value, dim: int, index: Value, sparse_grad: bool = False) -> Result:
    if not x.shape:
        return desk.expand(x, index.shape)
    linear = _linear(desk, index, x.shape, dim % len(x.shape))
    return desk.builder.take(desk.reshape(x, (x.type.elements,)), linear)


def _scatter_add(desk: Lowering, x: Value, dim: int, index: Value, source: Value) -> Result:
    axis = dim % len(x.shape)
    for at, size in enumerate(index.shape):
        source = desk.slice_axis(source, at, 0, size)
    linear = _linear(desk, index, x.shape, axis)
    flat = desk.reshape(linear, (linear.type.elements,))
    values = desk.reshape(source, flat.shape)
    total = _scattered(desk, flat, values, x.type.elements)
    return _added(desk, x, desk.reshape(total, x.shape))


def _scatter(desk: Lowering, x: Value, dim: int, index: Value, source: Value | Number) -> Result:
    axis = dim % len(x.shape)
    narrow = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    if index.shape == narrow:
        here = desk.each("eq", desk.builder.iota(x.shape, axis), index)
        return desk.select(here, source, x, x.dtype)
    if isinstance(source, Value) and index.id not in desk.distinct:
        raise desk.refuse(_OVERWRITES, "scatter one element a row, or use scatter_add")
    linear = _linear(desk, index, x.shape, axis)
    flat = desk.reshape(linear, (linear.type.elements,))
    if isinstance(source, Value):
        # No two writes meet: let each place learn which write it gets, counted from 1.
        turn = desk.each("add", desk.builder.iota(flat.shape, 0), 1)
        writer = _scattered(desk, flat, turn, x.type.elements)
        values = desk.reshape(desk.cast(source, x.dtype), flat.shape)
        written = desk.builder.take(values, desk.each("sub", writer, 1))
        kept = desk.each("eq", desk.reshape(writer, x.shape), 0)
        return desk.select(kept, x, desk.reshape(written, x.shape), x.dtype)
    hits = _scattered(desk, flat, desk.full(1, flat.shape, I64), x.type.elements)
    return desk.select(desk.cast(desk.reshape(hits, x.shape), BOOL), source, x, x.dtype)


# -- negative log likelihood


def _class_last(desk: Lowering, x: Value) -> Value:
    """Return scores [N, C, ..] as rows [N * .., C]."""
    if len(x.shape) == 1:
        return desk.reshape(x, (1, *x.shape))
    last = desk.permute(x, (0, *range(2, len(x.shape)), 1))
    return desk.reshape(last, (x.type.elements // x.shape[1], x.shape[1]))


def _row_weights(desk: Lowering, target: Value, weight: Value | None, ignore: int) -> Value:
    """Return the weight of each row: 0 for an ignored one, else 1 or its class's weight."""
    counted = desk.negate(desk.each("eq", target, ignore))
    if weight is None:
        return desk.cast(counted, F32)
    return desk.select(counted, desk.builder.take(weight, target), 0.0)


def _total_weight(
    desk: Lowering, target: Value, weight: Value | None, ignore: int, weights: Value
) -> Value:
    if weight is not None:
        return desk.sum(weights, (0,))
    counted = desk.negate(desk.each("eq", target, ignore))
    return desk.cast(desk.sum(desk.cast(counted, I64), (0,)), F32)


def _nll_loss(
    desk: Lowering, x: Value, target: Value, weight: Value | None, reduction: int, ignore: int
) -> Result:
    rows = _class_last(desk, x)
    flat = desk.reshape(target, (rows.shape[0],))
    place = desk.each(
        "add", desk.each("mul", desk.builder.iota(flat.shape, 0), rows.shape[1]), flat
    )
    weights = _row_weights(desk, flat, weight, ignore)
    picked = desk.builder.take(desk.reshape(rows, (rows.type.elements,)), place)
    counted = desk.negate(desk.each("eq", flat, ignore))
    lost = desk.select(counted, desk.unary("neg", picked), 0.0)
    if weight is not None:
        lost = desk.mul(lost, weights)
    total_weight = _total_weight(desk, flat, weight, ignore, weights)
    if reduction not in (_MEAN, _SUM):
        return desk.reshape(lost, target.shape), total_weight
    total = desk.sum(lost, (0,))
    return (desk.div(total, total_weight) if reduction == _MEAN else total), total_weight


def _nll_loss_backward(
    desk: Lowering, grad: Value, x: Value, target: Value, weight: Value | None, reduction: int,
    ignore: int, total_weight: Value,
) -> Result:  # fmt: skip
    classes = x.shape[1] if len(x.shape) > 1 else x.shape[0]
    count = x.type.elements // classes
    flat = desk.reshape(target, (count,))
    weights = _row_weights(desk, flat, weight, ignore)
    if reduction == _MEAN:
        grad = desk.div(grad, total_weight)
    scale = desk.unary("neg", desk.reshape(grad, (grad.type.elements,)))
    counted = desk.negate(desk.each("eq", flat, ignore))
    lost = desk.select(counted, scale if weight is None else desk.mul(weights, scale), 0.0)
    column = desk.reshape(lost, (count, 1))
    here = desk.each("eq", desk.builder.iota((count, classes), 1), desk.reshape(flat, (count, 1)))
    spikes = desk.select(here, column, 0.0)
    if len(x.shape) == 2:
        desk.one_hot[spikes.id] = (here, column)
        return spikes
    if len(x.shape) == 1:
        return desk.reshape(spikes, x.shape)
    apart = desk.reshape(spikes, (x.shape[0], *x.shape[2:], classes))
    return desk.permute(apart, (0, len(x.shape) - 1, *range(1, len(x.shape) - 1)))


TABLE: Final[dict[str, Lower]] = {
    "aten.embedding.default": _embedding,
    "aten.embedding_dense_backward.default": _embedding_backward,
    "aten.index.Tensor": _index,
    "aten._unsafe_index.Tensor": _index,
    "aten.index_put.default": _index_put,
    "aten._unsafe_index_put.default": _index_put,
    "aten._index_put_impl.default": _index_put,
    "aten.index_select.default": _index_select,
    "aten.index_add.default": _index_add,
    "aten.gather.default": _gather,
    "aten.scatter_add.default": _scatter_add,
    "aten.scatter.value": _scatter,
    "aten.scatter.src": _scatter,
    "aten.nll_loss_forward.default": _nll_loss,
    "aten.nll_loss_backward.default": _nll_loss_backward,
    "aten.nll_loss2d_forward.default": _nll_loss,
    "aten.nll_loss2d_backward.default": _nll_loss_backward,
}
