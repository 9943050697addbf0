"""Where a dispute stands, one class per level of the walk.

What    steps of a segment -> names of the state -> nodes of one step -> leaves of one value ->
        element. A doubted output enters by its own steps. Each level says which reveal is due,
        checks it against what was claimed before, and knows where each pick leads.
Why     Both parties, and later a chain, must hold the same rules without holding a run.
Rule    In `Steps` the start is agreed and the end is not, so whatever the respondent reveals in
        between, one step keeps an agreed start and a disagreed end. Everywhere else a row of roots
        must join to the root above it.
Units   Boundary t of a unit lies before its step t; step t leads from boundary t to t + 1.
Pure    Frozen values; a refusal is `MoveRefused`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

from skerry.base.digests import tree_depth
from skerry.commit.state import seal_state, state_leaf
from skerry.commit.tensors import ITEM_BYTES, leaf_count, leaf_digest, leaf_span, seal_tensor
from skerry.commit.transcript import seal_trace
from skerry.commit.trees import climb, fold
from skerry.messages.disputes import Open, Reveal, RevealLeaf, RevealRoots, RevealTrace
from skerry.verify.descent import Descent
from skerry.verify.terms import MoveRefused, Terms, Wrong

AnyReveal = TypeVar("AnyReveal", bound=Reveal)


def _expect(kind: type[AnyReveal], reveal: Reveal) -> AnyReveal:
    if not isinstance(reveal, kind):
        raise MoveRefused(Wrong.KIND, f"{type(reveal).__name__} came where {kind.__name__} was due")
    return reveal


def _expect_count(roots: tuple[bytes, ...], due: int) -> None:
    if len(roots) != due:
        raise MoveRefused(Wrong.COUNT, f"{len(roots)} roots came where {due} were due")


def _row(reveal: Reveal) -> tuple[bytes, ...]:
    return _expect(RevealRoots, reveal).roots


class Level(Protocol):
    """A position from which the dispute goes on."""

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Refuse a reveal that is not due here or does not fit what was claimed."""
        ...

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Return where a pick leads after a reveal that was checked."""
        ...

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return among how many parts the pick chooses after `reveal`."""
        ...


@dataclass(frozen=True, slots=True)
class Steps(Level):
    """State roots agree at boundary `first` and differ at boundary `last`."""

    first: int
    last: int
    agreed: bytes
    claimed: bytes

    def points(self, arity: int) -> tuple[int, ...]:
        """Return the boundaries that the next reveal cuts at, both ends included."""
        length = self.last - self.first
        parts = min(arity, length)
        return tuple(self.first + part * length // parts for part in range(parts + 1))

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the state roots at the inner points."""
        _expect_count(_row(reveal), len(self.points(terms.cuts.steps)) - 2)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the number of parts."""
        return len(self.points(terms.cuts.steps)) - 1

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Take the part whose start agrees and whose end does not."""
        points = self.points(terms.cuts.steps)
        roots = (self.agreed, *_row(reveal), self.claimed)
        return doubt_steps(
            terms, points[choice], points[choice + 1], roots[choice], roots[choice + 1]
        )


@dataclass(frozen=True, slots=True)
class Names(Level):
    """The state after `step` differs, and the one before, whose root is `before`, agrees."""

    step: int
    before: bytes
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the next row of the state's tree."""
        _check_row(self.descent, _row(reveal), terms.cuts.names)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(_row(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first entries that differ."""
        descent = self.descent.pick(_row(reveal), choice, terms.cuts.names)
        return _doubt_entry(terms, self.step, self.before, descent)


@dataclass(frozen=True, slots=True)
class OutputSteps(Level):
    """Output `name` differs though every state root of the receipt agrees."""

    name: str
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the next row of the tree over the output's steps."""
        _check_row(self.descent, _row(reveal), terms.cuts.outputs)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(_row(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first step whose output differs."""
        descent = self.descent.pick(_row(reveal), choice, terms.cuts.outputs)
        return _doubt_output(terms, self.name, descent)


@dataclass(frozen=True, slots=True)
class Boundary(Level):
    """Output `name` of `step` differs; whether the state before that step agrees is open."""

    step: int
    name: str
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the one state root before the step."""
        _expect_count(_row(reveal), 1)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return 2: choice 0 says that the root agrees, choice 1 that it differs."""
        return 2

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go into the step, or back to the steps that led to a state that differs."""
        (root,) = _row(reveal)
        if choice == 0:
            return _trace_of_output(terms, self.step, root, self.name, self.descent)
        segment = bisect_right(terms.bounds, self.step) - 1
        return doubt_steps(
            terms, terms.bounds[segment], self.step, terms.bound_roots[segment], root
        )


@dataclass(frozen=True, slots=True)
class Trace(Level):
    """One entry of the state after `step`, or one output of it, differs: show the whole step.

    Attributes:
        step: the step; the state before it agrees.
        before: the root of that state.
        node: the node whose value the entry is.
        entry: what was claimed of the entry.
        name: the entry's name in the state, or None where it is an output.
    """

    step: int
    before: bytes
    node: int
    entry: Descent
    name: str | None

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the top row of the trace, and the entry's value at its place in it."""
        shown = _expect(RevealTrace, reveal)
        leaf = shown.value if self.name is None else state_leaf(self.name, shown.value)
        if not self.entry.binds(leaf):
            raise MoveRefused(Wrong.STATE, "the value is not the one claimed after the step")
        count = len(terms.program.nodes)
        height, _, stop = Descent.of(count, b"").row_span(terms.cuts.nodes)
        _expect_count(shown.roots, stop)
        root = fold(shown.roots, height, tree_depth(count) - height)
        if (
            len(shown.path) != tree_depth(count)
            or climb(shown.value, self.node, shown.path) != root
        ):
            raise MoveRefused(Wrong.TRACE, f"the trace does not hold the value at %{self.node}")

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(_expect(RevealTrace, reveal).roots)

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first nodes whose values differ."""
        roots = _expect(RevealTrace, reveal).roots
        whole = Descent.of(len(terms.program.nodes), b"")
        height, _, _ = whole.row_span(terms.cuts.nodes)
        trace = seal_trace(whole.count, fold(roots, height, whole.height - height))
        descent = whole.pick(roots, choice, terms.cuts.nodes)
        return _doubt_node(terms, self.step, self.before, trace, descent)


@dataclass(frozen=True, slots=True)
class Nodes(Level):
    """Among the values of one step, one under this subtree is the first that differs."""

    step: int
    before: bytes
    trace: bytes
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the next row of the trace."""
        _check_row(self.descent, _row(reveal), terms.cuts.nodes)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(_row(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first nodes whose values differ."""
        descent = self.descent.pick(_row(reveal), choice, terms.cuts.nodes)
        return _doubt_node(terms, self.step, self.before, self.trace, descent)


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
        _check_row(self.descent, _row(reveal), terms.cuts.leaves)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(_row(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first leaves that differ."""
        descent = self.descent.pick(_row(reveal), choice, terms.cuts.leaves)
        return _doubt_leaf(self.step, self.before, self.trace, self.node, descent)


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
        data = _expect(RevealLeaf, reveal).data
        first, stop = self.span(terms)
        item = ITEM_BYTES[terms.program.nodes[self.node].type.dtype]
        if len(data) != (stop - first) * item or not self.descent.binds(leaf_digest(data)):
            raise MoveRefused(Wrong.LEAF, "the bytes are not the leaf that was claimed")

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the number of elements in the leaf."""
        first, stop = self.span(terms)
        return stop - first

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """End at the first element that differs."""
        data = _expect(RevealLeaf, reveal).data
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


@dataclass(frozen=True, slots=True)
class Carried:
    """The end: an entry that the Program never touches differs after a step and not before it."""

    step: int
    before: bytes
    name: str
    entry: Descent


Position: TypeAlias = (
    Steps | Names | OutputSteps | Boundary | Trace | Nodes | Leaves | Leaf | Point | Carried
)


def opening(terms: Terms, message: Open) -> Position:
    """Return where the challenger's opening leads; refuse one that doubts what does not exist."""
    if message.segment is not None:
        at = message.segment
        if at >= len(terms.bounds) - 1:
            raise MoveRefused(Wrong.CHOICE, f"the receipt has no segment {at}")
        return doubt_steps(
            terms,
            terms.bounds[at],
            terms.bounds[at + 1],
            terms.bound_roots[at],
            terms.bound_roots[at + 1],
        )
    assert message.output is not None, "an opening has one doubt"
    claimed = dict(terms.receipt.outputs).get(message.output)
    if claimed is None or message.output not in terms.output_nodes:
        raise MoveRefused(Wrong.OUTPUT, f"the receipt has no output {message.output!r}")
    descent = Descent.of(terms.receipt.unit.steps, claimed)
    return _doubt_output(terms, message.output, descent)


def doubt_steps(terms: Terms, first: int, last: int, agreed: bytes, claimed: bytes) -> Position:
    """Return the position in which boundary `first` agrees and boundary `last` does not."""
    if last - first > 1:
        return Steps(first, last, agreed, claimed)
    count = len(terms.names)
    if count == 0:
        raise MoveRefused(Wrong.STATE, "a state without entries has only one root")
    whole = Descent.of(count, claimed, partial(seal_state, count))
    return _doubt_entry(terms, first, agreed, whole)


def _check_row(descent: Descent, roots: tuple[bytes, ...], arity: int) -> None:
    _, first, stop = descent.row_span(arity)
    _expect_count(roots, stop - first)
    if not descent.joins(roots, arity):
        raise MoveRefused(Wrong.ROOTS, "the roots do not join to the root above them")


def _doubt_entry(terms: Terms, step: int, before: bytes, descent: Descent) -> Position:
    if descent.height:
        return Names(step, before, descent)
    name = terms.names[descent.index]
    node = terms.state_nodes.get(name)
    if node is None:
        return Carried(step, before, name, descent)
    return Trace(step, before, node, descent, name)


def _doubt_output(terms: Terms, name: str, descent: Descent) -> Position:
    if descent.height:
        return OutputSteps(name, descent)
    step = descent.index
    if step not in terms.bounds:
        return Boundary(step, name, descent)
    before = terms.bound_roots[terms.bounds.index(step)]
    return _trace_of_output(terms, step, before, name, descent)


def _trace_of_output(
    terms: Terms, step: int, before: bytes, name: str, descent: Descent
) -> Position:
    return Trace(step, before, terms.output_nodes[name], descent, None)


def _doubt_node(terms: Terms, step: int, before: bytes, trace: bytes, descent: Descent) -> Position:
    if descent.height:
        return Nodes(step, before, trace, descent)
    kind = terms.program.nodes[descent.index].type
    seal = partial(seal_tensor, kind.dtype, kind.shape)
    value = Descent.of(leaf_count(kind.shape), descent.claimed, seal)
    return _doubt_leaf(step, before, trace, descent.index, value)


def _doubt_leaf(step: int, before: bytes, trace: bytes, node: int, descent: Descent) -> Position:
    if descent.height:
        return Leaves(step, before, trace, node, descent)
    return Leaf(step, before, trace, node, descent)
