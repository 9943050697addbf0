"""Convolutions in one and two dimensions, by windows over integers.

What    `TABLE`: aten.convolution and its backward, with stride, padding, dilation, groups, and
        transposed.
Why     Unfolding f32 and scaling each row would quantise every pixel as often as the kernel is
        large. One exponent an image (a channel, for the gradient of the weight) lets every pixel be
        quantised once and the windows be views of integers, which a backend may walk in place.
Pattern The three products are one shape of nodes, on which backends may rely (g = groups; every
        step that would change nothing is left out, and with g = 1 the leading group axis is too):

            e = exponent(x; axes)        axes = all but 0 (forward, input), all but 1 (weight)
            q = quantise(pad(x), expand(e))
            w = window(window(q; axis 2, k0, s0, d0); axis 3, k1, s1, d1)   [N, C, O0, O1, k0, k1]
            p = reshape(w)                                          [N, g, C/g, O0, O1, k0, k1]
            forward, input   permute to (g, N, O0, O1, C/g, k0, k1), reshape [g, N*O0*O1, C/g*k0*k1]
            weight           permute to (g, C/g, k0, k1, N, O0, O1), reshape [g, C/g*k0*k1, N*O0*O1]
            d = dot(columns, kernel) for forward and input; dot(kernel, columns) for weight
            y = rescale(d, exponents)

        The kernel operand is quantise(reshape(weight)) [g, O/g, C/g*k0*k1] for forward; the same
        of the weight turned (kernel reversed, O and C exchanged) for input; and of dy as
        [g, O/g, N*O0*O1] for weight. For input, the padded x is dy with stride - 1 zeros between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skerry.program import Value
from skerry.trace.lower_view import flipped
from skerry.trace.lowering import Lower, Lowering, Result


@dataclass(frozen=True, slots=True)
class Geometry:
    """How windows lie on an image: one entry a spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.kernel)

    def span(self, axis: int) -> int:
        """The reach of a window along an axis, less one."""
        return self.dilation[axis] * (self.kernel[axis] - 1)

    def windows(self, axis: int, size: int) -> int:
        """The number of windows along an axis of `size` elements."""
        return (size + 2 * self.padding[axis] - self.span(axis) - 1) // self.stride[axis] + 1


def _columns(
    desk: Lowering, x: Value, geometry: Geometry, count: Sequence[int],
    edges: tuple[Sequence[int], Sequence[int], Sequence[int]], bits: int, *, by_channel: bool,
) -> tuple[Value, Value]:  # fmt: skip
    """Return the windows of the quantised x as a matrix of integers, and the exponents.

    The matrix is [g, N * windows, C/g * kernel], or turned for `by_channel`.
    """
    b, rank, groups = desk.builder, geometry.rank, geometry.groups
    axes = [at for at in range(rank + 2) if at != (1 if by_channel else 0)]
    e = b.exponent(x, axes)
    low, high, interior = ((0, 0, *edge) for edge in edges)
    q = b.quantise(b.pad(x, low, high, interior), e, bits)
    for axis in range(rank):
        q = b.window(q, 2 + axis, geometry.kernel[axis], geometry.stride[axis],
                     geometry.dilation[axis])  # fmt: skip
        q = b.slice_axis(q, 2 + axis, 0, count[axis])
    n, channels = x.shape[:2]
    shape = (n, groups, channels // groups, *count, *geometry.kernel)
    apart = desk.reshape(q, shape if groups > 1 else (n, channels, *count, *geometry.kernel))
    first = 2 if groups > 1 else 1
    places, taps = range(first + 1, first + 1 + rank), range(first + 1 + rank, first + 1 + 2 * rank)
    lead = (1,) if groups > 1 else ()
    rows, inside = n * math.prod(count), channels // groups * math.prod(geometry.kernel)
    if by_channel:
        turned, matrix = desk.permute(apart, (*lead, first, *taps, 0, *places)), (inside, rows)
    else:
        turned, matrix = desk.permute(apart, (*lead, 0, *places, first, *taps)), (rows, inside)
    return desk.reshape(turned, ((groups,) if groups > 1 else ()) + matrix), e


def _spread(desk: Lowering, e: Value, shape: Sequence[int], target: Sequence[int]) -> Value:
    """Return exponents repeated to `shape` and reshaped to `target`."""
    return desk.reshape(desk.expand(e, shape), target)


def _kernel_rows(desk: Lowering, weight: Value, groups: int, bits: int) -> tuple[Value, Value]:
    """Return the integers and exponents of a weight [O, ..] as rows [g, O/g, K]."""
    outputs, terms = weight.shape[0], weight.type.elements // weight.shape[0]
    shape = (groups, outputs // groups, terms) if groups > 1 else (outputs, terms)
    rows = desk.reshape(weight, shape)
    e = desk.builder.exponent(rows, (len(shape) - 1,))
    return desk.builder.quantise(rows, e, bits), e


def _windowed_product(
    desk: Lowering, x: Value, weight: Value, geometry: Geometry, count: Sequence[int],
    edges: tuple[Sequence[int], Sequence[int], Sequence[int]],
) -> Value:  # fmt: skip
    """Return the products of the windows of x with a weight [O, C/g, *kernel]: [N, O, *count]."""
    b, groups = desk.builder, geometry.groups
    n, outputs = x.shape[0], weight.shape[0]
    bits = b.profile.matmul_bits(weight.type.elements // outputs)
    columns, e_image = _columns(desk, x, geometry, count, edges, bits, by_channel=False)
    kernel, e_kernel = _kernel_rows(desk, weight, groups, bits)
    d = b.node("dot", (columns, kernel))
    lead, rows = ((groups,) if groups > 1 else ()), n * math.prod(count)
    e_rows = _spread(
        desk,
        desk.reshape(e_image, (n, 1)),
        (n, math.prod(count)),
        ((1,) if lead else ()) + (rows, 1),
    )
    y = b.rescale(d, e_rows, desk.transpose(e_kernel), shift=2 * (bits - 1))
    apart = desk.reshape(y, (*lead, n, *count, outputs // groups))
    if groups == 1:
        return desk.permute(apart, (0, geometry.rank + 1, *range(1, geometry.rank + 1)))
    turned = desk.permute(apart, (1, 0, geometry.rank + 2, *range(2, geometry.rank + 2)))
    return desk.reshape(turned, (n, outputs, *count))


def forward(desk: Lowering, x: Value, weight: Value, geometry: Geometry) -> Value:
    """Return the convolution of x [N, C, ..] with a weight [O, C/g, ..]."""
    count = [geometry.windows(axis, size) for axis, size in enumerate(x.shape[2:])]
    edges = (geometry.padding, geometry.padding, (0,) * geometry.rank)
    return _windowed_product(desk, x, weight, geometry, count, edges)


def input_gradient(
    desk: Lowering, dy: Value, weight: Value, geometry: Geometry, size: Sequence[int]
) -> Value:
    """Return the gradient [N, C, *size] of x: every window gives back what it read."""
    groups, rank = geometry.groups, geometry.rank
    outputs, inside = weight.shape[0], weight.shape[1]
    # Reverse the kernel and exchange outputs with inputs: [C, O/g, *kernel].
    flat = desk.reshape(weight, (groups, outputs // groups, inside, math.prod(geometry.kernel)))
    turned = desk.permute(flipped(desk, flat, 3), (0, 2, 1, 3))
    turned = desk.reshape(turned, (groups * inside, outputs // groups, *geometry.kernel))
    low = [geometry.span(axis) - geometry.padding[axis] for axis in range(rank)]
    interior = [step - 1 for step in geometry.stride]
    high = [
        size[axis] + geometry.span(axis) - low[axis] - 1
        - (dy.shape[2 + axis] - 1) * geometry.stride[axis]
        for axis in range(rank)
    ]  # fmt: skip
    plain = Geometry(geometry.kernel, (1,) * rank, (0,) * rank, geometry.dilation, groups)
    return _windowed_product(desk, dy, turned, plain, size, (low, high, interior))


def weight_gradient(desk: Lowering, x: Value, dy: Value, geometry: Geometry) -> Value:
    """Return the gradient [O, C/g, *kernel] of the weight; one exponent a channel."""
    b, groups = desk.builder, geometry.groups
    (n, channels), outputs, count = x.shape[:2], dy.shape[1], dy.shape[2:]
    terms = n * math.prod(count)
    bits = b.profile.matmul_bits(terms)
    edges = (geometry.padding, geometry.padding, (0,) * geometry.rank)
    columns, e_x = _columns(desk, x, geometry, count, edges, bits, by_channel=True)
    e_dy = b.exponent(dy, [at for at in range(len(dy.shape)) if at != 1])
    q_dy = b.quantise(dy, e_dy, bits)
    rows = desk.permute(q_dy, (1, 0, *range(2, len(dy.shape))))
    lead = (groups,) if groups > 1 else ()
    rows = desk.reshape(rows, (*lead, outputs // groups, terms))
    d = b.node("dot", (rows, columns))
    taps, inside = math.prod(geometry.kernel), channels // groups
    e_columns = _spread(
        desk, desk.reshape(e_x, (channels, 1)), (channels, taps), (*lead, 1, inside * taps)
    )
    e_rows = desk.reshape(e_dy, (*lead, outputs // groups, 1))
    dw = b.rescale(d, e_rows, e_columns, shift=2 * (bits - 1))
    return desk.reshape(dw, (outputs, inside, *geometry.kernel))


# -- the ATen operations


def _geometry(
    weight: Value, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    groups: int,
) -> Geometry:  # fmt: skip
    kernel = weight.shape[2:]

    def wide(given: Sequence[int]) -> tuple[int, ...]:
        return tuple(given) * (len(kernel) if len(given) == 1 else 1)

    return Geometry(kernel, wide(stride), wide(padding), wide(dilation), groups)


def _convolution(
    desk: Lowering, x: Value, weight: Value, bias: Value | None, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], transposed: bool,
    output_padding: Sequence[int], groups: int,
) -> Result:  # fmt: skip
    _check(desk, x)
    geometry = _geometry(weight, stride, padding, dilation, groups)
    if transposed:
        y = input_gradient(desk, x, weight, geometry, desk.type.shape[2:])
    else:
        y = forward(desk, x, weight, geometry)
    if bias is None:
        return y
    return desk.add(y, desk.reshape(bias, (1, bias.shape[0], *(1,) * geometry.rank)))


def _convolution_backward(
    desk: Lowering, dy: Value, x: Value, weight: Value, bias_sizes: Sequence[int] | None,
    stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], transposed: bool,
    output_padding: Sequence[int], groups: int, mask: Sequence[bool],
) -> Result:  # fmt: skip
    _check(desk, x)
    geometry = _geometry(weight, stride, padding, dilation, groups)
    dx = dw = None
    if mask[0]:
        dx = (
            forward(desk, dy, weight, geometry) if transposed
            else input_gradient(desk, dy, weight, geometry, x.shape[2:])
        )  # fmt: skip
    if mask[1]:
        wide, narrow = (dy, x) if transposed else (x, dy)
        dw = weight_gradient(desk, wide, narrow, geometry)
    db = desk.sum(dy, [at for at in range(len(dy.shape)) if at != 1]) if mask[2] else None
    return dx, dw, db


def _check(desk: Lowering, x: Value) -> None:
    if len(x.shape) not in (3, 4):
        raise desk.refuse(
            "a convolution over three axes", "use one or two spatial axes, and a batch axis"
        )


TABLE: Final[dict[str, Lower]] = {
    "aten.convolution.default": _convolution,
    "aten.convolution_backward.default": _convolution_backward,
}
