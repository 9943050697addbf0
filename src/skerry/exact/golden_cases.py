"""The operands of the golden vectors: subnormals, ties, infinities, NaN, -0 and the ends of ranges.

What    `CASES[op](chance)` lists the cases of one op: attributes, operand types and elements.
Why     Ordinary numbers agree by accident; these agree only by intent.
Pure    Integers; what looks random is drawn by name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from skerry.base.chance import Chance
from skerry.program.graph import BOOL, DTYPES, F32, I64, Attr, Attrs, DType, TensorType
from skerry.program.ops import OPS

Operand: TypeAlias = tuple[TensorType, tuple[int, ...]]

#: +-0, one, the ends of the subnormals and of the finite, infinities, NaN, halves and ties.
F32_SPECIAL: Final = (
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000,
    0x80800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F000000, 0x3FC00000,
    0xC0200000, 0x40600000, 0x4B000001, 0x4B800000, 0x34000000, 0x3EAAAAAB, 0x42480000, 0xC0490FDB,
)  # fmt: skip
#: Where the ranges of the fixed sequences end: exp, tanh, erf, and the reduction of the sine.
F32_ENDS: Final = (
    0x42B17217, 0x42B17218, 0xC2AEAC4F, 0xC2AEAC50, 0xC2CFF1B4, 0xC2CFF1B5, 0x41100000, 0x41A00000,
    0x407CCCCD, 0x40800000, 0x3F490FDB, 0x40C90FDB, 0x497FFFFF, 0x49800000, 0xC9800001, 0x5D5E0B6B,
    0x7F000000, 0xFE967699, 0x3F7FFFFF, 0x3F800001, 0x3F3504F3, 0x3F3504F4, 0x39000000, 0x1E3CE508,
)  # fmt: skip
I64_SPECIAL: Final = (
    0, 1, -1, 2, -3, 7, 10, 129, -126, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, 1 << 32,
    (1 << 53) + 1, (1 << 62) + (1 << 38), -(1 << 62), (1 << 63) - 1, -(1 << 63),
)  # fmt: skip


class Case(NamedTuple):
    """One op with its attributes and operands."""

    op: str
    attrs: Attrs
    types: tuple[TensorType, ...]
    elements: tuple[tuple[int, ...], ...]


CaseList: TypeAlias = Callable[[Chance], list[Case]]


def _case(op: str, *operands: Operand, **attrs: Attr) -> Case:
    ordered = tuple((name, attrs[name]) for name in OPS[op].attrs)
    return Case(op, ordered, tuple(x[0] for x in operands), tuple(x[1] for x in operands))


def _line(dtype: DType, elements: Sequence[int], shape: tuple[int, ...] = ()) -> Operand:
    return TensorType(dtype, shape or (len(elements),)), tuple(elements)


# ---- draws --------------------------------------------------------------------------------------


def _any_f32(chance: Chance, count: int) -> tuple[int, ...]:
    """Return f32 of any bits, every NaN canonical."""
    drawn = (chance.fork("bits", i).below(1 << 32) for i in range(count))
    return tuple(0x7FC00000 if x & 0x7FFFFFFF > 0x7F800000 else x for x in drawn)


def _near_f32(chance: Chance, count: int, spread: int = 8) -> tuple[int, ...]:
    """Return f32 of either sign between 2^-spread and 2^spread."""
    found = []
    for i in range(count):
        own = chance.fork("near", i)
        field = 127 - spread + own.fork("field").below(2 * spread)
        found.append(own.fork("sign").below(2) << 31 | field << 23 | own.fork("m").below(1 << 23))
    return tuple(found)


def _below(chance: Chance, count: int, limit: int) -> tuple[int, ...]:
    """Return integers in -limit..limit."""
    return tuple(chance.fork("below", i).below(2 * limit + 1) - limit for i in range(count))


def _typed(chance: Chance, dtype: DType, shape: tuple[int, ...]) -> Operand:
    """Return distinct-looking elements of any type, to see where each one goes."""
    count = math.prod(shape)
    if dtype == BOOL:
        elements = tuple(chance.fork("bool", i).below(2) for i in range(count))
    else:
        elements = _near_f32(chance, count) if dtype == F32 else _below(chance, count, 1 << 62)
    return TensorType(dtype, shape), elements


# ---- elementwise --------------------------------------------------------------------------------


def _unary_f32(op: str) -> CaseList:
    return lambda chance: [
        _case(op, _line(F32, F32_SPECIAL)),
        _case(op, _line(F32, F32_ENDS)),
        _case(op, _line(F32, _near_f32(chance, 48))),
        _case(op, _line(F32, _any_f32(chance, 48))),
    ]


def _unary_i64(op: str) -> list[Case]:
    return [_case(op, _line(I64, I64_SPECIAL))]


def _pairs(op: str, dtype: DType, special: Sequence[int]) -> Case:
    left, right = zip(*itertools.product(special, special), strict=True)
    return _case(op, _line(dtype, left), _line(dtype, right))


def _binary_f32(op: str, chance: Chance) -> list[Case]:
    near, far = (
        [_line(F32, draw(chance.fork(side), 48)) for side in "ab"] for draw in (_near_f32, _any_f32)
    )
    return [_pairs(op, F32, F32_SPECIAL), _case(op, *near), _case(op, *far)]


def _binary(op: str, *dtypes: DType) -> CaseList:
    def cases(chance: Chance) -> list[Case]:
        found = _binary_f32(op, chance) if F32 in dtypes else []
        found += [_pairs(op, I64, I64_SPECIAL)] if I64 in dtypes else []
        return found + ([_pairs(op, BOOL, (0, 1))] if BOOL in dtypes else [])

    return cases


def _signed(op: str) -> CaseList:
    return lambda chance: _unary_f32(op)(chance) + _unary_i64(op)


def _select(chance: Chance) -> list[Case]:
    return [
        _case(
            "select",
            _typed(chance.fork("c"), BOOL, (8,)),
            _typed(chance.fork("a"), dtype, (8,)),
            _typed(chance.fork("b"), dtype, (8,)),
        )
        for dtype in DTYPES
    ]


def _cast(chance: Chance) -> list[Case]:
    ties = (0x3F000000, 0x3FC00000, 0xBF000000, 0xC0200000, 0x5E800000, 0x5E7FFFFF, 0xDE800000)
    sources = (
        _line(F32, (*F32_SPECIAL, *ties)),
        _line(F32, _near_f32(chance, 32, 40)),
        _line(I64, (*I64_SPECIAL, *((1 << 40) + k * (1 << 15) for k in range(-3, 4)))),
        _line(I64, _below(chance, 32, 1 << 62)),
        _line(BOOL, (0, 1)),
    )
    return [_case("cast", source, to=to) for source in sources for to in range(len(DTYPES))]


# ---- exact products and sums --------------------------------------------------------------------


def _exponent(chance: Chance) -> list[Case]:
    shape = TensorType(F32, (4, 6))
    ordinary = tuple(x for x in F32_SPECIAL if x & 0x7F800000 != 0x7F800000)
    return [
        _case("exponent", (TensorType(F32, (24, 1)), F32_SPECIAL), axes=(1,)),
        *(
            _case("exponent", (shape, elements), axes=axes)
            for elements in (_near_f32(chance, 24), F32_SPECIAL, (*ordinary, *ordinary)[:24])
            for axes in ((0,), (1,), (0, 1))
        ),
    ]


def _quantise(chance: Chance) -> list[Case]:
    exponents = (-126, -125, 0, 1, 2, 24, 127, 128, 129, -(1 << 63))
    xs, es = zip(*itertools.product(F32_SPECIAL, exponents), strict=True)
    near = _near_f32(chance, 48)
    ties = [(0x3F800000 | k << 17, 1) for k in range(64)]  # 1 + k/64 in steps of 1/8 or 1/2
    return [
        *(_case("quantise", _line(F32, xs), _line(I64, es), bits=bits) for bits in (2, 24, 41)),
        *(
            _case("quantise", _line(F32, near), _line(I64, (8,) * 48), bits=bits)
            for bits in (2, 8, 12, 21, 24, 31)
        ),
        *(
            _case(
                "quantise", _line(F32, [x for x, _ in ties]), _line(I64, [e for _, e in ties]),
                bits=bits,
            )
            for bits in (3, 5)
        ),
    ]  # fmt: skip


def _rescale(chance: Chance) -> list[Case]:
    whole = (0, 1, -1, 3, (1 << 24) + 1, (1 << 24) + 3, -(1 << 25) - 2, (1 << 52) - 1, -(1 << 52),
             (1 << 51) + (1 << 27), (1 << 51) + (1 << 27) + 1)  # fmt: skip
    pairs = ((0, 0), (-125, -125), (128, 128), (128, -125), (129, 0), (0, 129), (-126, 1), (-74, 0))
    ds, es = zip(*itertools.product(whole, pairs), strict=True)
    operands = (_line(I64, ds), _line(I64, [e for e, _ in es]), _line(I64, [e for _, e in es]))
    drawn = _line(I64, _below(chance, 48, 1 << 50))
    spread = _line(I64, _below(chance.fork("e"), 48, 60))
    return [
        *(_case("rescale", *operands, shift=shift) for shift in (0, 46, 82)),
        _case("rescale", *operands[:2], shift=30),
        _case("rescale", drawn, spread, shift=30),
        _case("rescale", drawn, spread, spread, shift=46),
    ]


def _dot(chance: Chance) -> list[Case]:
    shapes = (((2, 3), (4, 3)), ((1, 1), (1, 1)), ((2, 2, 5), (2, 3, 5)), ((3, 64), (2, 64)))
    found = []
    for a, b in shapes:
        for limit in (1, 1 << 7, 1 << 11, 1 << 22):
            own = chance.fork(str(a), limit)
            found.append(
                _case(
                    "dot",
                    _line(I64, _below(own.fork("a"), math.prod(a), limit), a),
                    _line(I64, _below(own.fork("b"), math.prod(b), limit), b),
                )
            )
    full = 1 << 22  # every partial sum as large as it may be
    found.append(
        _case("dot", _line(I64, (full,) * 512, (1, 512)), _line(I64, (-full,) * 512, (1, 512)))
    )
    return found


def _reduced(op: str, dtype: DType) -> CaseList:
    special = F32_SPECIAL if dtype == F32 else (*I64_SPECIAL, 3, 4, 5, 6, 8, 9)

    def cases(chance: Chance) -> list[Case]:
        drawn = _any_f32(chance, 24) if dtype == F32 else _below(chance, 24, 1 << 62)
        return [
            _case(op, _line(dtype, elements, (2, 3, 4)), axes=axes)
            for elements in (special, drawn)
            for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2))
        ]

    return cases


def _along_axis(op: str, dtype: DType) -> CaseList:
    special = F32_SPECIAL if dtype == F32 else (*I64_SPECIAL, 3, 4, 5, 6, 8, 9)

    def cases(chance: Chance) -> list[Case]:
        drawn = _any_f32(chance, 24) if dtype == F32 else _below(chance, 24, 1 << 62)
        equal = (special[1],) * 24
        return [
            _case(op, _line(dtype, elements, (2, 3, 4)), axis=axis)
            for elements in (special, drawn, equal)
            for axis in range(3)
        ]

    return cases


def _topk(chance: Chance) -> list[Case]:
    few = tuple(F32_SPECIAL[chance.fork("few", i).below(6)] for i in range(24))
    return [
        _case("topk", _line(F32, elements, shape), k=k)
        for elements in (F32_SPECIAL, few, _near_f32(chance, 24))
        for shape, k in (((24,), 24), ((24,), 5), ((4, 6), 1), ((4, 6), 4), ((2, 2, 6), 3))
    ]


def _scatter_add(chance: Chance) -> list[Case]:
    index = (0, 2, 2, -1, 3, 1, 2, 5)
    rows = ((), (1,), (3,), (2, 2))
    return [
        _case(
            "scatter_add", _line(I64, index),
            _line(I64, _below(chance.fork(limit), 8 * math.prod(row), limit), (8, *row)), size=size,
        )
        for row in rows
        for limit in (5, 1 << 62)
        for size in (1, 4)
    ]  # fmt: skip


# ---- sources, views and moves -------------------------------------------------------------------


def _const(chance: Chance) -> list[Case]:
    f32 = b"".join(x.to_bytes(4, "little") for x in F32_SPECIAL)
    i64 = b"".join(x.to_bytes(8, "little", signed=True) for x in I64_SPECIAL)
    return [
        _case("const", data=f32, dtype=0, shape=(4, 6)),
        _case("const", data=(0xFFC00001).to_bytes(4, "little"), dtype=0, shape=()),
        _case("const", data=i64, dtype=1, shape=(len(I64_SPECIAL),)),
        _case("const", data=bytes((0, 1, 1, 0)), dtype=2, shape=(2, 2)),
    ]


def _full(chance: Chance) -> list[Case]:
    values = ((0, F32_SPECIAL), (1, I64_SPECIAL), (2, (0, 1)))
    return [
        _case("full", dtype=dtype, shape=shape, value=value)
        for dtype, listed in values
        for value in listed
        for shape in (((), (2,)) if value == listed[0] else ((),))
    ]


def _iota(chance: Chance) -> list[Case]:
    shapes = ((5,), (2, 3), (2, 1, 3))
    return [_case("iota", axis=a, shape=shape) for shape in shapes for a in range(len(shape))]


def _uniform(chance: Chance) -> list[Case]:
    seeds = (0, 1, -1, (1 << 63) - 1, -(1 << 63), 0x123456789)
    return [
        _case("uniform", (TensorType(I64, ()), (seed,)), shape=shape, stream=stream)
        for seed in seeds
        for stream, shape in ((0, (5,)), (7, (2, 3)), ((1 << 32) - 1, ()))
    ]


def _moved(op: str, *variants: tuple[tuple[int, ...], dict[str, Attr]]) -> CaseList:
    def cases(chance: Chance) -> list[Case]:
        return [
            _case(op, _typed(chance.fork(at), dtype, shape), **attrs)
            for at, (shape, attrs) in enumerate(variants)
            for dtype in DTYPES
        ]

    return cases


def _padding(chance: Chance) -> list[Case]:
    variants: tuple[tuple[tuple[int, ...], dict[str, Attr]], ...] = (
        ((3,), {"low": (2,), "high": (1,), "interior": (0,)}),
        ((3,), {"low": (-1,), "high": (0,), "interior": (2,)}),
        ((2, 3), {"low": (0, 1), "high": (2, -1), "interior": (1, 0)}),
        ((4,), {"low": (-3,), "high": (-2,), "interior": (1,)}),
        ((2,), {"low": (-1,), "high": (-1,), "interior": (3,)}),
    )
    values = {F32: (0, 0x80000000, 0x7FC00000), I64: (0, -5), BOOL: (0, 1)}
    return [
        _case("pad", _typed(chance.fork(at), dtype, shape), value=value, **attrs)
        for at, (shape, attrs) in enumerate(variants)
        for dtype in DTYPES
        for value in values[dtype]
    ]


def _concat(chance: Chance) -> list[Case]:
    variants = ((((2,), (3,)), 0), (((2, 1), (2, 3), (2, 1)), 1), (((1, 2), (3, 2)), 0))
    return [
        _case(
            "concat",
            *(_typed(chance.fork(at, i), dtype, shape) for i, shape in enumerate(shapes)),
            axis=axis,
        )
        for at, (shapes, axis) in enumerate(variants)
        for dtype in DTYPES
    ]


def _take(chance: Chance) -> list[Case]:
    indices = (((4,), (0, 2, 3, -1)), ((2, 2), (1, 1, 4, 1 << 62)), ((), (2,)))
    return [
        _case("take", _typed(chance, dtype, shape), (TensorType(I64, at), rows))
        for shape in ((4,), (3, 2), (3, 1, 2))
        for dtype in DTYPES
        for at, rows in indices
    ]


CASES: Final[dict[str, CaseList]] = {
    "const": _const,
    "full": _full,
    "iota": _iota,
    "uniform": _uniform,
    "reshape": _moved("reshape", ((2, 3), {"shape": (3, 2)}), ((4,), {"shape": (2, 1, 2)})),
    "permute": _moved("permute", ((2, 3), {"axes": (1, 0)}), ((2, 3, 2), {"axes": (2, 0, 1)})),
    "expand": _moved("expand", ((2, 1), {"shape": (2, 3)}), ((1, 1), {"shape": (2, 2)})),
    "slice": _moved(
        "slice",
        ((6,), {"starts": (1,), "limits": (6,), "strides": (2,)}),
        ((3, 4), {"starts": (1, 0), "limits": (3, 3), "strides": (1, 2)}),
    ),
    "window": _moved(
        "window",
        ((6,), {"axis": 0, "size": 3, "stride": 1, "dilation": 1}),
        ((7, 2), {"axis": 0, "size": 3, "stride": 2, "dilation": 2}),
        ((2, 5), {"axis": 1, "size": 2, "stride": 3, "dilation": 1}),
    ),
    "concat": _concat,
    "pad": _padding,
    "take": _take,
    "cumsum": _along_axis("cumsum", I64),
    **{op: _binary(op, F32, I64) for op in ("add", "sub", "mul", "max", "min", "lt", "le")},
    "div": _binary("div", F32),
    "sqrt": _unary_f32("sqrt"),
    "neg": _signed("neg"),
    "abs": _signed("abs"),
    "floordiv": _binary("floordiv", I64),
    "rem": _binary("rem", I64),
    "eq": _binary("eq", *DTYPES),
    "and": _binary("and", BOOL),
    "or": _binary("or", BOOL),
    "not": lambda chance: [_case("not", _line(BOOL, (0, 1)))],
    "select": _select,
    "cast": _cast,
    **{op: _unary_f32(op) for op in ("exp", "log", "tanh", "erf", "sin", "cos")},
    "quantise": _quantise,
    "rescale": _rescale,
    "exponent": _exponent,
    "sum": _reduced("sum", I64),
    "amax": _reduced("amax", F32),
    "argmax": _along_axis("argmax", F32),
    "topk": _topk,
    "scatter_add": _scatter_add,
    "dot": _dot,
}

__all__ = ["CASES", "Case"]
