"""The rules of one element: every op that works element by element.

What    `rule(op, dtype)` is the function of the elements of the operands; `cast_rule`,
        `real.quantise` and `real.rescale` take an attribute besides.
Why     A backend applies these to every element of a tensor, a judge to one. Both must read the
        same lines.
Units   f32 as its 32 bits, i64 as a signed integer, bool as 0 or 1.
Pure    Integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from skerry.arithmetic import real

Rule: TypeAlias = Callable[..., int]


def wrapped(value: int) -> int:
    """Return the signed 64-bit integer that equals `value` modulo 2^64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def floor_divided(a: int, b: int) -> int:
    """Return floor(a / b), or 0 where b = 0."""
    return 0 if b == 0 else wrapped(a // b)


def remainder(a: int, b: int) -> int:
    """Return a - b * floor(a / b), or 0 where b = 0."""
    return 0 if b == 0 else a % b


ON_F32: Final[dict[str, Rule]] = {
    "add": real.add,
    "sub": real.sub,
    "mul": real.mul,
    "div": real.div,
    "sqrt": real.sqrt,
    "neg": real.neg,
    "abs": real.absolute,
    "max": real.maximum,
    "min": real.minimum,
    "lt": real.less,
    "le": real.less_equal,
    "eq": real.equal,
    "exp": real.exp,
    "log": real.log,
    "tanh": real.tanh,
    "erf": real.erf,
    "sin": real.sin,
    "cos": real.cos,
}
ON_I64: Final[dict[str, Rule]] = {
    "add": lambda a, b: wrapped(a + b),
    "sub": lambda a, b: wrapped(a - b),
    "mul": lambda a, b: wrapped(a * b),
    "neg": lambda a: wrapped(-a),
    "abs": lambda a: wrapped(abs(a)),
    "max": max,
    "min": min,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "floordiv": floor_divided,
    "rem": remainder,
}
ON_BOOL: Final[dict[str, Rule]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "not": lambda a: 1 - a,
    "eq": lambda a, b: a == b,
}
_TABLES: Final = {"f32": ON_F32, "i64": ON_I64, "bool": ON_BOOL}


def rule(op: str, dtype: str) -> Rule:
    """Return the rule of an op on operands of `dtype`; KeyError where there is none."""
    if op == "select":
        return lambda condition, a, b: a if condition else b
    return _TABLES[dtype][op]


def cast_rule(source: str, target: str) -> Rule:
    """Return the rule that turns an element of `source` into one of `target`."""
    if source == target:
        return lambda x: x
    if target == "bool":
        return (lambda x: x & ~real.SIGN != 0) if source == "f32" else (lambda x: x != 0)
    if source == "bool":
        return real.from_integer if target == "f32" else (lambda x: x)
    return real.to_integer if target == "i64" else real.from_integer
