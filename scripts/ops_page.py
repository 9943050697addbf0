"""The reference page of the op set, read off the op table, the reference and its sequences.

What    `ops_page()` is the text of docs/reference/ops.md: for every op its operands, shape rule,
        meaning, rounding, integer bound and cost, then the rules of one element as code.
Why     Whoever writes another backend, or a judge, should need this page and the golden vectors and
        nothing else.
Pure    Strings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final

from skerry.arithmetic import elements, real, scalar
from skerry.exact import reference, reference_shapes
from skerry.exact.golden import golden_cases
from skerry.program import OPS, OpSpec, shapes
from skerry.program.bounds import CARRIER_MAX

_INTRODUCTION: Final = """\
# Ops

A Program is a list of nodes; each names one of these ops. This page, with the
[golden vectors](../../tests/golden/ops), is the whole specification of their values: a backend that
gives these bits conforms, whatever its order, tiling, threads or device.

## Values

- **f32** is IEEE 754 binary32 with subnormals, infinities, -0 and one NaN, `0x7fc00000`. Each f32
  op rounds once, to nearest, ties to even. No two ops contract into one (no fused multiply-add).
- **i64** is a 64-bit integer; add, sub, mul, neg, abs, sum, cumsum and scatter_add wrap modulo
  2^64.
- **bool** is 0 or 1.
- Every op is total: it has a value for every operand. Elements stand in row-major order.
- A shape is static; elementwise operands have equal shapes, and `expand` is an op of its own.

## Exact products and sums

A matrix product is `exponent` of each row, `quantise` of both operands to integers of `bits` bits,
`dot`, and `rescale`. A sum of f32 is `exponent`, `quantise`, `sum`, `rescale`. Each i64 value has a
**bound**, a number that no |element| exceeds whatever the Program is given; a Program in which the
integer of a `dot` or a `rescale` could exceed 2^53 is refused. So every partial sum, in any order,
is an integer that a binary64 holds, and float64 GEMMs, float32 GEMMs on 8-bit digits and integer
units all give the same one.

A value of role "state" that leaves a unit must be finite; otherwise the unit is refused.

## Cost

`weight` is the number of basic operations counted for one element of the value (for a reduction, of
the operand). It prices a unit; it is not a time.
"""

_BOUNDS: Final[dict[str, str]] = {
    "quantise": "2^(bits - 1)",
    "full": "the absolute value",
    "iota": "the size of the axis",
    "argmax": "the elements of the operand",
    "topk": "the elements of the operand",
    "exponent": "129",
    "cast": "1 from bool, otherwise none",
    "pad": "the greater of the operand's and of |value|",
    "concat": "the greatest of the operands'",
    "max": "the greatest of the operands'",
    "min": "the greatest of the operands'",
    "select": "the greatest of the branches'",
    "add": "the sum of the operands'",
    "sub": "the sum of the operands'",
    "mul": "the product of the operands'",
    "sum": "the operand's times the terms of one sum",
    "scatter_add": "that of v times its rows",
    "dot": f"K times both operands'; at most 2^{CARRIER_MAX.bit_length() - 1}",
    **dict.fromkeys(
        ("reshape", "permute", "expand", "slice", "window", "neg", "abs", "take"), "the operand's"
    ),
}
_FAMILIES: Final = {
    "source": "Sources",
    "view": "Views",
    "move": "Moves",
    "elementwise": "Elementwise",
    "reduction": "Reductions",
    "product": "Products",
}


def _operands(spec: OpSpec) -> str:
    if spec.inputs_max == 0:
        return "none"
    if spec.inputs_min == spec.inputs_max:
        return str(spec.inputs_min)
    return f"{spec.inputs_min} to {spec.inputs_max}"


def _op_lines(spec: OpSpec) -> list[str]:
    rule = inspect.getdoc(spec.rule) or ""
    attributes = ", ".join(f"`{name}`" for name in spec.attrs) or "none"
    lines = [f"### {spec.name}", "", f"{spec.meaning[0].upper()}{spec.meaning[1:]}.", ""]
    lines += [f"- operands: {_operands(spec)}; attributes: {attributes}"]
    if rule.startswith("Type the value"):
        lines += [f"- shape: {rule.splitlines()[0].removeprefix('Type the value of ').rstrip('.')}"]
    lines += [f"- rounding: {spec.rounding}", f"- weight: {spec.weight}"]
    if spec.name in _BOUNDS:
        lines += [f"- bound of an i64 value: {_BOUNDS[spec.name]}"]
    if spec.name != "input":
        goldens = golden_cases(spec.name)
        elements = sum(golden.output.elements for golden in goldens)
        lines += [
            f"- [golden vectors](../../tests/golden/ops/{spec.name}.json): {len(goldens)} cases, "
            f"{elements} elements"
        ]
    return [*lines, ""]


def _code(title: str, sentence: str, functions: Iterable[Callable[..., object]]) -> list[str]:
    sources = [inspect.getsource(function).rstrip() for function in functions]
    return [f"## {title}", "", sentence, "", "```python", "\n\n\n".join(sources), "```", ""]


def _functions(module: ModuleType) -> list[Callable[..., object]]:
    """Return the functions that a module defines, in the order of its text."""
    found = [
        value
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and value.__name__ == name
    ]  # fmt: skip
    return sorted(found, key=lambda function: function.__code__.co_firstlineno)


def _constants() -> list[str]:
    lines = ["## Constants", "", "Hexadecimal floats: the digits are the bits.", "", "```text"]
    for name, value in vars(scalar).items():
        if not name.isupper() or name in ("NAN", "INF"):
            continue
        if isinstance(value, tuple):
            lines += [f"{name} =", *(f"    {coefficient.hex()}" for coefficient in value)]
        elif isinstance(value, float):
            lines += [f"{name} = {value.hex()}"]
        elif isinstance(value, int):
            lines += [f"{name} = {value:#x}" if value > 1 << 16 else f"{name} = {value}"]
    return [*lines, "```", ""]


def ops_page(generated: str) -> str:
    """Return the page, which begins with the line `generated`."""
    lines = [generated, _INTRODUCTION]
    for family, title in _FAMILIES.items():
        lines += [f"## {title}", ""]
        for spec in OPS.values():
            if spec.family == family:
                lines += _op_lines(spec)
    lines += _code(
        "Types and shapes",
        "Each op's rule gives the type of its value, or refuses. `types` are the operands'.",
        _functions(shapes),
    )
    lines += _code(
        "The rules of one f32 element",
        "An f32 is its 32 bits. `encode` is the only function that rounds.",
        _functions(real),
    )
    lines += _code(
        "The rules of one integer",
        "An i64 wraps modulo 2^64.",
        _functions(elements),
    )
    lines += _code(
        "The fixed sequences",
        "Every line is one correctly rounded binary64 operation after another, in this order.",
        _functions(scalar),
    )
    lines += _constants()
    lines += _code(
        "Which element comes from where",
        "An `Array` is a shape and its elements in row-major order.",
        [*_functions(reference_shapes), reference.evaluate],
    )
    return "\n".join(lines).rstrip() + "\n"


__all__ = ["ops_page"]
