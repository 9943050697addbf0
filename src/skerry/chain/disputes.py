"""Both sides of a dispute on a chain, without the chain: hear an event, say the next call.

What    `Doubter` plays the walk's challenger and `Answerer` its respondent against a court. Each
        is told the court's events one by one; `hear` returns the call that is then due, if any.
        `CourtPort` is what carries calls and events; anything that has a court behind it will do.
Why     The walk knows no chain and the chain knows no run, and neither should learn.
Rule    What an event says is checked against the rules: a party whose game is not where the rules
        put it has lost track, and stops rather than make a move that would be refused.
Pure    No keys, no clock, no IO; time stands in the states that the chain makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from eth_abi.abi import decode

from skerry.base.digests import tree_depth
from skerry.base.errors import FaultError
from skerry.chain.court_calls import (
    Case,
    Stand,
    announce_call,
    leaf_pick,
    open_call,
    pick_call,
    refute_call,
    reveal_call,
    timeout_call,
)
from skerry.chain.court_words import CARRIED, LEAF, POINT, Core, Seat, State, row_path, words_of
from skerry.chain.moves import Call
from skerry.chain.proofs import HeardTrace, own_parts, verdict_of
from skerry.chain.verdict_calls import counted_verdict, judge_call, settle_call
from skerry.commit.state import state_root
from skerry.commit.transcript import trace_root
from skerry.messages.disputes import (
    Open,
    Pick,
    Reveal,
    RevealLeaf,
    RevealParts,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.verify.descent import Descent
from skerry.verify.game import Game
from skerry.verify.positions import Leaf, Mismatch, Point, Step, Steps, Trace
from skerry.verify.runs_game import RunsGame, parts_data, parts_of
from skerry.verify.terms import MoveRefused, Wrong
from skerry.verify.walk import Challenger, Respondent, RunRoots

_STATE = "(uint256,bytes32,uint256,bytes32,bytes32,bytes32)"
_SHOW = [_STATE, "address", "address", "bytes32", "bytes32[]"]
_TRACE = [*_SHOW[:4], "bytes", "bytes32", "bytes32[]", "bytes32[]"]
_STEP = [*_SHOW[:4], "uint256", "bytes32", "bytes32[]"]
_PARTS = [*_SHOW[:4], "bytes"]


class LostTrack(FaultError):
    """The game on the chain is not where the rules put it."""

    code = "fault.court"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the game on the chain is not where the rules put it: {why}",
            next_step="compare versions: the court may be another deployment's",
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A game began."""

    game: bytes
    challenger: bytes
    solver: bytes
    core: Core
    state: State


@dataclass(frozen=True, slots=True)
class Shown:
    """The solver moved."""

    game: bytes
    state: State
    data: bytes


@dataclass(frozen=True, slots=True)
class Picked:
    """The challenger moved."""

    game: bytes
    state: State


@dataclass(frozen=True, slots=True)
class Ended:
    """A game is over."""

    game: bytes
    challenger_won: bool
    silent: bool


CourtEvent: TypeAlias = Opened | Shown | Picked | Ended


class CourtPort(Protocol):
    """A court somewhere."""

    def send(self, sender: bytes, call: Call) -> int:
        """Make a call, wait for it and return its gas; raises where the court refuses it."""
        ...

    def events(self, since: int) -> Sequence[CourtEvent]:
        """Return the court's events from number `since` on."""
        ...


def _same(game: Game | RunsGame, state: State) -> None:
    if not state.matches(words_of(game)):
        raise LostTrack(f"turn {game.turn}")


@dataclass
class Doubter:
    """The challenger's side of one game.

    Attributes:
        case: what the dispute is about.
        run: one's own run.
        address: the challenger on the chain.
        salt: what hides the opening until it is made.
        settles: whether the last pick and the judgement travel in one call.
        walk: the challenger of the walk.
    """

    case: Case
    run: RunRoots
    address: bytes
    salt: bytes
    settles: bool = True
    walk: Challenger = field(init=False)
    stand: Stand | None = None
    runs: RunsGame | None = None
    heard: HeardTrace = field(init=False)
    ended: Ended | None = None
    _settled: bool = False
    _opening: Open | None = None

    def __post_init__(self) -> None:
        self.walk = Challenger.open(self.case.terms, self.run)
        self._opening = self.walk.ask if isinstance(self.walk.ask, Open) else None
        self.heard = HeardTrace(len(self.case.terms.program.nodes))

    @property
    def opening(self) -> Open:
        """What is doubted."""
        assert self._opening is not None, "the receipt itself breaks a rule"
        return self._opening

    def announce(self) -> Call:
        """Return the call that announces the game."""
        return announce_call(self.case, self.address, self.opening, self.salt)

    def open(self, solver: bytes, *, bond: int, clock: int) -> Call:
        """Return the call that opens what was announced, in a later second."""
        assert self.walk.game is not None, "the receipt itself breaks a rule"
        seat = Seat(self.address, solver, self.case.core(bond))
        return open_call(self.case, seat, self.opening, self.salt, clock=clock)

    @property
    def game(self) -> bytes:
        """The game's name on the chain."""
        return self.case.game_name(self.address, self.opening, self.salt)

    def hear(self, event: CourtEvent) -> Call | None:
        """Take one event; return the move that is due. Other games' events are passed over."""
        if event.game != self.game:
            return None
        match event:
            case Opened():
                seat = Seat(event.challenger, event.solver, event.core)
                self.stand = Stand(event.game, seat, event.state)
                assert self.walk.game is not None, "opened without a game"
                _same(self.walk.game, event.state)
                return self._judge() if event.state.challenger_moves else None
            case Shown():
                return self._shown(event)
            case Picked():
                assert self.stand is not None, "picked in a game that was not opened"
                self.stand = Stand(event.game, self.stand.seat, event.state)
                game = self.runs or self.walk.game
                assert game is not None, "picked without a game"
                _same(game, event.state)
                due = event.state.kind in (POINT, CARRIED) and not self._settled
                return self._judge() if due else None
            case Ended():
                self.ended = event
                return None

    def _shown(self, event: Shown) -> Call:
        assert self.stand is not None, "shown in a game that was not opened"
        self.stand = Stand(event.game, self.stand.seat, event.state)
        if self.runs is not None:
            return self._shown_parts(event)
        before = self.walk.game
        assert before is not None, "shown without a game"
        if isinstance(before.position, Step) and shown_values(event.data) != self.heard.count:
            return judge_call(self.case, self.stand, counted_verdict(self.case))
        message = heard_reveal(before, event.data)
        self.heard.hear(before, message)
        try:
            shown = before.reveal(message)
        except MoveRefused as refused:
            if refused.wrong is Wrong.ROOTS and isinstance(message, RevealRoots):
                return refute_call(self.case, self.stand, before, message.roots)
            raise
        _same(shown, event.state)
        self.walk = self.walk.tell(message)
        pick = self.walk.ask
        assert isinstance(pick, Pick), "a reveal that was refused"
        if isinstance(shown.position, Leaf):
            return self._last_pick(shown, pick)
        if self.walk.game is not None and isinstance(self.walk.game.position, Mismatch):
            return self._judge()
        return pick_call(self.case, self.stand, shown, pick)

    def _last_pick(self, shown: Game, pick: Pick) -> Call:
        """Pick the element, and settle where nothing is left to show."""
        assert self.stand is not None, "a game"
        assert self.walk.game is not None, "a game"
        self.runs = RunsGame.after(self.walk.game)
        if not self.settles or (self.runs is not None and not self.runs.over):
            return pick_call(self.case, self.stand, shown, pick)
        return self._settle(leaf_pick(self.case, self.stand, shown, pick))

    def _settle(self, last: bytes) -> Call:
        """Return the last pick and the judgement as one call."""
        assert self.stand is not None, "a game"
        assert self.walk.game is not None, "a game"
        found = verdict_of(self.case, self.proofs(), self.heard, self.runs or self.walk.game)
        self._settled = True
        return settle_call(self.case, self.stand, last, found)

    def _shown_parts(self, event: Shown) -> Call:
        assert self.stand is not None, "a game of runs"
        assert self.runs is not None, "a game of runs"
        message = heard_parts(self.runs, event.data)
        shown = self.runs.reveal(message)
        _same(shown, event.state)
        ours, theirs = self.own_parts(shown), parts_of(message)
        pairs = enumerate(zip(ours, theirs, strict=True))
        choice = next((at for at, (own, it) in pairs if own != it), None)
        assert choice is not None, "our own run disagrees with itself: a fold differs, no part does"
        pick = Pick(self.case.terms.game, shown.turn + 1, choice)
        self.runs = shown.pick(pick)
        call = pick_call(self.case, self.stand, shown, pick)
        if self.settles and self.runs.over:
            return self._settle(call.arguments[3])
        return call

    def own_parts(self, game: RunsGame) -> tuple[int, ...]:
        """Return the parts that were due, by one's own run."""
        return own_parts(self.run, game)

    def proofs(self) -> RunRoots:
        """Return the run whose leaves the judge is shown."""
        return self.run

    def _judge(self) -> Call:
        assert self.stand is not None, "a game"
        assert self.walk.game is not None, "a game"
        found = verdict_of(self.case, self.proofs(), self.heard, self.runs or self.walk.game)
        return judge_call(self.case, self.stand, found)

    def timeout(self, now: int, *, fallen: bool = False) -> Call | None:
        """Return the call that ends the game if the solver is late, or if the receipt fell."""
        return _timeout(self.case, self.stand, now, challenger=True, fallen=fallen)


@dataclass
class Answerer:
    """The solver's side of one game.

    Attributes:
        case: what the dispute is about.
        run: one's own run.
        walk: the respondent of the walk.
    """

    case: Case
    run: RunRoots
    walk: Respondent = field(init=False)
    stand: Stand | None = None
    runs: RunsGame | None = None
    ended: Ended | None = None

    def __post_init__(self) -> None:
        self.walk = Respondent(self.case.terms, self.run)

    def hear(self, event: CourtEvent) -> Call | None:
        """Take one event; return the move that is due. The first game opened is this one."""
        if self.stand is not None and event.game != self.stand.game:
            return None
        match event:
            case Opened():
                seat = Seat(event.challenger, event.solver, event.core)
                self.stand = Stand(event.game, seat, event.state)
                if event.state.kind == LEAF:
                    return self._jumped(event.state)
                return self._answer(opening_of(self.case, event.state), event.state)
            case Picked():
                assert self.stand is not None, "picked in a game that was not opened"
                self.stand = Stand(event.game, self.stand.seat, event.state)
                return self._picked(event.state)
            case Shown():
                assert self.stand is not None, "shown in a game that was not opened"
                self.stand = Stand(event.game, self.stand.seat, event.state)
                game = self.runs or self.walk.game
                assert game is not None, "shown without a game"
                _same(game, event.state)
                return None
            case Ended():
                self.ended = event
                return None

    def _jumped(self, state: State) -> Call:
        """Answer a game that begins at a leaf of what was published."""
        assert self.stand is not None, "a game"
        terms, run = self.case.terms, self.run
        step, node = state.place >> 192 & 0xFFFFFFFF, state.place >> 160 & 0xFFFFFFFF
        index, count = state.place >> 24 & (1 << 64) - 1, state.place >> 96 & (1 << 64) - 1
        before, trace = state_root(run.states([step])[0]), trace_root(run.values(step))
        descent = Descent(count, 0, index, state.claimed)
        game = Game(terms, Leaf(step, before, trace, node, descent))
        _same(game, state)
        answer = RevealLeaf(terms.game, 0, run.leaf(step, node, index))
        self.walk = replace(self.walk, game=game.reveal(answer), answer=answer)
        return reveal_call(self.case, self.stand, game, answer)

    def _picked(self, state: State) -> Call | None:
        if self.runs is not None:
            choice = _match_runs(self.runs, state)
            self.runs = self.runs.pick(Pick(self.case.terms.game, self.runs.turn + 1, choice))
            return self._parts()
        game = self.walk.game
        assert game is not None, "picked without a game"
        return self._answer(pick_of(game, state), state)

    def _answer(self, message: Open | Pick, state: State) -> Call | None:
        assert self.stand is not None, "a game"
        before = self.walk.game
        self.walk = self.walk.tell(message)
        game = self.walk.game
        assert game is not None, "a move that the court took and the rules refuse"
        landed = (
            Game.open(game.terms, message)
            if isinstance(message, Open)
            else (_picked_game(before, message))
        )
        if landed.over:
            self.runs = RunsGame.after(landed)
            _same(self.runs or landed, state)
            return self._parts()
        _same(landed, state)
        assert self.walk.answer is not None, "an answer is due"
        return reveal_call(self.case, self.stand, landed, self.walk.answer)

    def _parts(self) -> Call | None:
        """Return the call that shows the parts that are due, if any are."""
        if self.runs is None or self.runs.over:
            return None
        assert self.stand is not None, "a game"
        data = parts_data(self.own_parts())
        message = RevealParts(self.case.terms.game, self.runs.turn, data)
        before, self.runs = self.runs, self.runs.reveal(message)
        return reveal_call(self.case, self.stand, before, message)

    def own_parts(self) -> tuple[int, ...]:
        """Return the parts that are due."""
        assert self.runs is not None, "no reduction is walked"
        return own_parts(self.run, self.runs)

    def timeout(self, now: int) -> Call | None:
        """Return the call that ends the game if the challenger is late."""
        return _timeout(self.case, self.stand, now, challenger=False)


def _picked_game(before: Game | None, message: Pick) -> Game:
    assert before is not None, "picked without a game"
    return before.pick(message)


def _timeout(
    case: Case, stand: Stand | None, now: int, *, challenger: bool, fallen: bool = False
) -> Call | None:
    if stand is None:
        return None
    if fallen:
        return timeout_call(case, stand, withdraw=True)
    late = now > stand.state.deadline and stand.state.challenger_moves != challenger
    return timeout_call(case, stand) if late else None


# ---- what an event says --------------------------------------------------------------------------


def opening_of(case: Case, state: State) -> Open:
    """Return the opening that made a game: the only one that leads to its first state."""
    receipt = case.terms.receipt
    doubts = [Open(case.terms.game, segment=at) for at in range(len(receipt.segments))]
    doubts += [Open(case.terms.game, output=name) for name, _ in receipt.outputs]
    for doubt in doubts:
        if state.matches(words_of(Game.open(case.terms, doubt))):
            return doubt
    raise LostTrack("no opening leads to its first state")


def heard_reveal(game: Game, data: bytes) -> Reveal:
    """Return the reveal that an event carries; `game` is the one before it."""
    name, turn = game.terms.game, game.turn
    match game.position:
        case Steps():
            roots = decode(_SHOW, data[4:])[-1]
            return RevealRoots(name, turn, tuple(roots))
        case Step() as at:
            *_, before, roots = decode(_STEP, data[4:])
            return RevealStep(name, turn, None if at.before else before, tuple(roots))
        case Trace() as at:
            *_, value, path, roots = decode(_TRACE, data[4:])
            upper = _upper_path(game, at.node, tuple(roots), len(path))
            return RevealTrace(name, turn, value, (*path, *upper), tuple(roots))
        case Leaf():
            return RevealLeaf(name, turn, data)
        case _:
            roots = [data[at : at + 32] for at in range(0, len(data), 32)]
            return RevealRoots(name, turn, tuple(roots))


def shown_values(data: bytes) -> int:
    """Return with how many values a step was shown."""
    return int(decode(_STEP, data[4:])[-3])


def _upper_path(game: Game, node: int, roots: tuple[bytes, ...], below: int) -> tuple[bytes, ...]:
    """Return the part of a trace's path that its top row implies, which the chain is not sent."""
    levels = tree_depth(len(game.terms.program.nodes)) - below
    return row_path(roots, below, levels, node >> below)


def heard_parts(game: RunsGame, data: bytes) -> RevealParts:
    """Return the parts that an event carries."""
    return RevealParts(game.terms.game, game.turn, decode(_PARTS, data[4:])[-1])


def pick_of(game: Game, state: State) -> Pick:
    """Return the pick that led from a game that was shown to a state."""
    assert game.shown is not None, "picked from nothing"
    turn = game.turn + 1
    choices: Sequence[int] = range(game.position.choices(game.terms, game.shown))  # type: ignore[union-attr]
    if isinstance(game.position, Leaf):
        index = state.place >> 24 & (1 << 64) - 1
        choices = [index - game.position.span(game.terms)[0]]
    for choice in choices:
        pick = Pick(game.terms.game, turn, choice)
        after = game.pick(pick)
        if isinstance(after.position, Mismatch):
            continue  # that is no pick on a chain, but the end
        runs = RunsGame.after(after) if isinstance(after.position, Point) else None
        if state.matches(words_of(runs or after)):
            return pick
    raise LostTrack(f"no pick leads to turn {turn}")


def _match_runs(game: RunsGame, state: State) -> int:
    assert game.shown is not None, "picked from nothing"
    for choice in range(len(parts_of(game.shown))):
        after = game.pick(Pick(game.terms.game, game.turn + 1, choice))
        if state.matches(words_of(after)):
            return choice
    raise LostTrack(f"no part leads to turn {game.turn + 1}")
