"""Where a dispute stands inside one step: among its values, in one value, at one element.

What    nodes of the step -> leaves of one value -> element. `Level` is what every position from
        which a dispute goes on can say; the positions above a step are in `positions`.
Why     Both parties, and a chain, must hold the same rules without holding a run.
Rule    A row of roots must join to the root above it. Every value before the doubted one agrees.
Pure    Frozen values; a refusal is `MoveRefused`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

from skerry.commit.tensors import ITEM_BYTES, leaf_count, leaf_digest, leaf_span, seal_tensor
from skerry.messages.disputes import Reveal, RevealLeaf, RevealRoots
from skerry.verify.descent import Descent
from skerry.verify.terms import MoveRefused, Terms, Wrong

AnyReveal = TypeVar("AnyReveal", bound=Reveal)


def expect(kind: type[AnyReveal], reveal: Reveal) -> AnyReveal:
    """Return a reveal of the kind that is due, or refuse it."""
    if not isinstance(reveal, kind):
        raise MoveRefused(Wrong.KIND, f"{type(reveal).__name__} came where {kind.__name__} was due")
    return reveal


def expect_count(roots: tuple[bytes, ...], due: int) -> None:
    """Refuse another number of roots than is due."""
    if len(roots) != due:
        raise MoveRefused(Wrong.COUNT, f"{len(roots)} roots came where {due} were due")


def row_of(reveal: Reveal) -> tuple[bytes, ...]:
    """Return the roots of a reveal that shows roots alone."""
    return expect(RevealRoots, reveal).roots


def check_row(descent: Descent, roots: tuple[bytes, ...], arity: int) -> None:
    """Refuse a row that is not whole or does not join to what was claimed."""
    _, first, stop = descent.row_span(arity)
    expect_count(roots, stop - first)
    if not descent.joins(roots, arity):
        raise MoveRefused(Wrong.ROOTS, "the roots do not join to the root above them")


class Level(Protocol):
    """A position from which the dispute goes on."""

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Refuse a reveal that is not due here or does not fit what was claimed."""
        ...

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> object:
        """Return where a pick leads after a reveal that was checked."""
        ...

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return among how many parts the pick chooses after `reveal`."""
        ...


@dataclass(frozen=True, slots=True)
class Nodes(Level):
    """Among the values of one step, one under this subtree is the first that differs."""

    step: int
    before: bytes
    trace: bytes
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the next row of the trace."""
        check_row(self.descent, row_of(reveal), terms.cuts.nodes)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(row_of(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Inside:
        """Go down to the first nodes whose values differ."""
        descent = self.descent.pick(row_of(reveal), choice, terms.cuts.nodes)
        return doubt_node(terms, self.step, self.before, self.trace, descent)


@dataclass(frozen=True, slots=True)
class Leaves(Level):
    """The value of `node` differs, and every value before it in the step agrees."""

    step: int
    before: bytes
    trace: bytes
    node: int
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the next row of the value's tree."""
        check_row(self.descent, row_of(reveal), terms.cuts.leaves)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(row_of(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Inside:
        """Go down to the first leaves that differ."""
        descent = self.descent.pick(row_of(reveal), choice, terms.cuts.leaves)
        return doubt_leaf(self.step, self.before, self.trace, self.node, descent)


@dataclass(frozen=True, slots=True)
class Leaf(Level):
    """One leaf of the value of `node` is the first that differs."""

    step: int
    before: bytes
    trace: bytes
    node: int
    descent: Descent

    def span(self, terms: Terms) -> tuple[int, int]:
        """Return the first element of the leaf and the one after its last."""
        return leaf_span(terms.program.nodes[self.node].type.shape, self.descent.index)

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the bytes of the leaf."""
        data = expect(RevealLeaf, reveal).data
        first, stop = self.span(terms)
        item = ITEM_BYTES[terms.program.nodes[self.node].type.dtype]
        if len(data) != (stop - first) * item or not self.descent.binds(leaf_digest(data)):
            raise MoveRefused(Wrong.LEAF, "the bytes are not the leaf that was claimed")

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the number of elements in the leaf."""
        first, stop = self.span(terms)
        return stop - first

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Inside:
        """End at the first element that differs."""
        data = expect(RevealLeaf, reveal).data
        item = ITEM_BYTES[terms.program.nodes[self.node].type.dtype]
        bits = data[choice * item : (choice + 1) * item]
        element = self.span(terms)[0] + choice
        return Point(self.step, self.before, self.trace, self.node, element, bits)


@dataclass(frozen=True, slots=True)
class Point:
    """The end: one element of one value, all of whose inputs agree.

    Attributes:
        step: the step.
        before: root of the agreed state before the step.
        trace: root of the respondent's trace of the step, for opening the op's inputs.
        node: the node.
        element: the element, in row-major order.
        claimed: its canonical bytes, as the respondent has them.
    """

    step: int
    before: bytes
    trace: bytes
    node: int
    element: int
    claimed: bytes


Inside: TypeAlias = Nodes | Leaves | Leaf | Point


def doubt_node(terms: Terms, step: int, before: bytes, trace: bytes, descent: Descent) -> Inside:
    """Return where a doubt about a subtree of a trace leads."""
    if descent.height:
        return Nodes(step, before, trace, descent)
    kind = terms.program.nodes[descent.index].type
    seal = partial(seal_tensor, kind.dtype, kind.shape)
    value = Descent.of(leaf_count(kind.shape), descent.claimed, seal)
    return doubt_leaf(step, before, trace, descent.index, value)


def doubt_leaf(step: int, before: bytes, trace: bytes, node: int, descent: Descent) -> Inside:
    """Return where a doubt about a subtree of a value leads."""
    if descent.height:
        return Leaves(step, before, trace, node, descent)
    return Leaf(step, before, trace, node, descent)
