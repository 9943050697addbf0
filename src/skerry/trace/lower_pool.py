"""Pooling and nearest-neighbour resizing.

What    `TABLE`: max and average pooling and their backward, adaptive average pooling by whole
        ratios, and nearest resizing by whole factors.
Why     The gradient of a pool goes back by views where windows do not overlap, and by one shifted
        addition a tap where they do: no index is ever scattered.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from skerry.program import F32, Value
from skerry.trace.lower_conv import Geometry
from skerry.trace.lowering import Lower, Lowering, Result

_TAPS_ADDED_MAX: Final = 16


def _pair(given: Sequence[int] | int, rank: int = 2) -> tuple[int, ...]:
    wide = (given,) if isinstance(given, int) else tuple(given)
    return wide * (rank if len(wide) == 1 else 1)


def _pool(
    desk: Lowering, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Geometry:
    if ceil_mode:
        raise desk.refuse("pooling with ceil_mode", "pad the image, and pool without ceil_mode")
    sizes = _pair(kernel)
    return Geometry(sizes, _pair(stride or sizes), _pair(padding), _pair(dilation), 1)


def _images(desk: Lowering, x: Value) -> Value:
    return x if len(x.shape) == 4 else desk.reshape(x, (1, *x.shape))


def _taps(desk: Lowering, x: Value, geometry: Geometry, outside: float) -> Value:
    """Return the windows of images as [N, C, O0, O1, k0 * k1]."""
    edge = (0, 0, *geometry.padding)
    wide = desk.builder.pad(x, edge, edge, number=outside)
    for axis in range(2):
        wide = desk.builder.window(
            wide, 2 + axis, geometry.kernel[axis], geometry.stride[axis], geometry.dilation[axis]
        )
    return desk.reshape(wide, (*wide.shape[:4], math.prod(geometry.kernel)))


def _back(desk: Lowering, taps: Value, geometry: Geometry, size: Sequence[int]) -> Value:
    """Return the sum, for each pixel, of what the windows [N, C, O0, O1, k] give it."""
    n, c, o0, o1, _ = taps.shape
    k0, k1 = geometry.kernel
    disjoint = all(
        geometry.stride[axis] >= geometry.kernel[axis] and geometry.dilation[axis] == 1
        for axis in range(2)
    )
    if disjoint:
        s0, s1 = geometry.stride
        apart = desk.reshape(taps, (n, c, o0, o1, k0, k1))
        apart = desk.builder.pad(apart, (0,) * 6, (0, 0, 0, 0, s0 - k0, s1 - k1))
        image = desk.reshape(desk.permute(apart, (0, 1, 2, 4, 3, 5)), (n, c, o0 * s0, o1 * s1))
        low = [-edge for edge in geometry.padding]
        high = [size[axis] - image.shape[2 + axis] - low[axis] for axis in range(2)]
        return desk.builder.pad(image, (0, 0, *low), (0, 0, *high))
    total: Value | None = None
    for at, tap in enumerate(product(range(k0), range(k1))):
        one = desk.reshape(desk.slice_axis(taps, 4, at, at + 1), (n, c, o0, o1))
        low = [tap[axis] * geometry.dilation[axis] - geometry.padding[axis] for axis in range(2)]
        gaps = [geometry.stride[axis] - 1 for axis in range(2)]
        high = [
            size[axis] - low[axis] - 1 - (one.shape[2 + axis] - 1) * geometry.stride[axis]
            for axis in range(2)
        ]
        placed = desk.builder.pad(one, (0, 0, *low), (0, 0, *high), (0, 0, *gaps))
        total = placed if total is None else desk.add(total, placed)
    assert total is not None, "a kernel has at least one tap"
    return total


# -- max


def _max_pool(
    desk: Lowering, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> Result:  # fmt: skip
    geometry = _pool(desk, kernel, stride, padding, dilation, ceil_mode)
    images = _images(desk, x)
    taps = _taps(desk, images, geometry, -math.inf)
    top = desk.builder.reduce("amax", taps, (4,))
    tap = desk.builder.node("argmax", (taps,), axis=4)
    width, k1 = images.shape[3], geometry.kernel[1]
    places = [
        desk.each(
            "add",
            desk.each("mul", desk.builder.iota(tap.shape, 2 + axis), geometry.stride[axis]),
            desk.each(
                "sub", desk.each("mul", step, geometry.dilation[axis]), geometry.padding[axis]
            ),
        )
        for axis, step in enumerate((desk.each("floordiv", tap, k1), desk.each("rem", tap, k1)))
    ]
    index = desk.each("add", desk.each("mul", places[0], width), places[1])
    shape = desk.types[0].shape
    return desk.reshape(top, shape), desk.reshape(index, shape)


def _max_pool_backward(
    desk: Lowering, grad: Value, x: Value, kernel: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool, indices: Value,
) -> Result:  # fmt: skip
    geometry = _pool(desk, kernel, stride, padding, dilation, ceil_mode)
    images = _images(desk, x)
    taps = _taps(desk, images, geometry, -math.inf)
    tap = desk.builder.node("argmax", (taps,), axis=4)
    chosen = desk.each("eq", desk.builder.iota(taps.shape, 4), desk.reshape(tap, (*tap.shape, 1)))
    given = desk.select(chosen, desk.reshape(grad, (*tap.shape, 1)), 0.0)
    return desk.reshape(_back(desk, given, geometry, images.shape[2:]), x.shape)


# -- average


def _inverse_counts(
    desk: Lowering, geometry: Geometry, size: Sequence[int], count: Sequence[int],
    include_pad: bool, divisor: int | None,
) -> Value | float:  # fmt: skip
    """Return the number of terms of each window: one number, or a constant [1, 1, O0, O1]."""
    if divisor is not None:
        return float(divisor)
    if include_pad or not any(geometry.padding):
        return float(math.prod(geometry.kernel))
    lengths = [
        [
            min(at * geometry.stride[axis] - geometry.padding[axis] + geometry.kernel[axis],
                size[axis]) - max(at * geometry.stride[axis] - geometry.padding[axis], 0)
            for at in range(count[axis])
        ]
        for axis in range(2)
    ]  # fmt: skip
    terms = [float(a * b) for a in lengths[0] for b in lengths[1]]
    return desk.builder.const(struct.pack(f"<{len(terms)}f", *terms), F32, (1, 1, *count))


def _average(
    desk: Lowering, x: Value, geometry: Geometry, include_pad: bool, divisor: int | None
) -> Value:
    images = _images(desk, x)
    taps = _taps(desk, images, geometry, 0.0)
    terms = taps.shape[4]
    if terms <= _TAPS_ADDED_MAX:
        total = desk.reshape(desk.slice_axis(taps, 4, 0, 1), taps.shape[:4])
        for at in range(1, terms):
            one = desk.reshape(desk.slice_axis(taps, 4, at, at + 1), taps.shape[:4])
            total = desk.add(total, one)
    else:
        total = desk.sum(taps, (4,))
    counts = _inverse_counts(
        desk, geometry, images.shape[2:], taps.shape[2:4], include_pad, divisor
    )
    return desk.div(total, counts)


def _avg_pool(
    desk: Lowering, x: Value, kernel: Any, stride: Any = (), padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Result:  # fmt: skip
    geometry = _pool(desk, kernel, stride, padding, 1, ceil_mode)
    y = _average(desk, x, geometry, count_include_pad, divisor_override)
    return desk.reshape(y, desk.type.shape)


def _avg_pool_backward(
    desk: Lowering, grad: Value, x: Value, kernel: Any, stride: Any, padding: Any,
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> Result:  # fmt: skip
    geometry = _pool(desk, kernel, stride, padding, 1, ceil_mode)
    images, dy = _images(desk, x), _images(desk, grad)
    counts = _inverse_counts(
        desk, geometry, images.shape[2:], dy.shape[2:], count_include_pad, divisor_override
    )
    return _shared(desk, desk.div(dy, counts), geometry, x)


def _shared(desk: Lowering, share: Value, geometry: Geometry, x: Value) -> Value:
    """Return the gradient of x when every tap of a window gets the same share."""
    taps = math.prod(geometry.kernel)
    wide = desk.expand(desk.reshape(share, (*share.shape, 1)), (*share.shape, taps))
    return desk.reshape(_back(desk, wide, geometry, _images(desk, x).shape[2:]), x.shape)


def _ratio(desk: Lowering, size: Sequence[int], count: Sequence[int]) -> Geometry:
    if any(a % b for a, b in zip(size, count, strict=True)):
        raise desk.refuse(
            f"adaptive pooling of {tuple(size)} to {tuple(count)}", "choose a size that divides it"
        )
    sizes = tuple(a // b for a, b in zip(size, count, strict=True))
    return Geometry(sizes, sizes, (0, 0), (1, 1), 1)


def _adaptive(desk: Lowering, x: Value, count: Sequence[int]) -> Result:
    geometry = _ratio(desk, x.shape[-2:], count)
    return desk.reshape(_average(desk, x, geometry, True, None), desk.type.shape)


def _adaptive_backward(desk: Lowering, grad: Value, x: Value) -> Result:
    geometry = _ratio(desk, x.shape[-2:], grad.shape[-2:])
    share = desk.div(_images(desk, grad), float(math.prod(geometry.kernel)))
    return _shared(desk, share, geometry, x)


# -- nearest resizing


def _nearest(desk: Lowering, x: Value, size: Sequence[int], *_: Any) -> Result:
    geometry = _ratio(desk, size, x.shape[-2:])
    n, c, h, w = x.shape
    k0, k1 = geometry.kernel
    wide = desk.expand(desk.reshape(x, (n, c, h, 1, w, 1)), (n, c, h, k0, w, k1))
    return desk.reshape(wide, (n, c, *size))


def _nearest_backward(
    desk: Lowering, grad: Value, size: Sequence[int], input_size: Sequence[int], *_: Any
) -> Result:
    geometry = _ratio(desk, size, input_size[-2:])
    return desk.sum(_taps(desk, grad, geometry, 0.0), (4,))


TABLE: Final[dict[str, Lower]] = {
    "aten.max_pool2d_with_indices.default": _max_pool,
    "aten.max_pool2d_with_indices_backward.default": _max_pool_backward,
    "aten.avg_pool2d.default": _avg_pool,
    "aten.avg_pool2d_backward.default": _avg_pool_backward,
    "aten._adaptive_avg_pool2d.default": _adaptive,
    "aten._adaptive_avg_pool2d_backward.default": _adaptive_backward,
    "aten.upsample_nearest2d.default": _nearest,
    "aten.upsample_nearest2d_backward.default": _nearest_backward,
}
