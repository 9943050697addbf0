"""The end of a dispute: one element, computed from leaves of what it is made of.

What    `judge(claim, node, openings)` gives the bits that the claim's element must have. It covers
        every op but the folds (`verify.folds`) and `input` (`verify.wiring`). `openings_for` makes
        the openings from a run of one's own.
Why     A chain can afford this much. `contracts/adjudicator.vy` is the same in the EVM.
Rule    Operands are opened in the order in which the rule of the op asks for them; one that stands
        twice in an elementwise op is opened once.
Pure    Integers; a run is asked through `RunRoots`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from skerry.arithmetic import elements, real, scalar
from skerry.base.digests import merkle_levels, merkle_path
from skerry.commit.tensors import leaf_bytes, leaf_of, tensor_leaves
from skerry.commit.transcript import trace_root
from skerry.program import Program
from skerry.program.canonical import (
    Operand,
    concat_operands,
    judged_node,
    operand_bytes,
    operand_leaves,
)
from skerry.program.graph import DTYPES, TensorType
from skerry.verify.index_maps import ravel, source, unravel
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
    node_leaf,
    number,
    read_node,
    signed,
)
from skerry.verify.judged import packed as pack
from skerry.verify.walk import RunRoots

_VIEWS = ("reshape", "permute", "expand", "slice", "window", "pad")

Rule: TypeAlias = Callable[[Judged, Leaves], Bits]
Answer = TypeVar("Answer")


def judge(claim: Claim, node: bytes, openings: Sequence[Opened]) -> Bits:
    """Return the bits that the claim's element must have.

    Raises:
        OpeningRefused: an opening does not hold, is missing or too many.
    """
    shown = Shown(claim, openings)
    bits = element(read_node(claim, node), claim.element, shown)
    shown.end()
    return bits


def element(judged: Judged, at: int, leaves: Leaves) -> Bits:
    """Return one element of the value of a node that is no fold and no input."""
    need(0 <= at < judged.made.elements, "there is no such element")
    op = judged.op
    if op in _VIEWS:
        return _view(judged, at, leaves)
    match op:
        case "concat":
            return _concat(judged, at, leaves)
        case "take":
            return _take(judged, at, leaves)
        case "full":
            return canonical(judged.made.dtype, judged.node.integer("value"))
        case "iota":
            return unravel(at, judged.made.shape)[judged.node.integer("axis")]
        case "uniform":
            seed = number(leaves, judged.node.inputs[0], judged.reads[0], 0, packed=True)
            return scalar.bits_f32(scalar.uniform(seed, judged.node.integer("stream"), at))
        case "const":
            leaf, place = leaf_of(judged.made.shape, at)
            data = leaves.literal(judged.node.raw("data"), judged.made, leaf)
            return canonical(judged.made.dtype, element_bits(data, judged.made.dtype, place))
        case _:
            return _each(judged, at, leaves)


def canonical(dtype: str, value: int) -> Bits:
    """Return the bits of a number that encodes an element; every NaN is the one NaN."""
    if dtype == "f32" and real.is_nan(value):
        return real.NAN
    return value & WORD


def _each(judged: Judged, at: int, leaves: Leaves) -> Bits:
    found: dict[int, Bits] = {}
    for read, kind in zip(judged.node.inputs, judged.reads, strict=True):
        if read not in found:
            found[read] = number(leaves, read, kind, at, packed=True)
    values = [
        signed(found[read]) if kind.dtype == "i64" else found[read]
        for read, kind in zip(judged.node.inputs, judged.reads, strict=True)
    ]
    return each(judged, values) & WORD


def each(judged: Judged, values: Sequence[int]) -> int:
    """Return the value of an elementwise op from one element of each operand."""
    node, kinds = judged.node, judged.reads
    match node.op:
        case "cast":
            return elements.cast_rule(kinds[0].dtype, DTYPES[node.integer("to")])(values[0])
        case "quantise":
            return real.quantise(values[0], values[1], node.integer("bits"))
        case "rescale":
            return real.rescale(values[0], tuple(values[1:]), node.integer("shift"))
        case _:
            return int(elements.rule(node.op, kinds[-1].dtype)(*values))


def _view(judged: Judged, at: int, leaves: Leaves) -> Bits:
    origin = source(judged, at)
    if origin is None:
        return canonical(judged.made.dtype, judged.node.integer("value"))
    return number(leaves, judged.node.inputs[0], judged.reads[0], origin, packed=True)


def _take(judged: Judged, at: int, leaves: Leaves) -> Bits:
    x, index = judged.reads
    at_x, at_index = judged.node.inputs
    place, column = divmod(at, math.prod(x.shape[1:]))
    row = signed(number(leaves, at_index, index, place, packed=True))
    if not 0 <= row < x.shape[0]:
        return 0
    return number(leaves, at_x, x, row * math.prod(x.shape[1:]) + column, packed=True)


def _concat(judged: Judged, at: int, leaves: Leaves) -> Bits:
    axis, index = judged.node.integer("axis"), unravel(at, judged.made.shape)
    place = index[axis]
    operand = leaves.operand(judged.root, judged.node.inputs[0], axis, place)
    inside = place - operand.start
    need(0 <= inside < operand.type.shape[axis], "the operand does not hold the element")
    origin = ravel((*index[:axis], inside, *index[axis + 1 :]), operand.type.shape)
    return number(leaves, operand.node, operand.type, origin, packed=True)


# ---- openings from a run of one's own ------------------------------------------------------------


class Gathered:
    """Leaves of one's own run of a step; remembers the openings that were asked for."""

    def __init__(self, program: Program, run: RunRoots, step: int, node: int) -> None:
        self._program, self._run, self._step, self._node = program, run, step, node
        self._values = run.values(step)
        self.openings: list[Opened] = []

    def claim(self, element: int) -> Claim:
        """Return the claim about an element in one's own trace."""
        return claim_of(self._program, self._values, self._node, element)

    def leaf(self, at: int, kind: TensorType, leaf: int, *, packed: bool = False) -> bytes:
        """Return the bytes of a leaf of a value of the step."""
        data = self._run.leaf(self._step, at, leaf)
        inside = merkle_path(merkle_levels(self._run.leaf_digests(self._step, at)), leaf)
        above = merkle_path(merkle_levels(self._values), at)
        self.openings.append(Opened(pack(data) if packed else data, (*inside, *above)))
        return data

    def literal(self, tensor: bytes, kind: TensorType, leaf: int) -> bytes:
        """Return the bytes of a leaf of the node's literal."""
        raw = self._program.nodes[self._node].raw("data")
        data = leaf_bytes(kind.dtype, kind.shape, raw, leaf)
        leaves = tensor_leaves(kind.dtype, kind.shape, raw)
        self.openings.append(Opened(data, merkle_path(merkle_levels(leaves), leaf)))
        return data

    def operand(self, root: bytes, count: int, axis: int, place: int) -> Operand:
        """Return the operand of the node's concat that holds index `place` of the axis."""
        operands = concat_operands(self._program, self._program.nodes[self._node])
        found = next(it for it in reversed(operands) if it.start <= place)
        path = merkle_path(merkle_levels(operand_leaves(operands)), found.number)
        self.openings.append(Opened(operand_bytes(found), path))
        return found


def claim_of(program: Program, values: Sequence[bytes], node: int, element: int) -> Claim:
    """Return the claim about one element of a node in the trace of these values."""
    leaf = node_leaf(judged_node(program, node))
    return Claim(leaf, trace_root(values), len(values), element)


def openings_for(
    program: Program, run: RunRoots, step: int, node: int, element_at: int
) -> tuple[Opened, ...]:
    """Return what `judge` must be shown about an element of a node of one's own run."""
    gathered = Gathered(program, run, step, node)
    claim = gathered.claim(element_at)
    element(read_node(claim, judged_node(program, node)), element_at, gathered)
    return tuple(gathered.openings)
