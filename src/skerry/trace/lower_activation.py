"""Activations and their derivatives.

What    `TABLE`: relu, sigmoid, tanh, silu and gelu, forward and backward.
Why     The derivative recomputes what the value used; equal nodes are one node, so nothing is
        computed twice and the backend chooses what it keeps.
"""

from __future__ import annotations

import math
from typing import Final

from skerry.program import Value
from skerry.trace.lowering import Lower, Lowering, Number, Result

_HALF_ROOT: Final = math.sqrt(0.5)
_DENSITY: Final = 1.0 / math.sqrt(2.0 * math.pi)
_TANH_SCALE: Final = math.sqrt(2.0 / math.pi)
_TANH_CUBE: Final = 0.044715


def _relu(desk: Lowering, x: Value) -> Result:
    return desk.each("max", x, 0, dtype=desk.type.dtype)


def _threshold_backward(desk: Lowering, grad: Value, x: Value, threshold: Number) -> Result:
    return desk.select(desk.each("le", x, threshold), 0.0, grad)


def _leaky_relu(desk: Lowering, x: Value, negative_slope: Number = 0.01) -> Result:
    return desk.select(desk.each("lt", 0.0, x), x, desk.mul(x, float(negative_slope)))


def _leaky_relu_backward(
    desk: Lowering, grad: Value, x: Value, negative_slope: Number, self_is_result: bool
) -> Result:
    return desk.select(desk.each("lt", 0.0, x), grad, desk.mul(grad, float(negative_slope)))


def _hardtanh(desk: Lowering, x: Value, min_val: Number = -1, max_val: Number = 1) -> Result:
    return desk.each("min", desk.each("max", x, float(min_val)), float(max_val))


def _hardtanh_backward(
    desk: Lowering, grad: Value, x: Value, min_val: Number, max_val: Number
) -> Result:
    outside = desk.each(
        "or", desk.each("le", x, float(min_val)), desk.each("le", float(max_val), x)
    )
    return desk.select(outside, 0.0, grad)


def _elu(
    desk: Lowering, x: Value, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1
) -> Result:
    below = desk.sub(desk.unary("exp", desk.mul(x, float(input_scale))), 1.0)
    positive = desk.each("lt", 0.0, x)
    return desk.select(
        positive, desk.mul(x, float(scale)), desk.mul(below, float(alpha) * float(scale))
    )


def _elu_backward(
    desk: Lowering, grad: Value, alpha: Number, scale: Number, input_scale: Number,
    is_result: bool, x: Value,
) -> Result:  # fmt: skip
    steep = float(alpha) * float(scale) * float(input_scale)
    if is_result:
        slope = desk.mul(desk.add(x, float(alpha) * float(scale)), float(input_scale))
    else:
        slope = desk.mul(desk.unary("exp", desk.mul(x, float(input_scale))), steep)
    positive = desk.each("lt", 0.0, x)
    return desk.mul(grad, desk.select(positive, float(scale), slope))


def logistic(desk: Lowering, x: Value) -> Value:
    """Return 1 / (1 + e^-x)."""
    return desk.div(1.0, desk.add(desk.unary("exp", desk.unary("neg", x)), 1.0))


def _sigmoid(desk: Lowering, x: Value) -> Result:
    return logistic(desk, x)


def _sigmoid_backward(desk: Lowering, grad: Value, y: Value) -> Result:
    return desk.mul(grad, desk.mul(desk.sub(1.0, y), y))


def _tanh_backward(desk: Lowering, grad: Value, y: Value) -> Result:
    return desk.mul(grad, desk.sub(1.0, desk.mul(y, y)))


def _silu(desk: Lowering, x: Value) -> Result:
    return desk.mul(x, logistic(desk, x))


def _silu_backward(desk: Lowering, grad: Value, x: Value) -> Result:
    s = logistic(desk, x)
    slope = desk.add(desk.mul(x, desk.sub(1.0, s)), 1.0)
    return desk.mul(grad, desk.mul(s, slope))


def _share_below(desk: Lowering, x: Value) -> Value:
    """Return the normal distribution's share below x."""
    return desk.mul(desk.add(desk.unary("erf", desk.mul(x, _HALF_ROOT)), 1.0), 0.5)


def _tanh_inside(desk: Lowering, x: Value) -> tuple[Value, Value]:
    """Return tanh of the cubic that stands in for erf, and x squared."""
    square = desk.mul(x, x)
    slope = desk.add(desk.mul(square, _TANH_SCALE * _TANH_CUBE), _TANH_SCALE)
    return desk.unary("tanh", desk.mul(x, slope)), square


def _gelu(desk: Lowering, x: Value, *, approximate: str = "none") -> Result:
    if approximate == "none":
        return desk.mul(x, _share_below(desk, x))
    bent, _ = _tanh_inside(desk, x)
    return desk.mul(x, desk.mul(desk.add(bent, 1.0), 0.5))


def _gelu_backward(desk: Lowering, grad: Value, x: Value, *, approximate: str = "none") -> Result:
    if approximate == "none":
        density = desk.unary("exp", desk.mul(desk.mul(x, x), -0.5))
        slope = desk.mul(x, desk.mul(density, _DENSITY))
        return desk.mul(grad, desk.add(_share_below(desk, x), slope))
    bent, square = _tanh_inside(desk, x)
    share = desk.mul(desk.add(bent, 1.0), 0.5)
    inner = desk.add(desk.mul(square, 3.0 * _TANH_SCALE * _TANH_CUBE), _TANH_SCALE)
    steep = desk.mul(desk.sub(1.0, desk.mul(bent, bent)), inner)
    return desk.mul(grad, desk.add(share, desk.mul(desk.mul(x, 0.5), steep)))


TABLE: Final[dict[str, Lower]] = {
    "aten.relu.default": _relu,
    "aten.threshold_backward.default": _threshold_backward,
    "aten.leaky_relu.default": _leaky_relu,
    "aten.leaky_relu_backward.default": _leaky_relu_backward,
    "aten.hardtanh.default": _hardtanh,
    "aten.hardtanh_backward.default": _hardtanh_backward,
    "aten.elu.default": _elu,
    "aten.elu_backward.default": _elu_backward,
    "aten.sigmoid.default": _sigmoid,
    "aten.sigmoid_backward.default": _sigmoid_backward,
    "aten.tanh_backward.default": _tanh_backward,
    "aten.silu.default": _silu,
    "aten.silu_backward.default": _silu_backward,
    "aten.gelu.default": _gelu,
    "aten.gelu_backward.default": _gelu_backward,
}
