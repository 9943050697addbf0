"""The op set: what each of the ops means, how it rounds and what it costs.

What    `OPS[name]` is the `OpSpec` of one op. The table is the contents page of the arithmetic;
        `skerry.exact.reference` is its meaning in plain integers, and `docs/reference/ops.md` is
        generated from both.
Rule    Every op is total. f32 is IEEE 754 binary32 with subnormals, infinities, -0 and one NaN;
        each f32 op rounds once, half to even, and never contracts with another. i64 wraps.
Pure    A table.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from skerry.program import shapes
from skerry.program.graph import BOOL, F32, I64

Family: TypeAlias = Literal["source", "view", "move", "elementwise", "reduction", "product"]


class OpSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One op.

    Attributes:
        name: the op.
        family: source (reads nothing), view (an index map), move (copies), elementwise,
            reduction or product.
        inputs_min: the fewest operands.
        inputs_max: the most operands.
        attrs: the attribute names, in canonical order.
        rule: the shape rule.
        meaning: the value of one element.
        rounding: how it rounds, or "none".
        weight: basic operations for one element of the value (of the operand, for a reduction).
    """

    name: str
    family: Family
    inputs_min: int
    inputs_max: int
    attrs: tuple[str, ...] = ()
    rule: shapes.Rule
    meaning: str
    rounding: str = "none"
    weight: int = 1


OPERANDS_MAX: Final = 4096
_IEEE = "f32: one IEEE rounding, half to even; i64: modulo 2^64"
_FIXED = "a fixed sequence of IEEE binary64 operations, then one rounding to f32"


def _source(name: str, rule: shapes.Rule, attrs: str, meaning: str, **more: int) -> OpSpec:
    inputs = more.pop("inputs", 0)
    return OpSpec(
        name=name, family="source", inputs_min=inputs, inputs_max=inputs, rule=rule,
        attrs=tuple(attrs.split()), meaning=meaning, weight=more.pop("weight", 0),
    )  # fmt: skip


def _view(name: str, rule: shapes.Rule, attrs: str, meaning: str) -> OpSpec:
    return OpSpec(
        name=name, family="view", inputs_min=1, inputs_max=1, rule=rule,
        attrs=tuple(attrs.split()), meaning=meaning, weight=0,
    )  # fmt: skip


def _each(
    name: str, arity: int, rule: shapes.Rule, meaning: str,
    *, rounding: str = "none", weight: int = 1, attrs: str = "", arity_max: int = 0,
) -> OpSpec:  # fmt: skip
    return OpSpec(
        name=name, family="elementwise", inputs_min=arity, inputs_max=arity_max or arity,
        rule=rule, attrs=tuple(attrs.split()), meaning=meaning, rounding=rounding, weight=weight,
    )  # fmt: skip


def _reduce(name: str, rule: shapes.Rule, attrs: str, meaning: str, weight: int = 1) -> OpSpec:
    return OpSpec(
        name=name, family="reduction", inputs_min=1, inputs_max=1, rule=rule,
        attrs=tuple(attrs.split()), meaning=meaning, weight=weight,
    )  # fmt: skip


_NUMBER = shapes.elementwise(F32, I64)
_REAL = shapes.elementwise(F32)
_WHOLE = shapes.elementwise(I64)
_TRUTH = shapes.elementwise(BOOL)
_ORDER = "f32 in the total order -inf < .. < -0 < +0 < .. < +inf < nan"

_TABLE = (
    _source("input", shapes.input_, "port", "the value given at that port"),
    _source("const", shapes.const, "data dtype shape", "the literal bytes, little-endian"),
    _source("full", shapes.filled, "dtype shape value",
            "one value everywhere; an f32 is given by its 32 bits"),
    _source("iota", shapes.iota, "axis shape", "the index along the axis, i64"),
    _source("uniform", shapes.uniform, "shape stream",
            "element i is (w >> 8) * 2^-24 with w = word i mod 4 of Philox4x32-10 at counter "
            "(low, high 32 bits of i div 4, stream, 0) under key (low, high 32 bits of the seed)",
            inputs=1, weight=12),
    _view("reshape", shapes.reshape, "shape", "the same elements in row-major order"),
    _view("permute", shapes.permute, "axes", "value axis i is operand axis axes[i]"),
    _view("expand", shapes.expand, "shape", "axes of size 1 repeated"),
    _view("slice", shapes.slice_, "limits starts strides",
          "every stride-th index from start to limit"),
    _view("window", shapes.window, "axis dilation size stride",
          "value[.., i, .., k] = operand[.., i * stride + k * dilation, ..], k on a new last axis"),
    OpSpec(name="concat", family="move", inputs_min=1, inputs_max=OPERANDS_MAX,
           rule=shapes.concat, attrs=("axis",), meaning="the operands end to end along the axis"),
    OpSpec(name="pad", family="move", inputs_min=1, inputs_max=1, rule=shapes.pad,
           attrs=("high", "interior", "low", "value"),
           meaning="low and high elements of the value added (negative: dropped) at the ends of "
           "each axis and interior ones between neighbours"),
    OpSpec(name="take", family="move", inputs_min=2, inputs_max=2, rule=shapes.take,
           meaning="row index[..] of the operand; a row out of range is zero"),
    OpSpec(name="cumsum", family="reduction", inputs_min=1, inputs_max=1, rule=shapes.cumsum,
           attrs=("axis",), meaning="the running sum along the axis, modulo 2^64"),
    _each("add", 2, _NUMBER, "a + b", rounding=_IEEE),
    _each("sub", 2, _NUMBER, "a - b", rounding=_IEEE),
    _each("mul", 2, _NUMBER, "a * b", rounding=_IEEE),
    _each("div", 2, _REAL, "a / b", rounding=_IEEE, weight=4),
    _each("sqrt", 1, _REAL, "the square root; nan below zero, sqrt(-0) = -0",
          rounding=_IEEE, weight=4),
    _each("neg", 1, _NUMBER, "the sign turned (f32: also of 0)"),
    _each("abs", 1, _NUMBER, "the sign cleared"),
    _each("max", 2, _NUMBER, f"the greater; {_ORDER}"),
    _each("min", 2, _NUMBER, f"the lesser; {_ORDER}, but nan if either is nan"),
    _each("floordiv", 2, _WHOLE, "floor(a / b); 0 where b = 0", weight=8),
    _each("rem", 2, _WHOLE, "a - b * floor(a / b); 0 where b = 0", weight=8),
    _each("lt", 2, shapes.comparison(F32, I64), "a < b; false if either is nan"),
    _each("le", 2, shapes.comparison(F32, I64), "a <= b; false if either is nan"),
    _each("eq", 2, shapes.comparison(F32, I64, BOOL), "a = b; false if either is nan, -0 = +0"),
    _each("and", 2, _TRUTH, "both"),
    _each("or", 2, _TRUTH, "either"),
    _each("not", 1, _TRUTH, "the other"),
    _each("select", 3, shapes.select, "b where the condition a holds, else c"),
    _each("cast", 1, shapes.cast, "f32 to i64: nearest integer, half to even, nan to 0, clamped to "
          "+-2^62; i64 to f32: nearest; to bool: not equal to 0 (nan is not); from bool: 0 or 1",
          rounding="half to even", attrs="to"),
    _each("exp", 1, _REAL, "e^x", rounding=_FIXED, weight=20),
    _each("log", 1, _REAL, "the natural logarithm; log(0) = -inf, nan below",
          rounding=_FIXED, weight=20),
    _each("tanh", 1, _REAL, "the hyperbolic tangent", rounding=_FIXED, weight=24),
    _each("erf", 1, _REAL, "the error function", rounding=_FIXED, weight=30),
    _each("sin", 1, _REAL, "the sine; nan of an infinity", rounding=_FIXED, weight=24),
    _each("cos", 1, _REAL, "the cosine; nan of an infinity", rounding=_FIXED, weight=24),
    _each("quantise", 2, shapes.quantise, "round(x * 2^(bits - 1 - e)); 0 where e = 129",
          rounding="half to even, to an integer", weight=3, attrs="bits"),
    _each("rescale", 2, shapes.rescale, "d * 2^(e1 + e2 - shift); nan where an e is 129",
          rounding="one IEEE rounding to f32", weight=3, attrs="shift", arity_max=3),
    _reduce("exponent", shapes.exponent, "axes", "the least e >= -125 so that every finite |x| is "
            "below 2^e, read from the exponent fields; 129 if any x is nan or infinite; axes kept"),
    _reduce("sum", shapes.reduction(I64), "axes", "the exact sum, modulo 2^64; axes dropped"),
    _reduce("amax", shapes.reduction(F32), "axes", f"the greatest; {_ORDER}; axes dropped"),
    _reduce("argmax", shapes.argmax, "axis", f"the lowest index of the greatest; {_ORDER}"),
    _reduce("topk", shapes.topk, "k", "the indices of the k greatest along the last axis, greatest "
            f"first and of equals the lowest index first; {_ORDER}", weight=16),
    OpSpec(name="scatter_add", family="reduction", inputs_min=2, inputs_max=2,
           rule=shapes.scatter_add, attrs=("size",),
           meaning="row n is the exact sum of the rows of v whose index is n, modulo 2^64"),
    OpSpec(name="dot", family="product", inputs_min=2, inputs_max=2, rule=shapes.dot,
           meaning="the exact sum over k of a[.., m, k] * b[.., n, k]", weight=2),
)  # fmt: skip

OPS: Final[dict[str, OpSpec]] = {spec.name: spec for spec in _TABLE}
