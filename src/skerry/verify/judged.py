"""What a judge is given: a claim, one node of a Program, and leaves that hang on a trace.

What    `Claim` says what is doubted. `read_node` reads a node from the bytes that are its leaf
        under the Program's digest. `Opened` is one leaf of a value with its path; `Shown` hands
        openings out in order and believes none of them.
Why     A judge without a run, on a chain or off it, has nothing but this.
Rule    docs/reference/adjudication.md; `contracts/openings.vy` and `contracts/nodes.vy` are the
        same rules in the EVM.
Pure    Frozen values; a bad opening is `OpeningRefused`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import msgspec

from skerry.base.digests import digest, tree_depth
from skerry.base.errors import PeerError
from skerry.commit.tensors import (
    ITEM_BYTES,
    leaf_count,
    leaf_digest,
    leaf_of,
    leaf_span,
    seal_tensor,
)
from skerry.commit.transcript import seal_trace
from skerry.commit.trees import climb
from skerry.program.canonical import Operand, operand_bytes
from skerry.program.graph import I64, Attr, Node, TensorType

Bits: TypeAlias = int
"""An element: an f32 as its 32 bits, an i64 as its two's complement, a bool as 0 or 1."""

WORD = (1 << 64) - 1


class OpeningRefused(PeerError):
    """A party opened something that does not hang on what was committed; it says nothing."""

    code = "peer.opening"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"an opening was refused: {reason}", next_step="open the leaves that the op asks for"
        )


def need(condition: bool, reason: str) -> None:
    """Refuse an opening unless `condition` holds."""
    if not condition:
        raise OpeningRefused(reason)


@dataclass(frozen=True, slots=True)
class Claim:
    """One element of one value of a step.

    Attributes:
        node: the node's leaf under its Program's digest.
        trace: root of the trace of the step.
        values: how many values the trace has.
        element: the element in row-major order.
    """

    node: bytes
    trace: bytes
    values: int
    element: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The bytes of one leaf, and the siblings that lead from it to what was committed."""

    data: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A node as a judge reads it.

    Attributes:
        node: the node; in a const the attribute "data" is the digest of the literal.
        reads: the types of its operands; of a concat and an input there are none.
        root: of a concat, over its operands, of which node.inputs then holds the count alone.
        role: of an input, its port's.
        name: likewise.
    """

    node: Node
    reads: tuple[TensorType, ...] = ()
    root: bytes = b""
    role: str = ""
    name: str = ""

    @property
    def op(self) -> str:
        """The op."""
        return self.node.op

    @property
    def made(self) -> TensorType:
        """The type of the value."""
        return self.node.type


_Attrs: TypeAlias = tuple[tuple[str, Attr], ...]
_decoder = msgspec.msgpack.Decoder(tuple[str, Any, _Attrs, TensorType, Any])


def node_leaf(data: bytes) -> bytes:
    """Return the leaf of a node under its Program's digest."""
    return digest("program.node", data)


def read_node(claim: Claim, data: bytes) -> Judged:
    """Return the claim's node.

    Raises:
        OpeningRefused: the bytes are another node's, or no node's.
    """
    need(node_leaf(data) == claim.node, "the node is another one")
    try:
        op, inputs, attrs, kind, reads = _decoder.decode(data)
        if op == "concat":
            return Judged(Node(op, (int(inputs),), attrs, kind), root=bytes(reads))
        node = Node(op, tuple(map(int, inputs)), attrs, kind)
        if op == "input":
            return Judged(node, role=str(reads[0]), name=str(reads[1]))
        return Judged(node, reads=msgspec.convert(reads, tuple[TensorType, ...]))
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise OpeningRefused(f"the bytes spell no node: {error}") from None


def element_bits(data: bytes, dtype: str, place: int) -> Bits:
    """Return one element of a leaf."""
    item = ITEM_BYTES[dtype]
    return int.from_bytes(data[place * item : (place + 1) * item], "little")


def signed(bits: Bits) -> int:
    """Return the integer whose two's complement is `bits`."""
    return bits - (1 << 64) if bits >> 63 else bits


class Leaves(Protocol):
    """Where a judge gets leaves from, each asked for once and in the order of the rules."""

    def leaf(self, at: int, kind: TensorType, leaf: int, *, packed: bool = False) -> bytes:
        """Return the bytes of one leaf of the value of node `at`; `packed` lets it travel so."""
        ...

    def literal(self, tensor: bytes, kind: TensorType, leaf: int) -> bytes:
        """Return the bytes of one leaf of a literal with that digest."""
        ...

    def operand(self, root: bytes, count: int, axis: int, place: int) -> Operand:
        """Return the operand of a concat that holds index `place` of the axis."""
        ...


def number(
    leaves: Leaves, at: int, kind: TensorType, element: int, *, packed: bool = False
) -> Bits:
    """Return one element of the value of node `at`, from a leaf that travels packed if asked."""
    leaf, place = leaf_of(kind.shape, element)
    data = leaves.leaf(at, kind, leaf, packed=packed and kind.dtype == I64)
    return element_bits(data, kind.dtype, place)


def packed(data: bytes) -> bytes:
    """Return a leaf of i64 by the lowest bytes of each number alone, as few as hold them all."""
    numbers = [data[at : at + 8] for at in range(0, len(data), 8)]
    width = 1
    for width in range(1, 8):
        if all(unpacked(it[:width], 1) == it for it in numbers):
            return b"".join(it[:width] for it in numbers)
    return data


def unpacked(data: bytes, count: int) -> bytes:
    """Return the leaf of `count` i64 of which each is shown by its lowest bytes alone."""
    width = len(data) // count
    need(width > 0 and width * count == len(data), "the numbers are not packed alike")
    numbers = [data[at : at + width] for at in range(0, len(data), width)]
    return b"".join(it + (b"\xff" if it[-1] >> 7 else b"\0") * (8 - width) for it in numbers)


_operand_decoder = msgspec.msgpack.Decoder(Operand)


class Shown:
    """Openings from somebody who may lie."""

    def __init__(self, claim: Claim, openings: Sequence[Opened]) -> None:
        self._claim = claim
        self._left = list(openings)

    def leaf(self, at: int, kind: TensorType, leaf: int, *, packed: bool = False) -> bytes:
        """Return the bytes of a leaf that hangs on the trace."""
        data, tensor, rest = self._tensor(kind, leaf, packed=packed)
        claim = self._claim
        need(0 <= at < claim.values, "there is no such operand")
        need(len(rest) == tree_depth(claim.values), "the path has another length")
        root = seal_trace(claim.values, climb(tensor, at, rest))
        need(root == claim.trace, "the leaf does not hang on the trace")
        return data

    def literal(self, tensor: bytes, kind: TensorType, leaf: int) -> bytes:
        """Return the bytes of a leaf of the literal."""
        data, found, rest = self._tensor(kind, leaf)
        need(found == tensor and not rest, "the leaf is not the literal's")
        return data

    def operand(self, root: bytes, count: int, axis: int, place: int) -> Operand:
        """Return the operand that is shown under the root of a concat."""
        opened = self._next()
        try:
            operand = _operand_decoder.decode(opened.data)
        except msgspec.MsgspecError as error:
            raise OpeningRefused(f"the bytes spell no operand: {error}") from None
        need(0 <= operand.number < count, "there is no such operand")
        need(len(opened.path) == tree_depth(count), "the path has another length")
        leaf = digest("program.operand", operand_bytes(operand))
        need(climb(leaf, operand.number, opened.path) == root, "the operand is another node's")
        return operand

    def end(self) -> None:
        """Refuse openings that nobody asked for."""
        need(not self._left, "there are more openings than the op needs")

    def _next(self) -> Opened:
        need(bool(self._left), "an opening is missing")
        return self._left.pop(0)

    def _tensor(
        self, kind: TensorType, leaf: int, *, packed: bool = False
    ) -> tuple[bytes, bytes, tuple[bytes, ...]]:
        """Return the next leaf's bytes, the tensor that it is of, and the rest of its path."""
        opened = self._next()
        count = leaf_count(kind.shape)
        need(0 <= leaf < count, "there is no such leaf")
        first, stop = leaf_span(kind.shape, leaf)
        data, whole = opened.data, (stop - first) * ITEM_BYTES[kind.dtype]
        if packed and len(data) < whole:
            data = unpacked(data, stop - first)
        need(len(data) == whole, "the leaf has another length")
        levels = tree_depth(count)
        need(len(opened.path) >= levels, "the path has another length")
        root = climb(leaf_digest(data), leaf, opened.path[:levels])
        return data, seal_tensor(kind.dtype, kind.shape, root), opened.path[levels:]
