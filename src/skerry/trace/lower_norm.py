"""Normalisation, softmax and their derivatives.

What    `TABLE`: layer, group, RMS and (on fixed statistics) batch norm, softmax and log-softmax,
        forward and backward.
Why     One formula each, chosen for the fewest passes: two-pass variance (no cancellation), one
        reciprocal root a row, and a backward that shares the normalised value with the forward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from skerry.program import F32, Value
from skerry.trace.lowering import Lower, Lowering, Result, axes_of


def _normalised(
    desk: Lowering, x: Value, axes: Sequence[int], eps: float
) -> tuple[Value, Value, Value]:
    """Return (x - mean) / sqrt(var + eps), the mean and the reciprocal root, axes kept."""
    mean = desk.mean(x, axes, keep=True)
    centred = desk.sub(x, mean)
    variance = desk.mean(desk.mul(centred, centred), axes, keep=True)
    root = desk.div(1.0, desk.unary("sqrt", desk.add(variance, float(eps))))
    return desk.mul(centred, root), mean, root


def _input_gradient(
    desk: Lowering, grad: Value, normal: Value, root: Value, axes: Sequence[int], *, centre: bool
) -> Value:
    """Return the gradient of x from the gradient of its normalised value."""
    along = desk.mul(normal, desk.mean(desk.mul(grad, normal), axes, keep=True))
    if centre:
        grad = desk.sub(grad, desk.mean(grad, axes, keep=True))
    return desk.mul(desk.sub(grad, along), root)


def _layer_norm(
    desk: Lowering, x: Value, shape: Sequence[int], weight: Value | None, bias: Value | None,
    eps: float,
) -> Result:  # fmt: skip
    axes = range(len(x.shape) - len(shape), len(x.shape))
    normal, mean, root = _normalised(desk, x, axes, eps)
    y = normal if weight is None else desk.mul(normal, weight)
    return (y if bias is None else desk.add(y, bias)), mean, root


def _layer_norm_backward(
    desk: Lowering, grad: Value, x: Value, shape: Sequence[int], mean: Value, root: Value,
    weight: Value | None, bias: Value | None, mask: Sequence[bool],
) -> Result:  # fmt: skip
    split = len(x.shape) - len(shape)
    rows, axes = range(split), range(split, len(x.shape))
    normal = desk.mul(desk.sub(x, mean), root)
    scaled = grad if weight is None else desk.mul(grad, weight)
    return (
        _input_gradient(desk, scaled, normal, root, axes, centre=True) if mask[0] else None,
        desk.sum(desk.mul(grad, normal), rows) if mask[1] else None,
        desk.sum(grad, rows) if mask[2] else None,
    )


def _affine(desk: Lowering, vector: Value, rank: int) -> Value:
    """Return a vector over the channels in the shape [1, C, 1, ..]."""
    return desk.reshape(vector, (1, vector.type.elements, *(1,) * (rank - 2)))


def _group_norm(
    desk: Lowering, x: Value, weight: Value | None, bias: Value | None, n: int, c: int, hw: int,
    groups: int, eps: float,
) -> Result:  # fmt: skip
    normal, mean, root = _normalised(desk, _grouped(desk, x, n, groups), (2,), eps)
    y = desk.reshape(normal, x.shape)
    if weight is not None:
        y = desk.mul(y, _affine(desk, weight, len(x.shape)))
    if bias is not None:
        y = desk.add(y, _affine(desk, bias, len(x.shape)))
    return y, desk.reshape(mean, (n, groups)), desk.reshape(root, (n, groups))


def _grouped(desk: Lowering, x: Value, n: int, groups: int) -> Value:
    return desk.reshape(x, (n, groups, x.type.elements // (n * groups)))


def _group_norm_backward(
    desk: Lowering, grad: Value, x: Value, mean: Value, root: Value, weight: Value | None,
    n: int, c: int, hw: int, groups: int, mask: Sequence[bool],
) -> Result:  # fmt: skip
    mean, root = (desk.reshape(v, (n, groups, 1)) for v in (mean, root))
    normal = desk.mul(desk.sub(_grouped(desk, x, n, groups), mean), root)
    scaled = grad if weight is None else desk.mul(grad, _affine(desk, weight, len(x.shape)))
    rows = (0, *range(2, len(x.shape)))
    result = _input_gradient(
        desk, _grouped(desk, scaled, n, groups), normal, root, (2,), centre=True
    )
    return (
        desk.reshape(result, x.shape) if mask[0] else None,
        desk.sum(desk.mul(grad, desk.reshape(normal, x.shape)), rows) if mask[1] else None,
        desk.sum(grad, rows) if mask[2] else None,
    )


def _batch_norm(
    desk: Lowering, x: Value, weight: Value | None, bias: Value | None,
    running_mean: Value | None, running_var: Value | None, training: bool, momentum: float,
    eps: float,
) -> Result:  # fmt: skip
    rank = len(x.shape)
    if not training:
        assert running_mean is not None, "PyTorch checks that there are statistics"
        assert running_var is not None, "PyTorch checks that there are statistics"
        mean, variance = _affine(desk, running_mean, rank), _affine(desk, running_var, rank)
        root = desk.div(1.0, desk.unary("sqrt", desk.add(variance, float(eps))))
        normal = desk.mul(desk.sub(x, mean), root)
    elif running_mean is None:
        normal, mean, root = _normalised(desk, x, _all_but_channels(rank), eps)
    else:
        raise desk.refuse(
            "batch norm while training keeps statistics outside the gradient",
            "use group norm or layer norm, or call .eval() on the batch norm modules",
        )
    y = normal if weight is None else desk.mul(normal, _affine(desk, weight, rank))
    y = y if bias is None else desk.add(y, _affine(desk, bias, rank))
    return y, *(desk.reshape(v, (x.shape[1],)) for v in (mean, root))


def _all_but_channels(rank: int) -> tuple[int, ...]:
    return (0, *range(2, rank))


def _batch_norm_backward(
    desk: Lowering, grad: Value, x: Value, weight: Value | None, running_mean: Value | None,
    running_var: Value | None, mean: Value | None, root: Value | None, training: bool,
    eps: float, mask: Sequence[bool],
) -> Result:  # fmt: skip
    rank, axes = len(x.shape), _all_but_channels(len(x.shape))
    if training:
        assert mean is not None, "the forward gives its statistics"
        assert root is not None, "the forward gives its statistics"
        centre, scale = _affine(desk, mean, rank), _affine(desk, root, rank)
    else:
        assert running_mean is not None, "PyTorch checks that there are statistics"
        assert running_var is not None, "PyTorch checks that there are statistics"
        spread = desk.add(_affine(desk, running_var, rank), float(eps))
        centre, scale = (
            _affine(desk, running_mean, rank), desk.div(1.0, desk.unary("sqrt", spread))
        )  # fmt: skip
    normal = desk.mul(desk.sub(x, centre), scale)
    scaled = grad if weight is None else desk.mul(grad, _affine(desk, weight, rank))
    if training:
        dx = _input_gradient(desk, scaled, normal, scale, axes, centre=True)
    else:
        dx = desk.mul(scaled, scale)
    return (
        dx if mask[0] else None,
        desk.sum(desk.mul(grad, normal), axes) if mask[1] else None,
        desk.sum(grad, axes) if mask[2] else None,
    )


def _rms_norm(
    desk: Lowering, x: Value, shape: Sequence[int], weight: Value | None, eps: float | None
) -> Result:
    axes = range(len(x.shape) - len(shape), len(x.shape))
    square = desk.mean(desk.mul(x, x), axes, keep=True)
    smallest = math.ldexp(1.0, -23) if eps is None else float(eps)
    root = desk.div(1.0, desk.unary("sqrt", desk.add(square, smallest)))
    y = desk.mul(x, root)
    return (y if weight is None else desk.mul(y, weight)), root


def _rms_norm_backward(
    desk: Lowering, grad: Value, x: Value, shape: Sequence[int], root: Value,
    weight: Value | None, mask: Sequence[bool],
) -> Result:  # fmt: skip
    split = len(x.shape) - len(shape)
    normal = desk.mul(x, root)
    scaled = grad if weight is None else desk.mul(grad, weight)
    axes = range(split, len(x.shape))
    return (
        _input_gradient(desk, scaled, normal, root, axes, centre=False) if mask[0] else None,
        desk.sum(desk.mul(grad, normal), range(split)) if mask[1] else None,
    )


# -- softmax


def _softmax(desk: Lowering, x: Value, dim: int, half_to_float: bool = False, **_: Any) -> Result:
    axes = axes_of(dim, len(x.shape))
    raised = desk.unary("exp", desk.sub(x, desk.amax(x, axes, keep=True)))
    return desk.div(raised, desk.sum(raised, axes, keep=True))


def _safe_softmax(desk: Lowering, x: Value, dim: int, dtype: Any = None) -> Result:
    """Softmax whose row is zero where everything is masked with minus infinity."""
    axes = axes_of(dim, len(x.shape))
    top = desk.amax(x, axes, keep=True)
    empty = desk.each("eq", top, -math.inf)
    raised = desk.unary("exp", desk.sub(x, desk.select(empty, 0.0, top)))
    return desk.div(raised, desk.select(empty, 1.0, desk.sum(raised, axes, keep=True)))


def _softmax_backward(desk: Lowering, grad: Value, y: Value, dim: int, dtype: Any) -> Result:
    total = desk.sum(desk.mul(grad, y), axes_of(dim, len(y.shape)), keep=True)
    return desk.mul(desk.sub(grad, total), y)


def _log_softmax(
    desk: Lowering, x: Value, dim: int, half_to_float: bool = False, **_: Any
) -> Result:
    axes = axes_of(dim, len(x.shape))
    lowered = desk.sub(desk.cast(x, F32), desk.amax(x, axes, keep=True))
    total = desk.sum(desk.unary("exp", lowered), axes, keep=True)
    return desk.sub(lowered, desk.unary("log", total))


def _log_softmax_backward(desk: Lowering, grad: Value, y: Value, dim: int, dtype: Any) -> Result:
    axes = axes_of(dim, len(y.shape))
    spike = desk.one_hot.get(grad.id)
    if spike is not None and axes == (1,):
        # The sum of a row with one element is that element, so no pass over the row is needed.
        return desk.sub(grad, desk.mul(desk.unary("exp", y), spike[1]))
    total = desk.sum(grad, axes, keep=True)
    return desk.sub(grad, desk.mul(desk.unary("exp", y), total))


TABLE: Final[dict[str, Lower]] = {
    "aten.native_layer_norm.default": _layer_norm,
    "aten.native_layer_norm_backward.default": _layer_norm_backward,
    "aten.native_group_norm.default": _group_norm,
    "aten.native_group_norm_backward.default": _group_norm_backward,
    "aten._fused_rms_norm.default": _rms_norm,
    "aten._fused_rms_norm_backward.default": _rms_norm_backward,
    "aten.native_batch_norm.default": _batch_norm,
    "aten.native_batch_norm_backward.default": _batch_norm_backward,
    "aten._softmax.default": _softmax,
    "aten._safe_softmax.default": _safe_softmax,
    "aten._softmax_backward_data.default": _softmax_backward,
    "aten._log_softmax.default": _log_softmax,
    "aten._log_softmax_backward_data.default": _log_softmax_backward,
}
