"""Quantised updates as nodes: every parameter's drift, rounded to a level of its tensor.

What    `quantise` rounds a flat error to levels and one scale for each tensor, `dequantise` makes
        the dense update from them. `codec` builds its encode and merge Programs of them.
Why     After many local steps a drift has lost the few directions that it had at first, and what is
        left out too often is missed. Rounded coarsely, all of it costs a bit a parameter, and what
        rounding lost is no more than was sent.
Rule    A level is `level_width` roots of the mean square of its tensor's error wide, but no wider
        than its largest magnitude, so that the largest is always sent. A magnitude below `SMALLEST`
        of a width is level 0, one more width is one more level, up to `LEVEL_MAX`. The scale is the
        one of the least squared error for these levels, rounded.
Source  Sullivan 1996, "Efficient scalar quantization of exponential and Laplacian random
        variables": at few bits, steps of one width with a wider zone of 0 lose almost nothing.
Legend  S = tensors, P = parameters, L = lanes, n = elements of one tensor.
Pure    Nodes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skerry.program import F32, I64, Builder, Layout, Value
from skerry.train.levels import LEVEL_MAX
from skerry.train.scales import rounded

#: The least magnitude that is not level 0, in widths of a level.
SMALLEST: Final = 0.65
#: Narrower levels would let a normal draw reach beyond `LEVEL_MAX` often.
LEVEL_WIDTH_MIN: Final = 0.25


def quantise(b: Builder, error_P: Value, layout: Layout, level_width: float) -> dict[str, Value]:
    """Return "levels" i64[P] and "scales" f32[S] of an update, as `train.levels` has them."""
    levels, scales = [], []
    for slot in layout.slots:
        error_n = b.slice(error_P, (slot.offset,), (slot.offset + slot.elements,))
        levels_n = _levels(b, error_n, level_width)
        levels.append(levels_n)
        scales.append(_scale(b, error_n, b.cast(levels_n, F32)))
    return {"levels": b.concat(levels, 0), "scales": b.concat(scales, 0)}


def dequantise(b: Builder, sent: Mapping[str, Value], layout: Layout) -> Value:
    """Return the dense updates f32[L, P] that levels i64[L, P] and scales f32[L, S] stand for."""
    levels_LP = b.cast(sent["levels"], F32)
    dense = []
    for at, slot in enumerate(layout.slots):
        levels_Ln = b.slice_axis(levels_LP, 1, slot.offset, slot.offset + slot.elements)
        dense.append(b.mul(levels_Ln, b.slice_axis(sent["scales"], 1, at, at + 1)))
    return b.concat(dense, 1)


def _levels(b: Builder, error_n: Value, level_width: float) -> Value:
    mean_1 = b.mean_f32(b.mul(error_n, error_n), (0,), keep=True)
    magnitude_n = b.node("abs", (error_n,))
    largest_1 = b.reduce("amax", magnitude_n, (0,), keep=True)
    width_1 = b.each("min", b.mul(b.node("sqrt", (mean_1,)), level_width), largest_1)
    # Nearest to |e| / width less what 0 has more than half a width; what is not a number is 0.
    above_n = b.sub(b.div(magnitude_n, width_1), SMALLEST - 0.5)
    size_n = b.each("min", b.cast(above_n, I64), LEVEL_MAX)
    return b.select(b.each("lt", error_n, 0.0), b.node("neg", (size_n,)), size_n)


def _scale(b: Builder, error_n: Value, levels_n: Value) -> Value:
    """Return f32[1]; never negative, since each level has the sign of what it was rounded from."""
    above_1 = b.sum_f32(b.mul(error_n, levels_n), (0,), keep=True)
    below_1 = b.sum_f32(b.mul(levels_n, levels_n), (0,), keep=True)
    return rounded(b, b.div(above_1, b.each("max", below_1, 1.0)), 0)
