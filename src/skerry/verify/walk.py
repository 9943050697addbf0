"""The dispute walk: two parties, each with a run of its own, find the first element that differs.

What    `Challenger` doubts a receipt and picks; `Respondent` answers for it. Each is a value:
        `tell` it the other party's message and send what `ask` or `answer` then says.
Why     Replaying a unit shows that it is wrong; whoever is to judge it can afford one element.
Rule    The respondent loses at once by a reveal that does not fit its claims; a party that stays
        silent forfeits when its opponent's caller says so.
Pure    No socket, no clock; runs are asked through `RunRoots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from skerry.base.digests import merkle_levels, merkle_path
from skerry.base.errors import FaultError
from skerry.commit.state import state_leaf, state_leaves, state_root
from skerry.commit.tensors import ITEM_BYTES, leaf_of
from skerry.commit.transcript import output_root, segment_of
from skerry.commit.trees import row
from skerry.messages.disputes import (
    Ask,
    Open,
    Pick,
    Reveal,
    RevealLeaf,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.verify.descent import Descent
from skerry.verify.game import Game
from skerry.verify.positions import (
    Boundary,
    Carried,
    Contradiction,
    Leaf,
    Leaves,
    Mismatch,
    Names,
    Nodes,
    OutputSteps,
    Point,
    Step,
    Steps,
    Trace,
)
from skerry.verify.terms import MoveRefused, Terms, Wrong

CARRY = "carry"
LEFT = "left"


class RunRoots(Protocol):
    """What a party can say of its own run of the unit. Replaying on demand is fine.

    Boundary t lies before step t; boundary `steps` is the end.
    """

    def states(self, boundaries: Sequence[int]) -> Sequence[Mapping[str, bytes]]:
        """Return the state, names to tensor digests, at each of some ascending boundaries."""
        ...

    def outputs(self, name: str) -> Sequence[bytes]:
        """Return the tensor digest of one output at every step."""
        ...

    def values(self, step: int) -> Sequence[bytes]:
        """Return the tensor digest of every node's value in one step, in node order."""
        ...

    def leaf_digests(self, step: int, node: int) -> Sequence[bytes]:
        """Return the leaf digests of one value."""
        ...

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        """Return the canonical bytes of one leaf of one value."""
        ...


class NothingToDispute(FaultError):
    """The challenger's own run agrees with the receipt in every root and output."""

    code = "fault.none"

    def __init__(self) -> None:
        super().__init__("the receipt agrees with our own run, so there is nothing to dispute")


class CannotAnswer(FaultError):
    """The respondent's own run does not back its receipt: there is no reveal that would fit."""

    code = "fault.receipt"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"our own run does not back the receipt: {reason}",
            next_step="run `skerry doctor --bits` on the machine that signed the receipt",
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """The first place where the respondent's run parts from the challenger's.

    Attributes:
        segment: the segment of the unit.
        step: the step of the unit.
        node: the Program's node, or None where an untouched entry of the state was changed.
        element: the element of the node's value in row-major order, or None likewise.
        op: the node's op; "input" where the step was given something else than it should, and
            "carry" where the entry that differs is one that the Program never touches; "left" where
            a step's values are right and the state or output that it left is not theirs.
        name: the input port or the state's entry, where the fault is one of wiring.
        claimed: the element's canonical bytes in the respondent's run; for "carry" its leaf.
        own: the same in the challenger's run.
    """

    segment: int
    step: int
    node: int | None
    element: int | None
    op: str
    name: str | None
    claimed: bytes
    own: bytes

    @property
    def wiring(self) -> bool:
        """Whether the step was wired wrongly, rather than computed wrongly."""
        return self.op in ("input", CARRY, LEFT)


@dataclass(frozen=True, slots=True)
class Forfeit:
    """A party lost without a finding."""

    wrong: Wrong
    reason: str


Outcome: TypeAlias = Finding | Forfeit


@dataclass(frozen=True, slots=True)
class Challenger:
    """The party that doubts a receipt.

    Attributes:
        terms: what the dispute is about.
        run: the challenger's own run.
        ask: the message to send next, also where it is the last; None after a forfeit.
        game: the dispute so far; None where the receipt itself breaks a rule.
        outcome: how it ended, or None.
    """

    terms: Terms
    run: RunRoots
    ask: Ask | None
    game: Game | None = None
    outcome: Outcome | None = None

    @classmethod
    def open(cls, terms: Terms, run: RunRoots) -> Challenger:
        """Return the challenger of the first segment, or else output, that differs.

        Raises:
            NothingToDispute: none does.
        """
        try:
            message = _first_doubt(terms, run)
            game = Game.open(terms, message)
        except MoveRefused as refused:
            return cls(terms, run, None, outcome=Forfeit(refused.wrong, refused.reason))
        return cls(terms, run, message, game, _finding(game, run))

    def tell(self, message: Reveal) -> Challenger:
        """Take the respondent's reveal; `ask` is then the pick to send."""
        assert self.game is not None, "told in a dispute that the receipt itself decided"
        assert self.outcome is None, "told after the dispute ended"
        try:
            shown = self.game.reveal(message)
        except MoveRefused as refused:
            return self.forfeit(refused.reason, refused.wrong)
        choice = _choose(shown, message, self.run)
        pick = Pick(self.terms.game, shown.turn + 1, choice)
        try:
            game = shown.pick(pick)
        except MoveRefused as refused:
            return self.forfeit(refused.reason, refused.wrong)
        return replace(self, ask=pick, game=game, outcome=_finding(game, self.run))

    def forfeit(self, reason: str, wrong: Wrong = Wrong.SILENT) -> Challenger:
        """Take it that the respondent gave up, for example because its time ran out."""
        return replace(self, ask=None, outcome=Forfeit(wrong, reason))


@dataclass(frozen=True, slots=True)
class Respondent:
    """The party that signed the receipt, or anyone who can run the unit in its place.

    Attributes:
        terms: what the dispute is about.
        run: the respondent's own run.
        game: the dispute so far; None before the opening.
        answer: the message to send next, or None where none is due.
        outcome: set where the challenger forfeited.
    """

    terms: Terms
    run: RunRoots
    game: Game | None = None
    answer: Reveal | None = None
    outcome: Forfeit | None = None

    def tell(self, message: Ask) -> Respondent:
        """Take the challenger's move; `answer` is then the reveal to send.

        A challenger that breaks a rule forfeits.

        Raises:
            CannotAnswer: the receipt is not what the respondent's run comes to.
        """
        assert self.outcome is None, "told after the dispute ended"
        try:
            game = self._moved(message)
        except MoveRefused as refused:
            return self.forfeit(refused.reason, refused.wrong)
        if game.over:
            return replace(self, game=game, answer=None)
        answer = _answer(game, self.run)
        try:
            shown = game.reveal(answer)
        except MoveRefused as refused:
            raise CannotAnswer(refused.reason) from None
        return replace(self, game=shown, answer=answer)

    def forfeit(self, reason: str, wrong: Wrong = Wrong.SILENT) -> Respondent:
        """Take it that the challenger gave up."""
        return replace(self, answer=None, outcome=Forfeit(wrong, reason))

    def _moved(self, message: Ask) -> Game:
        if isinstance(message, Open):
            if self.game is not None:
                raise MoveRefused(Wrong.TURN, "the dispute is open already")
            return Game.open(self.terms, message)
        if self.game is None:
            raise MoveRefused(Wrong.TURN, "the dispute is not open yet")
        return self.game.pick(message)


def _first_doubt(terms: Terms, run: RunRoots) -> Open:
    ours = _roots_at(run, terms.bounds)
    assert ours[0] == terms.receipt.state_before, "our own run started from another state"
    for segment, (own, claimed) in enumerate(zip(ours[1:], terms.receipt.segments, strict=True)):
        if own != claimed:
            return Open(terms.game, segment=segment)
    claims = dict(terms.receipt.outputs)
    if claims.keys() != terms.output_nodes.keys():
        raise MoveRefused(Wrong.OUTPUT, "the receipt's outputs are not the Program's")
    for name, claimed in claims.items():
        if output_root(run.outputs(name)) != claimed:
            return Open(terms.game, output=name)
    raise NothingToDispute


def _roots_at(run: RunRoots, boundaries: Sequence[int]) -> list[bytes]:
    return [state_root(state) for state in run.states(boundaries)]


def _leaves(
    level: Names | OutputSteps | Trace | Step | Nodes | Leaves, run: RunRoots
) -> Sequence[bytes]:
    """Return one's own leaves of the tree that a level walks down."""
    match level:
        case Names():
            return state_leaves(run.states([level.step + 1])[0])
        case OutputSteps():
            return run.outputs(level.name)
        case Trace() | Step() | Nodes():
            return run.values(level.step)
        case Leaves():
            return run.leaf_digests(level.step, level.node)


def _arity(level: Names | OutputSteps | Nodes | Leaves, terms: Terms) -> int:
    match level:
        case Names():
            return terms.cuts.names
        case OutputSteps():
            return terms.cuts.outputs
        case Nodes():
            return terms.cuts.nodes
        case Leaves():
            return terms.cuts.leaves


def _own_row(descent: Descent, leaves: Sequence[bytes], arity: int) -> list[bytes]:
    """Return one's own row where `descent` asks for the next one."""
    height, first, stop = descent.row_span(arity)
    return row(leaves[first << height : stop << height], height)


def _first_difference(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int:
    for at, (own, claimed) in enumerate(zip(ours, theirs, strict=True)):
        if own != claimed:
            return at
    raise AssertionError("our own run disagrees with itself: a root differs and no part of it does")


def _items(data: bytes, dtype: str) -> list[bytes]:
    item = ITEM_BYTES[dtype]
    return [data[at : at + item] for at in range(0, len(data), item)]


def _choose(game: Game, shown: Reveal, run: RunRoots) -> int:
    """Return the first part of what was shown that differs from one's own run."""
    level, terms = game.position, game.terms
    match level, shown:
        case Steps(), RevealRoots():
            ours = _roots_at(run, level.points(terms.cuts.steps)[1:-1])
            pairs = zip(ours, shown.roots, strict=True)
            return next((at for at, (own, it) in enumerate(pairs) if own != it), len(ours))
        case Boundary(), RevealRoots():
            return int(_roots_at(run, [level.step]) != [*shown.roots])
        case Names() | OutputSteps() | Nodes() | Leaves(), RevealRoots():
            ours = _own_row(level.descent, _leaves(level, run), _arity(level, terms))
            return _first_difference(ours, shown.roots)
        case Trace(), RevealTrace():
            whole = Descent.of(len(terms.program.nodes), b"")
            ours = _own_row(whole, _leaves(level, run), terms.cuts.nodes)
            return _first_difference(ours, shown.roots)
        case Step(), RevealStep():
            return _choose_of_step(level, shown, terms, run)
        case Leaf(), RevealLeaf():
            dtype = terms.program.nodes[level.node].type.dtype
            own = run.leaf(level.step, level.node, level.descent.index)
            return _first_difference(_items(own, dtype), _items(shown.data, dtype))
        case _:
            raise AssertionError("a reveal passed the rules of a level that does not take it")


def _choose_of_step(level: Step, shown: RevealStep, terms: Terms, run: RunRoots) -> int:
    """Return the root before the step if it differs, else the first values, else the claim."""
    count = len(shown.roots)
    if shown.before is not None and _roots_at(run, [level.step]) != [shown.before]:
        return count + 1
    whole = Descent.of(len(terms.program.nodes), b"")
    ours = _own_row(whole, _leaves(level, run), terms.cuts.nodes)
    pairs = enumerate(zip(ours, shown.roots, strict=True))
    return next((at for at, (own, claimed) in pairs if own != claimed), count)


def _answer(game: Game, run: RunRoots) -> Reveal:
    """Return the reveal that is due, from one's own run."""
    level, terms = game.position, game.terms
    match level:
        case Steps():
            roots = _roots_at(run, level.points(terms.cuts.steps)[1:-1])
            return RevealRoots(terms.game, game.turn, tuple(roots))
        case Boundary():
            return RevealRoots(terms.game, game.turn, tuple(_roots_at(run, [level.step])))
        case Names() | OutputSteps() | Nodes() | Leaves():
            roots = _own_row(level.descent, _leaves(level, run), _arity(level, terms))
            return RevealRoots(terms.game, game.turn, tuple(roots))
        case Trace():
            values = _leaves(level, run)
            roots = _own_row(Descent.of(len(values), b""), values, terms.cuts.nodes)
            path = merkle_path(merkle_levels(values), level.node)
            return RevealTrace(terms.game, game.turn, values[level.node], path, tuple(roots))
        case Step():
            values = _leaves(level, run)
            roots = _own_row(Descent.of(len(values), b""), values, terms.cuts.nodes)
            before = None if level.before else _roots_at(run, [level.step])[0]
            return RevealStep(terms.game, game.turn, before, tuple(roots))
        case Leaf():
            data = run.leaf(level.step, level.node, level.descent.index)
            return RevealLeaf(terms.game, game.turn, data)
        case Point() | Carried() | Mismatch() | Contradiction():
            raise AssertionError("no reveal is due after the end")


def _finding(game: Game, run: RunRoots) -> Finding | None:
    """Return the finding where the walk has ended."""
    at, unit = game.position, game.terms.receipt.unit
    match at:
        case Point():
            node = game.terms.program.nodes[at.node]
            leaf, place = leaf_of(node.type.shape, at.element)
            own = _items(run.leaf(at.step, at.node, leaf), node.type.dtype)[place]
            port = node.integer("port") if node.op == "input" else None
            return Finding(
                segment=segment_of(unit.steps, unit.segments, at.step),
                step=at.step,
                node=at.node,
                element=at.element,
                op=node.op,
                name=None if port is None else game.terms.program.inputs[port].name,
                claimed=at.claimed,
                own=own,
            )
        case Carried():
            own = state_leaf(at.name, run.states([at.step + 1])[0][at.name])
            return Finding(
                segment=segment_of(unit.steps, unit.segments, at.step),
                step=at.step,
                node=None,
                element=None,
                op=CARRY,
                name=at.name,
                claimed=at.entry.claimed,
                own=at.entry.seal(own) if at.entry.seal else own,
            )
        case Mismatch():
            after = run.states([at.step + 1])[0] if at.name is None else {}
            return Finding(
                segment=segment_of(unit.steps, unit.segments, at.step),
                step=at.step,
                node=None,
                element=None,
                op=LEFT,
                name=at.name,
                claimed=at.claimed,
                own=run.outputs(at.name)[at.step] if at.name else state_root(after),
            )
        case Contradiction():
            return Finding(
                segment=segment_of(unit.steps, unit.segments, at.step),
                step=at.step,
                node=None,
                element=None,
                op=LEFT,
                name=None,
                claimed=at.shown,
                own=at.said,
            )
        case _:
            return None
