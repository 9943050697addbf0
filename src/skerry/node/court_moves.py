"""The moves of a dispute as a chain shows them: who, what about, at what price.

What    `MoveTeller.tell` turns a court's events into `CourtMove`s, one for each transaction.
Why     Whoever watches needs nothing but the chain: neither side is asked what it did.
Rule    What a move is about is read from the state that it led to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise

from skerry.chain import court_words
from skerry.chain.court_words import (
    CARRIED,
    LEAF,
    LEAVES,
    NAMES,
    NODES,
    OUTPUT_STEPS,
    POINT,
    RUNS,
    STEPS,
    TRACE,
    State,
)
from skerry.chain.courthouse import Heard, sent_name
from skerry.chain.disputes import Opened, Picked, Shown
from skerry.chain.rpc import Rpc, hexed, unhexed
from skerry.commit import segment_bounds
from skerry.commit.transcript import segment_of
from skerry.messages.receipts import Unit
from skerry.program import Program

_NODE_KINDS = (LEAVES, LEAF, POINT, RUNS)
_STEP_KINDS = (NAMES, TRACE, NODES, CARRIED, *_NODE_KINDS)


@dataclass(frozen=True, slots=True)
class CourtMove:
    """One transaction of a dispute.

    Attributes:
        number: its number, from 1.
        who: "challenger", "solver" or "anyone".
        name: what it does, as the court calls it.
        about: what is in doubt after it, in words.
        segment: the segment of the unit, once it is known.
        step: the step of the unit, likewise.
        node: the node of the Program, likewise.
        op: its op.
        element: the element of its value, likewise.
        gas: what it used.
        size: bytes of its call.
        seconds_left: the mover's budget after it, besides the grace of each move; None where no
            clock runs.
        transaction: its name.
    """

    number: int
    who: str
    name: str
    about: str
    segment: int | None
    step: int | None
    node: int | None
    op: str
    element: int | None
    gas: int
    size: int
    seconds_left: int | None
    transaction: bytes


@dataclass
class MoveTeller:
    """Tells the moves of one dispute.

    Attributes:
        rpc: the node, which is asked for each transaction.
        unit: the unit.
        program: its Program.
        names: the parties by address.
        told: what was told so far.
    """

    rpc: Rpc
    unit: Unit
    program: Program
    names: dict[bytes, str]
    told: int = 0

    def tell(self, heard: Iterable[Heard]) -> list[CourtMove]:
        """Return the moves behind some events."""
        groups = groupby(heard, key=lambda it: it.transaction)
        return [self._move(name, list(events)) for name, events in groups]

    def _move(self, name: bytes, events: list[Heard]) -> CourtMove:
        sent = self.rpc.ask("eth_getTransactionByHash", hexed(name))
        mined = self.rpc.receipt(name)
        assert mined is not None, "a transaction that made an event was mined"
        data = unhexed(sent["input"])
        who = self.names.get(unhexed(sent["from"]), "anyone")
        states = [it.event.state for it in events if isinstance(it.event, Opened | Shown | Picked)]
        self.told += 1
        place = Spot.of(states[-1], self.unit, self.program) if states else Spot()
        left = None
        if states:
            challenger, solver = states[-1].budgets()
            left = challenger if who == "challenger" else solver
        return CourtMove(
            number=self.told,
            who=who,
            name=sent_name(data),
            about=place.words,
            segment=place.segment,
            step=place.step,
            node=place.node,
            op=place.op,
            element=place.element,
            gas=int(mined["gasUsed"], 16),
            size=len(data),
            seconds_left=left,
            transaction=name,
        )


@dataclass(frozen=True, slots=True)
class Spot:
    """What a state is about."""

    words: str = ""
    segment: int | None = None
    step: int | None = None
    node: int | None = None
    op: str = ""
    element: int | None = None

    @classmethod
    def of(cls, state: State, unit: Unit, program: Program) -> Spot:
        """Return what a state is about."""
        first, second = state.place >> 192 & 0xFFFFFFFF, state.place >> 160 & 0xFFFFFFFF
        kind = state.kind
        height, index = state.place >> 88 & 0xFF, state.place >> 24 & (1 << 64) - 1
        count = state.place >> 96 & (1 << 64) - 1
        if kind == STEPS:
            bounds = segment_bounds(unit.steps, unit.segments)
            whole = (first, second) in pairwise(bounds)
            words = f"steps {first} to {second - 1}" if second - first > 1 else f"step {first}"
            segment = segment_of(unit.steps, unit.segments, first)
            return cls(f"segment {segment}, {words}" if whole else words, segment)
        if kind == court_words.STEP and not state.place >> 240 & court_words.OUTPUT:
            segment = segment_of(unit.steps, unit.segments, first)
            return cls(f"the state after step {first}", segment, first)
        if kind not in _STEP_KINDS:
            at = f"an output, step {first}" if kind != OUTPUT_STEPS else "an output of all steps"
            return cls(at, None, None if kind == OUTPUT_STEPS else first)
        segment = segment_of(unit.steps, unit.segments, first)
        if kind not in _NODE_KINDS:
            return cls(_of_step(kind, first, height, index, count), segment, first)
        op = program.nodes[second].op
        words = f"step {first}, op {second} {op}"
        if kind in (LEAVES, LEAF):
            return cls(
                f"{words}, {_span('leaf', 'leaves', height, index, count)}",
                segment,
                first,
                second,
                op,
            )
        if kind == RUNS:
            both = int.from_bytes(state.kept, "big")
            low, high = both >> 128, both & (1 << 128) - 1
            words = f"{words}, runs {low} to {high - 1} of its sum"
        else:
            words = f"{words}, element {index}"
        return cls(words, segment, first, second, op, index)


def _of_step(kind: int, step: int, height: int, index: int, count: int) -> str:
    match kind:
        case court_words.NAMES:
            return f"step {step}, {_span('entry', 'entries', height, index, count)} of the state"
        case court_words.TRACE:
            return f"step {step}, its trace"
        case court_words.NODES:
            return f"step {step}, {_span('op', 'ops', height, index, count)}"
        case _:
            return f"step {step}, an entry that no op touches"


def _span(one: str, many: str, height: int, index: int, count: int) -> str:
    """Return which leaves hang below node `index` at `height` of a tree of `count`."""
    first, last = index << height, min((index + 1) << height, count) - 1
    return f"{one} {first}" if first >= last else f"{many} {first} to {last}"
