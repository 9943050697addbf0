"""Reductions as folds over runs: what a court asks when an element is a sum of many terms.

What    A *run* is the terms that one leaf of each operand holds. `runs` counts them, `claimed` says
        which fold an element claims, `cut` and `combined` lead from a fold to a part of it, and
        `judge_run` computes one run from its leaves.
Why     No leaf of a dispute may grow with the length of a sum. Exact integers can be added in any
        order, so a partial sum of any part is well defined.
Rule    sum, dot, cumsum and scatter_add fold by addition modulo 2^64; amax (by total order) and
        exponent by the greater. argmax and topk fold by addition too: their subject is the claimed
        index, a term counts 1 if it stands before the subject in order, and the whole count must be
        the subject's rank. About an index that does not exist each run counts -1.
        A run is a whole leaf where the last axis is reduced, else one term; runs ascend in
        row-major order of the reduced axes. `contracts/folds.vy` is the same in the EVM.
Units   A fold is 64 bits, read as a signed integer.
Pure    Integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from skerry.arithmetic import real
from skerry.arithmetic.elements import wrapped
from skerry.commit.tensors import LEAF_ELEMENTS
from skerry.program import Program
from skerry.program.canonical import judged_node
from skerry.verify.index_maps import unravel
from skerry.verify.judged import (
    WORD,
    Bits,
    Claim,
    Judged,
    Leaves,
    Opened,
    Shown,
    element_bits,
    need,
    number,
    read_node,
    signed,
)
from skerry.verify.leaf import Gathered
from skerry.verify.walk import RunRoots

FOLDS = ("sum", "dot", "cumsum", "scatter_add", "amax", "exponent", "argmax", "topk")
GREATEST = ("amax", "exponent")
PARTS_MAX = 256


@dataclass(frozen=True, slots=True)
class Place:
    """Where the terms of a run lie.

    Attributes:
        leaf: the operand's leaf.
        first: the first term's place in it.
        count: how many terms.
        term: the first one's number in the fold.
        runs: how many runs the fold has.
    """

    leaf: int
    first: int
    count: int
    term: int
    runs: int


def per_row(shape: tuple[int, ...]) -> int:
    """Return how many leaves a row takes."""
    return -(-shape[-1] // LEAF_ELEMENTS)


def runs(judged: Judged, element: int) -> int:
    """Return how many runs the fold of an element has; 0 if the op is no fold."""
    if judged.op not in FOLDS:
        return 0
    shape = judged.reads[0].shape
    if judged.op == "dot":
        return per_row(shape)
    if judged.op == "scatter_add":
        return per_row(shape) if len(judged.reads[1].shape) == 1 else shape[0]
    return place(judged, element, 0).runs


def claimed(judged: Judged, element: int, bits: Bits) -> int:
    """Return the fold that is claimed by claiming `bits` for an element."""
    match judged.op:
        case "amax":
            return real.order_key(bits)
        case "argmax":
            return 0
        case "topk":
            return element % judged.node.integer("k")
        case _:
            return signed(bits)


def cut(first: int, stop: int, parts_max: int) -> tuple[int, ...]:
    """Return where the runs from `first` up to `stop` are cut, both ends included."""
    parts = min(parts_max, stop - first)
    return tuple(first + part * (stop - first) // parts for part in range(parts + 1))


def combined(op: str, parts: Sequence[int]) -> int:
    """Return the fold of some partial folds."""
    need(1 <= len(parts) <= PARTS_MAX, f"{len(parts)} partial folds cannot be combined")
    return max(parts) if op in GREATEST else wrapped(sum(parts))


def _axes(judged: Judged) -> tuple[int, ...]:
    match judged.op:
        case "topk":
            return (len(judged.reads[0].shape) - 1,)
        case "argmax" | "cumsum":
            return (judged.node.integer("axis"),)
        case _:
            return judged.node.integers("axes")


def place(judged: Judged, element: int, run: int) -> Place:
    """Return where the terms of a run of an op with one operand lie."""
    shape, axes = judged.reads[0].shape, _axes(judged)
    last, length = len(shape) - 1, shape[-1]
    kept_axes = [axis for axis in range(last + 1) if axis not in axes]
    limit = shape[axes[0]]
    if judged.op == "cumsum":
        whole = unravel(element, shape)
        limit = whole[axes[0]] + 1
        kept: tuple[int, ...] = tuple(whole[axis] for axis in kept_axes)
    else:
        group = element // judged.node.integer("k") if judged.op == "topk" else element
        kept = unravel(group, tuple(shape[axis] for axis in kept_axes))
    outer = [axis for axis in axes if axis != last]
    in_row = per_row(shape) if last in axes else 1
    sizes = tuple(limit if judged.op == "cumsum" else shape[axis] for axis in outer)
    index = dict(zip(kept_axes, kept, strict=True))
    index |= dict(zip(outer, unravel(run // in_row, sizes), strict=True))
    row = 0
    for axis in range(last):
        row = row * shape[axis] + index[axis]
    if last not in axes:
        leaf = row * per_row(shape) + index[last] // LEAF_ELEMENTS
        return Place(leaf, index[last] % LEAF_ELEMENTS, 1, run, math.prod(sizes))
    term = run % in_row * LEAF_ELEMENTS
    terms = limit if judged.op == "cumsum" else length
    count = min(LEAF_ELEMENTS, terms - term)
    every = math.prod(sizes) * -(-terms // LEAF_ELEMENTS)
    return Place(row * per_row(shape) + run % in_row, 0, count, term, every)


# ---- one run -------------------------------------------------------------------------------------


def judge_run(
    claim: Claim, node: bytes, subject: Bits, run: int, openings: Sequence[Opened]
) -> int:
    """Return the fold of one run.

    Args:
        claim: what is doubted.
        node: the bytes of its node.
        subject: the claimed bits of the element; they matter to argmax and topk alone.
        run: the run, counted from 0.
        openings: the leaves that the run needs.

    Raises:
        OpeningRefused: an opening does not hold, is missing or too many; there is no such run.
    """
    shown = Shown(claim, openings)
    fold = run_fold(read_node(claim, node), claim.element, subject, run, shown)
    shown.end()
    return fold


def run_fold(judged: Judged, element: int, subject: Bits, run: int, leaves: Leaves) -> int:
    """Return the fold of one run of an element."""
    need(0 <= element < judged.made.elements, "there is no such element")
    need(0 <= run < runs(judged, element), "there is no such run")
    match judged.op:
        case "dot":
            return _dot(judged, element, run, leaves)
        case "scatter_add":
            return _scatter_add(judged, element, run, leaves)
        case "argmax" | "topk":
            return _before(judged, element, subject, run, leaves)
        case _:
            return _reduce(judged, element, run, leaves)


def _numbers(data: bytes, dtype: str, first: int, count: int) -> list[int]:
    return [element_bits(data, dtype, at) for at in range(first, first + count)]


def _dot(judged: Judged, element: int, run: int, leaves: Leaves) -> int:
    a, b = judged.reads
    at_a, at_b = judged.node.inputs
    columns, rows = b.shape[-2], a.shape[-2]
    row_a, column = divmod(element, columns)
    row_b = row_a // rows * columns + column
    left = leaves.leaf(at_a, a, row_a * per_row(a.shape) + run)
    right = left
    if (at_a, row_a) != (at_b, row_b):
        right = leaves.leaf(at_b, b, row_b * per_row(b.shape) + run)
    count = len(left) // 8
    pairs = zip(_numbers(left, "i64", 0, count), _numbers(right, "i64", 0, count), strict=True)
    return wrapped(sum(signed(x) * signed(y) for x, y in pairs))


def _scatter_add(judged: Judged, element: int, run: int, leaves: Leaves) -> int:
    index, v = judged.reads
    at_index, at_v = judged.node.inputs
    width = math.prod(v.shape[1:])
    row, column = divmod(element, width)
    if len(v.shape) > 1:
        if number(leaves, at_index, index, run) != row:
            return 0
        return signed(number(leaves, at_v, v, run * width + column))
    names = leaves.leaf(at_index, index, run)
    terms = names if at_index == at_v else leaves.leaf(at_v, v, run)
    count = len(names) // 8
    pairs = zip(_numbers(names, "i64", 0, count), _numbers(terms, "i64", 0, count), strict=True)
    return wrapped(sum(signed(term) for name, term in pairs if name == row))


def _reduce(judged: Judged, element: int, run: int, leaves: Leaves) -> int:
    there, kind = place(judged, element, run), judged.reads[0]
    data = leaves.leaf(judged.node.inputs[0], kind, there.leaf)
    terms = _numbers(data, kind.dtype, there.first, there.count)
    match judged.op:
        case "amax":
            return max(map(real.order_key, terms))
        case "exponent":
            return max(map(real.exponent, terms))
        case _:
            return wrapped(sum(map(signed, terms)))


def _before(judged: Judged, element: int, subject: Bits, run: int, leaves: Leaves) -> int:
    kind, (at,) = judged.reads[0], judged.node.inputs
    (axis,) = _axes(judged)
    if subject >= kind.shape[axis]:
        return -1
    whole = axis == len(kind.shape) - 1
    holder = subject // LEAF_ELEMENTS if whole else subject
    there = place(judged, element, run)
    data = leaves.leaf(at, kind, there.leaf)
    spot = place(judged, element, holder)
    held = data if holder == run else leaves.leaf(at, kind, spot.leaf)
    inside = subject % LEAF_ELEMENTS if whole else spot.first
    rival = (-real.order_key(element_bits(held, "f32", inside)), subject)
    terms = _numbers(data, "f32", there.first, there.count)
    return sum((-real.order_key(x), there.term + i) < rival for i, x in enumerate(terms))


def openings_for_run(
    program: Program,
    step_run: RunRoots,
    step: int,
    node: int,
    element: int,
    subject: Bits,
    run: int,
) -> tuple[Opened, ...]:
    """Return what `judge_run` must be shown about a run of an element of one's own run."""
    gathered = Gathered(program, step_run, step, node)
    judged = read_node(gathered.claim(element), judged_node(program, node))
    run_fold(judged, element, subject & WORD, run, gathered)
    return tuple(gathered.openings)
