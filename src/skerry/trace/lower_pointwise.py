"""Elementwise arithmetic, comparisons and casts.

What    `TABLE`: one formula for each ATen name. Numbers are rounded to the element type of the
        tensor they meet, as PyTorch does.
Why     exp, log, tanh, erf, sin and cos are ops with one fixed meaning; all the rest is spelled
        with IEEE operations, so it needs no definition of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import torch

from skerry.program import BOOL, F32, I64, Value
from skerry.trace.lowering import Lower, Lowering, Number, Operand, Result, Table, dtype_of

_POWERS_MAX: Final = 8
#: From here on every f32 is an integer.
_ALL_WHOLE: Final = float(1 << 23)
_ERFINV_MIDDLE: Final = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_TAIL: Final = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip

# -- arithmetic


def _add(desk: Lowering, a: Operand, b: Operand, *, alpha: Number = 1) -> Result:
    return _sum(desk, "add", a, b, alpha)


def _sub(desk: Lowering, a: Operand, b: Operand, *, alpha: Number = 1) -> Result:
    return _sum(desk, "sub", a, b, alpha)


def _rsub(desk: Lowering, a: Operand, b: Operand, alpha: Number = 1) -> Result:
    return _sum(desk, "sub", b, a, alpha)


def _sum(desk: Lowering, op: str, a: Operand, b: Operand, alpha: Number) -> Value:
    dtype = desk.type.dtype
    if alpha != 1:
        b = desk.each("mul", b, alpha, dtype=dtype)
    return desk.expand(desk.each(op, a, b, dtype=dtype), desk.type.shape)


def _mul(desk: Lowering, a: Operand, b: Operand) -> Result:
    dtype = desk.type.dtype
    if dtype == BOOL:
        return desk.each("and", a, b, dtype=BOOL)
    return desk.mul(a, b) if dtype == F32 else desk.each("mul", a, b, dtype=dtype)


def _div(desk: Lowering, a: Operand, b: Operand, *, rounding_mode: str | None = None) -> Result:
    if rounding_mode is None:
        return desk.div(a, b)
    if desk.type.dtype == F32:
        quotient = desk.div(a, b)
        return (floor if rounding_mode == "floor" else trunc)(desk, quotient)
    down = desk.each("floordiv", a, b, dtype=I64)
    if rounding_mode == "floor":
        return down
    left = desk.each("sub", a, desk.each("mul", down, b, dtype=I64), dtype=I64)
    inexact = desk.negate(desk.each("eq", left, 0, dtype=I64))
    below = desk.each("and", inexact, desk.each("lt", down, 0, dtype=I64), dtype=BOOL)
    return desk.each("add", down, desk.cast(below, I64), dtype=I64)


def _remainder(desk: Lowering, a: Operand, b: Operand) -> Result:
    if desk.type.dtype == I64:
        return desk.each("rem", a, b, dtype=I64)
    return desk.sub(a, desk.mul(floor(desk, desk.div(a, b)), b))


def _pow(desk: Lowering, base: Operand, exponent: Operand) -> Result:
    power = desk.filled(exponent)
    if desk.type.dtype == I64:
        if power is None or not 1 <= power <= _POWERS_MAX:
            raise desk.refuse("an integer power needs a fixed exponent from 1 to 8")
        return _repeated(desk, desk.typed(base, I64), int(power))
    if power is not None and isinstance(base, Value):
        return desk.expand(power_of(desk, desk.cast(base, F32), float(power)), desk.type.shape)
    if not isinstance(base, Value):
        if base <= 0:
            raise desk.refuse("a power of a number that is not positive")
        return desk.unary("exp", desk.mul(exponent, math.log(base)))
    logs = desk.mul(exponent, desk.unary("log", desk.cast(base, F32)))
    return desk.select(desk.each("eq", exponent, 0.0, dtype=F32), 1.0, desk.unary("exp", logs))


def power_of(desk: Lowering, x: Value, power: float) -> Value:
    """Return x to a fixed power, by multiplications and roots where that is exact enough."""
    if power == 0:
        return desk.full(1.0, x.shape, F32)
    if abs(power) <= _POWERS_MAX and power == int(power):
        whole = _repeated(desk, x, abs(int(power)))
        return whole if power > 0 else desk.div(1.0, whole)
    if abs(power) in (0.5, 1.5, 2.5):
        root = desk.unary("sqrt", x)
        rest = int(abs(power))
        root = desk.mul(root, _repeated(desk, x, rest)) if rest else root
        return root if power > 0 else desk.div(1.0, root)
    whole_power = power == int(power)
    size = desk.unary("abs", x) if whole_power else x
    result = desk.unary("exp", desk.mul(desk.unary("log", size), power))
    if whole_power and int(power) % 2:
        return desk.select(desk.each("lt", x, 0.0), desk.unary("neg", result), result)
    return result


def _repeated(desk: Lowering, x: Value, power: int) -> Value:
    result: Value | None = None
    square = x
    while True:
        if power & 1:
            result = square if result is None else desk.each("mul", result, square)
        power >>= 1
        if not power:
            assert result is not None, "a power of zero has no factor"
            return result
        square = desk.each("mul", square, square)


# -- one operand


def _plain(op: str) -> Lower:
    def lower(desk: Lowering, x: Value) -> Result:
        return desk.unary(op, x)

    return lower


def _neg(desk: Lowering, x: Value) -> Result:
    return desk.builder.node("neg", (desk.cast(x, desk.type.dtype),))


def _abs(desk: Lowering, x: Value) -> Result:
    return desk.builder.node("abs", (x,))


def _reciprocal(desk: Lowering, x: Value) -> Result:
    return desk.div(1.0, x)


def _rsqrt(desk: Lowering, x: Value) -> Result:
    return desk.div(1.0, desk.unary("sqrt", x))


def _exp2(desk: Lowering, x: Value) -> Result:
    return desk.unary("exp", desk.mul(x, math.log(2.0)))


def _expm1(desk: Lowering, x: Value) -> Result:
    """Kahan's form: exact where e^x rounds to 1, and without cancellation near it."""
    u = desk.unary("exp", x)
    less = desk.sub(u, 1.0)
    near = desk.div(desk.mul(less, x), desk.unary("log", u))
    small = desk.each("lt", desk.unary("abs", x), 1.0)
    return desk.select(desk.each("eq", u, 1.0), x, desk.select(small, near, less))


def _log1p(desk: Lowering, x: Value) -> Result:
    """Kahan's form: log(u) * x / (u - 1) with u = 1 + x repairs the rounding of u."""
    u = desk.add(x, 1.0)
    log = desk.unary("log", u)
    near = desk.div(desk.mul(log, x), desk.sub(u, 1.0))
    small = desk.each("lt", desk.unary("abs", x), 1.0)
    return desk.select(desk.each("eq", u, 1.0), x, desk.select(small, near, log))


def _horner(desk: Lowering, x: Value, coefficients: Sequence[float]) -> Value:
    """Return the polynomial with these coefficients, highest power first."""
    total: Value = desk.full(coefficients[0], x.shape, F32)
    for coefficient in coefficients[1:]:
        total = desk.add(desk.mul(total, x), coefficient)
    return total


def _erfinv(desk: Lowering, x: Value) -> Result:
    """Giles 2010, "Approximating the erfinv function", in its form for f32."""
    w = desk.unary("neg", desk.unary("log", desk.mul(desk.sub(1.0, x), desk.add(x, 1.0))))
    middle = _horner(desk, desk.sub(w, 2.5), _ERFINV_MIDDLE)
    tail = _horner(desk, desk.sub(desk.unary("sqrt", w), 3.0), _ERFINV_TAIL)
    inside = desk.mul(desk.select(desk.each("lt", w, 5.0), middle, tail), x)
    edge = desk.each("eq", desk.unary("abs", x), 1.0)
    return desk.select(edge, desk.mul(x, math.inf), inside)


def _log_base(base: float) -> Lower:
    def lower(desk: Lowering, x: Value) -> Result:
        return desk.div(desk.unary("log", desk.cast(x, F32)), math.log(base))

    return lower


def _sign(desk: Lowering, x: Value) -> Result:
    dtype = desk.type.dtype
    above = desk.cast(desk.each("lt", 0, x, dtype=dtype), dtype)
    below = desk.cast(desk.each("lt", x, 0, dtype=dtype), dtype)
    return desk.each("sub", above, below, dtype=dtype)


def nearest(desk: Lowering, x: Value) -> Value:
    """Return the nearest whole number, half to even, as f32."""
    whole = desk.builder.cast(desk.builder.cast(x, I64), F32)
    return desk.select(desk.each("lt", desk.unary("abs", x), _ALL_WHOLE), whole, x)


def floor(desk: Lowering, x: Value) -> Value:
    """Return the greatest whole number that is not above x, as f32."""
    whole = nearest(desk, x)
    return desk.sub(whole, desk.cast(desk.each("lt", x, whole), F32))


def trunc(desk: Lowering, x: Value) -> Value:
    """Return x without its fraction, as f32."""
    size = floor(desk, desk.unary("abs", x))
    return desk.select(desk.each("lt", x, 0.0), desk.unary("neg", size), size)


def _floor(desk: Lowering, x: Value) -> Result:
    return floor(desk, x) if x.dtype == F32 else x


def _ceil(desk: Lowering, x: Value) -> Result:
    return desk.unary("neg", floor(desk, desk.unary("neg", x))) if x.dtype == F32 else x


def _trunc(desk: Lowering, x: Value) -> Result:
    return trunc(desk, x) if x.dtype == F32 else x


def _round(desk: Lowering, x: Value) -> Result:
    return nearest(desk, x) if x.dtype == F32 else x


# -- order and truth


def _extreme(op: str) -> Lower:
    def lower(desk: Lowering, a: Operand, b: Operand) -> Result:
        if desk.type.dtype == BOOL:
            return desk.each("or" if op == "max" else "and", a, b, dtype=BOOL)
        return desk.each(op, a, b, dtype=desk.type.dtype)

    return lower


def _clamp(
    desk: Lowering, x: Value, min: Operand | None = None, max: Operand | None = None
) -> Result:
    dtype = desk.type.dtype
    if min is not None:
        x = desk.each("max", x, min, dtype=dtype)
    if max is not None:
        x = desk.each("min", x, max, dtype=dtype)
    return desk.cast(x, dtype)


def _compare(op: str, *, swap: bool = False, turn: bool = False) -> Lower:
    def lower(desk: Lowering, a: Operand, b: Operand) -> Result:
        dtype = desk.promoted(a, b)
        if dtype == BOOL and op != "eq":
            dtype = I64
        result = desk.each(op, *((b, a) if swap else (a, b)), dtype=dtype)
        return desk.negate(result) if turn else result

    return lower


def _logical(op: str) -> Lower:
    def lower(desk: Lowering, a: Operand, b: Operand) -> Result:
        if desk.type.dtype != BOOL:
            raise desk.refuse("bits of integers are not addressed by Programs")
        if op == "xor":
            return desk.negate(desk.each("eq", a, b, dtype=BOOL))
        return desk.each(op, a, b, dtype=BOOL)

    return lower


def _logical_not(desk: Lowering, x: Value) -> Result:
    if desk.type.dtype != BOOL:
        raise desk.refuse("bits of integers are not addressed by Programs")
    return desk.negate(desk.cast(x, BOOL))


def _isnan(desk: Lowering, x: Value) -> Result:
    return desk.negate(desk.each("eq", x, x))


def _isinf(desk: Lowering, x: Value) -> Result:
    return desk.each("eq", desk.unary("abs", x), math.inf)


def _where(desk: Lowering, condition: Value, a: Operand, b: Operand) -> Result:
    return desk.select(condition, a, b, desk.type.dtype)


def _masked_fill(desk: Lowering, x: Value, mask: Value, value: Operand) -> Result:
    return desk.select(mask, value, x, desk.type.dtype)


def _to_copy(desk: Lowering, x: Value, *, dtype: torch.dtype | None = None, **_: Any) -> Result:
    return desk.cast(x, desk.type.dtype if dtype is None else dtype_of(dtype, desk.op))


def _copy(desk: Lowering, _: Value, source: Value, non_blocking: bool = False) -> Result:
    return desk.expand(desk.cast(source, desk.type.dtype), desk.type.shape)


def _overloads(name: str, lower: Lower, overloads: str = "Tensor Scalar") -> Table:
    return {f"aten.{name}.{overload}": lower for overload in overloads.split()}


_UNARY: Final[dict[str, Lower]] = {
    **{op: _plain(op) for op in ("exp", "log", "tanh", "erf", "sin", "cos", "sqrt")},
    "neg": _neg,
    "abs": _abs,
    "reciprocal": _reciprocal,
    "rsqrt": _rsqrt,
    "exp2": _exp2,
    "expm1": _expm1,
    "log1p": _log1p,
    "erfinv": _erfinv,
    "log2": _log_base(2.0),
    "log10": _log_base(10.0),
    "sign": _sign,
    "floor": _floor,
    "ceil": _ceil,
    "trunc": _trunc,
    "round": _round,
    "isnan": _isnan,
    "isinf": _isinf,
    "logical_not": _logical_not,
    "bitwise_not": _logical_not,
    "maximum": _extreme("max"),
    "minimum": _extreme("min"),
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "logical_xor": _logical("xor"),
    "_to_copy": _to_copy,
    "copy": _copy,
}

TABLE: Final[dict[str, Lower]] = {
    **{f"aten.{name}.default": lower for name, lower in _UNARY.items()},
    **_overloads("add", _add),
    **_overloads("sub", _sub),
    **_overloads("rsub", _rsub),
    **_overloads("mul", _mul),
    **_overloads("div", _div, "Tensor Scalar Tensor_mode Scalar_mode"),
    **_overloads("remainder", _remainder, "Tensor Scalar"),
    **_overloads("pow", _pow, "Tensor_Scalar Tensor_Tensor Scalar"),
    **_overloads("clamp", _clamp, "default Tensor"),
    **_overloads("clamp_min", _extreme("max"), "default Tensor"),
    **_overloads("clamp_max", _extreme("min"), "default Tensor"),
    **_overloads("eq", _compare("eq")),
    **_overloads("ne", _compare("eq", turn=True)),
    **_overloads("lt", _compare("lt")),
    **_overloads("le", _compare("le")),
    **_overloads("gt", _compare("lt", swap=True)),
    **_overloads("ge", _compare("le", swap=True)),
    **_overloads("bitwise_and", _logical("and")),
    **_overloads("bitwise_or", _logical("or")),
    **_overloads("bitwise_xor", _logical("xor")),
    **_overloads("where", _where, "self ScalarOther ScalarSelf Scalar"),
    **_overloads("masked_fill", _masked_fill),
}
