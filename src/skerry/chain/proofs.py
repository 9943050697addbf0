"""What a judge is shown at the end of a walk: leaves of agreed values under the other's trace.

What    `HeardTrace` is what the rows of a walk tell of the solver's trace; `verdict_of` picks the
        verdict that fits the end and gathers its proofs from one's own run.
Why     The challenger has no copy of the solver's trace. But every value before the doubted node
        agrees, and the rows on the way to that node give all the siblings that are missing.
Pure    Runs are asked through `RunRoots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from skerry.base.digests import merkle_levels, merkle_path, node_digest, tree_depth
from skerry.chain.court_calls import Case
from skerry.chain.verdict_calls import (
    Verdict,
    carried_verdict,
    chance_verdict,
    data_verdict,
    element_verdict,
    given_verdict,
    left_verdict,
    run_verdict,
    state_verdict,
)
from skerry.commit.state import open_state
from skerry.commit.tensors import leaf_count, leaf_of
from skerry.commit.trees import EMPTY_ROOTS, row
from skerry.messages.disputes import Reveal, RevealRoots, RevealStep, RevealTrace
from skerry.program import TensorType
from skerry.program.canonical import judged_node
from skerry.verify.descent import Descent
from skerry.verify.folds import run_fold
from skerry.verify.game import Game
from skerry.verify.judged import Judged, Opened, read_node
from skerry.verify.leaf import Gathered, element
from skerry.verify.positions import Carried, Contradiction, Mismatch, Nodes, Point, Step, Trace
from skerry.verify.runs_game import RunsGame
from skerry.verify.walk import RunRoots
from skerry.verify.wiring import order_of, sample_at


@dataclass
class HeardTrace:
    """The solver's trace of one step, as far as its rows show it."""

    count: int
    roots: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def hear(self, game: Game, message: Reveal) -> None:
        """Remember a row; `game` is the one before the reveal."""
        match game.position, message:
            case Trace() | Step(), RevealTrace() | RevealStep():
                descent = Descent.of(self.count, b"")
            case Nodes() as at, RevealRoots():
                descent = at.descent
            case _:
                return
        height, first, _ = descent.row_span(game.terms.cuts.nodes)
        for at_row, root in enumerate(message.roots):
            self.roots[height, first + at_row] = root

    def path(self, own: Sequence[bytes], at: int, node: int) -> tuple[bytes, ...]:
        """Return the path of value `at`, which like all before `node` agrees with one's own."""
        path = []
        for height in range(tree_depth(self.count)):
            path.append(self._root(own, height, (at >> height) ^ 1, node))
        return tuple(path)

    def _root(self, own: Sequence[bytes], height: int, index: int, node: int) -> bytes:
        first, stop = index << height, (index + 1) << height
        if first >= self.count:
            return EMPTY_ROOTS[height]
        if stop <= node:
            return row(own[first:stop], height)[0]
        known = self.roots.get((height, index))
        if known is not None:
            return known
        assert height > 0, "a sibling that no row showed"
        left = self._root(own, height - 1, 2 * index, node)
        return node_digest(left, self._root(own, height - 1, 2 * index + 1, node))


class UnderTheirs(Gathered):
    """Leaves of one's own run with paths under the other party's trace."""

    def __init__(self, case: Case, run: RunRoots, heard: HeardTrace, step: int, node: int) -> None:
        super().__init__(case.terms.program, run, step, node)
        self._heard = heard

    def leaf(self, at: int, kind: TensorType, leaf: int, *, packed: bool = False) -> bytes:
        """Return the bytes of a leaf of a value of the step."""
        data = super().leaf(at, kind, leaf, packed=packed)
        mine = self.openings.pop()
        inside = mine.path[: tree_depth(leaf_count(kind.shape))]
        above = self._heard.path(self._values, at, self._node)
        self.openings.append(Opened(mine.data, (*inside, *above)))
        return data


class OwnLeaves:
    """Leaves of one's own run without any path."""

    def __init__(self, run: RunRoots, step: int) -> None:
        self._run, self._step = run, step

    def leaf(self, at: int, kind: TensorType, leaf: int, *, packed: bool = False) -> bytes:
        """Return the bytes of a leaf of a value of the step."""
        return self._run.leaf(self._step, at, leaf)

    def literal(self, tensor: bytes, kind: TensorType, leaf: int) -> bytes:
        """Refuse: no reduction reads a literal."""
        raise AssertionError("a reduction reads values alone")

    def operand(self, root: bytes, count: int, axis: int, place: int) -> object:
        """Refuse: no reduction has operands under a root of their own."""
        raise AssertionError("a reduction is no concat")


def own_parts(run: RunRoots, game: RunsGame) -> tuple[int, ...]:
    """Return the partial folds of the parts that are due, by one's own run."""
    leaves, at = OwnLeaves(run, game.point.step), game.at
    points = game.cuts()
    subject = int.from_bytes(game.point.claimed, "little")
    return (
        tuple(
            game.combine(
                [
                    run_fold(game.judged, game.point.element, subject, one, leaves)  # type: ignore[arg-type]
                    for one in range(points[part], points[part + 1])
                ]
            )
            for part in range(len(points) - 1)
        )
        if at.last > at.first
        else ()
    )


def verdict_of(case: Case, run: RunRoots, heard: HeardTrace, game: Game | RunsGame) -> Verdict:
    """Return the verdict that fits the end of a game, with its proofs."""
    point = game.point if isinstance(game, RunsGame) else game.position
    if isinstance(point, Carried):
        return _carried(case, run, point)
    if isinstance(point, Contradiction):
        return carried_verdict(case, "", bytes(32), ())
    if isinstance(point, Mismatch):
        before = run.states([point.step])[0]
        return left_verdict(case, point, run.values(point.step), before)
    assert isinstance(point, Point), "the walk has not ended"
    gathered = UnderTheirs(case, run, heard, point.step, point.node)
    judged = _judged(case, gathered, point)
    if isinstance(game, RunsGame):
        subject = int.from_bytes(point.claimed, "little")
        run_fold(judged, point.element, subject, game.at.first, gathered)
        return run_verdict(case, point, gathered.openings)
    if judged.op == "input":
        return _wiring(case, run, judged, point)
    element(judged, point.element, gathered)
    return element_verdict(case, point, gathered.openings)


def _judged(case: Case, gathered: Gathered, point: Point) -> Judged:
    data = judged_node(case.terms.program, point.node)
    return read_node(gathered.claim(point.element), data)


def _carried(case: Case, run: RunRoots, at: Carried) -> Verdict:
    shown = open_state(run.states([at.step])[0], at.name)
    return carried_verdict(case, at.name, shown.tensor, shown.path)


def _data(case: Case, judged: Judged, point: Point) -> Verdict:
    """Return the verdict on what a step read: the sample that is due at the element's place."""
    assert case.samples is not None, "a unit that reads data has a source of it"
    how, unit = case.samples.reading, case.terms.receipt.unit
    order = order_of(unit, point.step, how)
    each = judged.made.elements // (len(order.own) * order.batch)
    sample = case.samples.proof(sample_at(order, how.count, point.element // each))
    return data_verdict(case, point, how, how.open_field(judged.name), sample)


def _wiring(case: Case, run: RunRoots, judged: Judged, point: Point) -> Verdict:
    """Return the verdict on what a step was given."""
    if judged.role == "chance":
        return chance_verdict(case, point)
    if judged.role == "data":
        return _data(case, judged, point)
    leaf, _ = leaf_of(judged.made.shape, point.element)
    data = run.leaf(point.step, point.node, leaf)
    inside = merkle_path(merkle_levels(run.leaf_digests(point.step, point.node)), leaf)
    if judged.role == "given":
        return given_verdict(case, point, Opened(data, inside))
    shown = open_state(run.states([point.step])[0], judged.name)
    return state_verdict(case, point, shown.index, Opened(data, (*inside, *shown.path)))
