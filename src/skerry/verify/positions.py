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
from typing import TypeAlias

from skerry.base.digests import tree_depth
from skerry.commit.state import seal_state, state_leaf
from skerry.commit.transcript import seal_trace
from skerry.commit.trees import climb, fold
from skerry.messages.disputes import Open, Reveal, RevealStep, RevealTrace
from skerry.verify.descent import Descent
from skerry.verify.inside import (
    Inside,
    Leaf,
    Leaves,
    Level,
    Nodes,
    Point,
    check_row,
    doubt_node,
    expect,
    expect_count,
    row_of,
)
from skerry.verify.terms import WHOLE_NAMES_MAX, MoveRefused, Terms, Wrong

__all__ = [
    "ENDS",
    "Boundary",
    "Carried",
    "Contradiction",
    "Leaf",
    "Leaves",
    "Mismatch",
    "Names",
    "Nodes",
    "OutputSteps",
    "Point",
    "Position",
    "Step",
    "Steps",
    "Trace",
    "doubt_steps",
    "opening",
]


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
        expect_count(row_of(reveal), len(self.points(terms.cuts.steps)) - 2)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the number of parts."""
        return len(self.points(terms.cuts.steps)) - 1

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Take the part whose start agrees and whose end does not."""
        points = self.points(terms.cuts.steps)
        roots = (self.agreed, *row_of(reveal), self.claimed)
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
        check_row(self.descent, row_of(reveal), terms.cuts.names)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(row_of(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first entries that differ."""
        descent = self.descent.pick(row_of(reveal), choice, terms.cuts.names)
        return _doubt_entry(terms, self.step, self.before, descent)


@dataclass(frozen=True, slots=True)
class OutputSteps(Level):
    """Output `name` differs though every state root of the receipt agrees."""

    name: str
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the next row of the tree over the output's steps."""
        check_row(self.descent, row_of(reveal), terms.cuts.outputs)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(row_of(reveal))

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first step whose output differs."""
        descent = self.descent.pick(row_of(reveal), choice, terms.cuts.outputs)
        return _doubt_output(terms, self.name, descent)


@dataclass(frozen=True, slots=True)
class Boundary(Level):
    """Output `name` of `step` differs; whether the state before that step agrees is open."""

    step: int
    name: str
    descent: Descent

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the one state root before the step."""
        expect_count(row_of(reveal), 1)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return 2: choice 0 says that the root agrees, choice 1 that it differs."""
        return 2

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go into the step, or back to the steps that led to a state that differs."""
        (root,) = row_of(reveal)
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
        shown = expect(RevealTrace, reveal)
        leaf = shown.value if self.name is None else state_leaf(self.name, shown.value)
        if not self.entry.binds(leaf):
            raise MoveRefused(Wrong.STATE, "the value is not the one claimed after the step")
        count = len(terms.program.nodes)
        height, _, stop = Descent.of(count, b"").row_span(terms.cuts.nodes)
        expect_count(shown.roots, stop)
        root = fold(shown.roots, height, tree_depth(count) - height)
        if (
            len(shown.path) != tree_depth(count)
            or climb(shown.value, self.node, shown.path) != root
        ):
            raise MoveRefused(Wrong.TRACE, f"the trace does not hold the value at %{self.node}")

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row."""
        return len(expect(RevealTrace, reveal).roots)

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first nodes whose values differ."""
        roots = expect(RevealTrace, reveal).roots
        whole = Descent.of(len(terms.program.nodes), b"")
        trace = _trace_of(whole, roots, terms.cuts.nodes)
        descent = whole.pick(roots, choice, terms.cuts.nodes)
        return doubt_node(terms, self.step, self.before, trace, descent)


@dataclass(frozen=True, slots=True)
class Step(Level):
    """What `step` left differs: show all its values, and what is claimed is held to them later.

    Attributes:
        step: the step.
        before: root of the agreed state before it; empty where an output is doubted, so that no
            receipt must be read to find it.
        claimed: the state root after the step, or the tensor digest of one output of it.
        name: the output, or None where the state is doubted.
    """

    step: int
    before: bytes
    claimed: bytes
    name: str | None

    def check(self, terms: Terms, reveal: Reveal) -> None:
        """Expect the top row of the trace, and the root before the step if nobody has said it."""
        shown = expect(RevealStep, reveal)
        if (shown.before is None) != bool(self.before):
            raise MoveRefused(Wrong.STATE, "the root before the step is due once, and only once")
        _, _, stop = Descent.of(len(terms.program.nodes), b"").row_span(terms.cuts.nodes)
        expect_count(shown.roots, stop)

    def choices(self, terms: Terms, reveal: Reveal) -> int:
        """Return the length of the row, and one or two more.

        The first says that every value agrees and what is claimed does not follow from them; the
        second that the root before the step, which was shown with them, differs.
        """
        return len(expect(RevealStep, reveal).roots) + (1 if self.before else 2)

    def after(self, terms: Terms, reveal: Reveal, choice: int) -> Position:
        """Go down to the first nodes whose values differ, end here, or go back."""
        shown = expect(RevealStep, reveal)
        before = shown.before or self.before
        if choice > len(shown.roots):
            segment = bisect_right(terms.bounds, self.step) - 1
            first, agreed = terms.bounds[segment], terms.bound_roots[segment]
            if first == self.step:
                return Contradiction(self.step, agreed, before)
            return doubt_steps(terms, first, self.step, agreed, before)
        whole = Descent.of(len(terms.program.nodes), b"")
        trace = _trace_of(whole, shown.roots, terms.cuts.nodes)
        if choice == len(shown.roots):
            return Mismatch(self.step, before, trace, self.claimed, self.name)
        descent = whole.pick(shown.roots, choice, terms.cuts.nodes)
        return doubt_node(terms, self.step, before, trace, descent)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The end: every value of a step agrees, and what was claimed does not follow from them."""

    step: int
    before: bytes
    trace: bytes
    claimed: bytes
    name: str | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The end: the root shown before `step` is not the one that the receipt says there."""

    step: int
    said: bytes
    shown: bytes


@dataclass(frozen=True, slots=True)
class Carried:
    """The end: an entry that the Program never touches differs after a step and not before it."""

    step: int
    before: bytes
    name: str
    entry: Descent


Position: TypeAlias = (
    Steps
    | Names
    | OutputSteps
    | Boundary
    | Trace
    | Step
    | Mismatch
    | Contradiction
    | Carried
    | Inside
)

ENDS = (Point, Carried, Mismatch, Contradiction)


def _trace_of(whole: Descent, roots: tuple[bytes, ...], arity: int) -> bytes:
    """Return the root of the trace whose top row is shown."""
    height, _, _ = whole.row_span(arity)
    return seal_trace(whole.count, fold(roots, height, whole.height - height))


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
    if terms.whole_steps and count <= WHOLE_NAMES_MAX:
        return Step(first, agreed, claimed, None)
    whole = Descent.of(count, claimed, partial(seal_state, count))
    return _doubt_entry(terms, first, agreed, whole)


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
    if terms.whole_steps:
        return Step(step, b"", descent.claimed, name)
    if step not in terms.bounds:
        return Boundary(step, name, descent)
    before = terms.bound_roots[terms.bounds.index(step)]
    return _trace_of_output(terms, step, before, name, descent)


def _trace_of_output(
    terms: Terms, step: int, before: bytes, name: str, descent: Descent
) -> Position:
    return Trace(step, before, terms.output_nodes[name], descent, None)
