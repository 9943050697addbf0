"""Low-rank updates as nodes: a matrix as a few products of a column and a row of two-bit levels.

What    `factor` takes terms off a matrix one after the other, `rebuild` makes the dense update from
        the codes of all matrices. `codec` builds its encode and merge Programs of them.
Why     The drift of a few steps has far fewer directions than parameters. Four of them held 65 to
        90 % of its energy where the 1 % largest values held 13 %.
Rule    A term is found by power iteration: from a column of ones, rows and columns are multiplied
        out in turn and rounded to four levels each time, so what was left of one term by rounding
        is there for the next. Matrices of one shape are worked on together, in flat order.
Legend  G = matrices of one shape, m, n = their rows and columns, K = their terms, P = parameters.
Pure    Nodes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, TypeAlias

from skerry.program import F32, I64, Builder, Layout, Value
from skerry.train.factors import CODE_BITS, Factored
from skerry.train.scales import rounded

#: How often rows and columns are multiplied out for a term; more find little more.
POWER_ITERATIONS: Final = 3
#: The width of a level of four, in roots of the mean square, that loses least of a normal draw.
LEVEL_WIDTH: Final = 0.9957

_HALF: Final = 1 << (CODE_BITS - 1)


def factored(layout: Layout, rank: float) -> tuple[Factored, ...]:
    """Return how each tensor of the flat parameters is sent, in flat order."""
    return tuple(Factored.of(slot.offset, slot.shape, rank) for slot in layout.slots)


Group: TypeAlias = tuple[Factored, ...]  # matrices of one shape and number of terms


def groups(matrices: Sequence[Factored]) -> list[Group]:
    """Return the matrices that are worked on together, in the order in which codes stand."""

    def kind(it: Factored) -> tuple[int, int, int]:
        return it.rows, it.columns, it.terms

    return [tuple(same) for _, same in groupby(sorted(matrices, key=kind), kind)]


def factor(b: Builder, error_P: Value, matrices: Sequence[Factored]) -> tuple[Value, Value]:
    """Return the codes i64[N] and scales f32[S] of an update, in the order of `train.factors`."""
    codes, scales = [], []
    for group in groups(matrices):
        left_Gmn = _stacked(b, error_P, group)
        for _ in range(group[0].terms):
            p_Gm1, q_G1n, s_G11 = _term(b, left_Gmn)
            left_Gmn = b.sub(left_Gmn, b.mul(b.mul(_levels(b, p_Gm1), s_G11), _levels(b, q_G1n)))
            codes += [p_Gm1, q_G1n] if group[0].columns > 1 else [p_Gm1]
            scales.append(s_G11)
    return _end_to_end(b, codes), _end_to_end(b, scales)


def rebuild(b: Builder, codes_LN: Value, scales_LS: Value, matrices: Sequence[Factored]) -> Value:
    """Return the dense updates f32[L, P] that codes and scales of L lanes stand for."""
    lanes, code, scale = codes_LN.shape[0], 0, 0
    dense: dict[int, Value] = {}
    for group in groups(matrices):
        one, count = group[0], len(group)
        total: Value | None = None
        for _ in range(one.terms):
            rows = b.slice_axis(codes_LN, 1, code, code + count * one.rows)
            term = _levels(b, b.reshape(rows, (lanes, count, one.rows, 1)))
            scaled = b.slice_axis(scales_LS, 1, scale, scale + count)
            term = b.mul(term, b.reshape(scaled, (lanes, count, 1, 1)))
            code, scale = code + count * one.rows, scale + count
            if one.columns > 1:
                columns = b.slice_axis(codes_LN, 1, code, code + count * one.columns)
                shape = (lanes, count, 1, one.columns)
                term = b.mul(term, _levels(b, b.reshape(columns, shape)))
                code += count * one.columns
            total = term if total is None else b.add(total, term)
        assert total is not None, "a matrix has a term"
        for at, it in enumerate(group):
            own = b.slice_axis(total, 1, at, at + 1)
            dense[it.offset] = b.reshape(own, (lanes, it.elements))
    return b.concat([dense[it.offset] for it in matrices], 1)


def _end_to_end(b: Builder, values: Sequence[Value]) -> Value:
    return b.concat([b.reshape(x, (x.type.elements,)) for x in values], 0)


def _stacked(b: Builder, flat_P: Value, group: Sequence[Factored]) -> Value:
    """Return f32 [G, m, n]."""
    size = (1, group[0].rows, group[0].columns)
    parts = [b.slice(flat_P, (it.offset,), (it.offset + it.elements,)) for it in group]
    return b.concat([b.reshape(part, size) for part in parts], 0)


def _term(b: Builder, left_Gmn: Value) -> tuple[Value, Value, Value]:
    """Return the codes i64 [G, m, 1] and [G, 1, n] of one term, and its scale f32 [G, 1, 1].

    The scale is that of the least squared error, and never negative: each level has the sign of
    what it was rounded from.
    """
    count, _, n = left_Gmn.shape
    if n == 1:
        p_Gm1 = _codes(b, left_Gmn, 1)
        levels_Gm1 = _levels(b, p_Gm1)
        above = b.sum_f32(b.mul(left_Gmn, levels_Gm1), (1, 2), keep=True)
        below = _squares(b, levels_Gm1)
        return p_Gm1, b.full(2, (count, 1, 1), I64), rounded(b, b.div(above, below), 1)
    p_Gm1, found_Gn1 = _multiplied_out(b, left_Gmn, b.full(1.0, (count, 1, n), F32))
    for _ in range(POWER_ITERATIONS - 1):
        q_Gn1 = _levels(b, _codes(b, found_Gn1, 1))
        p_Gm1, found_Gn1 = _multiplied_out(b, left_Gmn, b.reshape(q_Gn1, (count, 1, n)))
    codes_Gn1 = _codes(b, found_Gn1, 1)
    levels_Gn1 = _levels(b, codes_Gn1)
    above = b.sum_f32(b.mul(found_Gn1, levels_Gn1), (1, 2), keep=True)
    below = b.mul(_squares(b, _levels(b, p_Gm1)), _squares(b, levels_Gn1))
    return p_Gm1, b.reshape(codes_Gn1, (count, 1, n)), rounded(b, b.div(above, below), 1)


def _multiplied_out(b: Builder, left_Gmn: Value, q_G1n: Value) -> tuple[Value, Value]:
    """Return the codes of the rows for the columns q, and f32 [G, n, 1], the columns for those."""
    count, m, _ = left_Gmn.shape
    p_Gm1 = _codes(b, b.matmul(left_Gmn, q_G1n), 1)
    turned_Gnm = b.permute(left_Gmn, (0, 2, 1))
    levels_G1m = b.reshape(_levels(b, p_Gm1), (count, 1, m))
    return p_Gm1, b.matmul(turned_Gnm, levels_G1m)


def _codes(b: Builder, x: Value, axis: int) -> Value:
    """Return the codes i64 of x, its levels as wide as the root of its mean square asks for."""
    mean = b.mean_f32(b.mul(x, x), (axis,), keep=True)
    width = b.mul(b.node("sqrt", (mean,)), LEVEL_WIDTH)
    # Nearest to x / width - 1/2 is the whole number below x / width; what is not a number is 0.
    below = b.cast(b.sub(b.div(x, width), 0.5), I64)
    return b.each("min", b.add(b.each("max", below, -_HALF), _HALF), 2 * _HALF - 1)


def _levels(b: Builder, codes: Value) -> Value:
    """Return the levels -3, -1, 1 and 3 of the codes 0 to 3."""
    return b.cast(b.sub(b.mul(codes, 2), 2 * _HALF - 1), F32)


def _squares(b: Builder, levels: Value) -> Value:
    """Return the sum of the squared levels of each matrix."""
    return b.sum_f32(b.mul(levels, levels), (1, 2), keep=True)
