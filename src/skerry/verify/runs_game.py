"""Where an element is a reduction: the walk goes on, over the runs of its terms.

What    `RunsGame` follows a `Game` that ended at an element of a fold. The respondent shows the
        partial folds of parts of the runs, the challenger picks the one that differs, until one
        run is left for a judge.
Why     A judge can afford the terms of one leaf, and a sum may have millions of them.
Rule    An element's bits claim a fold; parts must combine to what was claimed of them.
Source  `verify.folds`; contracts/walk_values.vy is the same on a chain.
Pure    Frozen values; a refusal is `MoveRefused`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skerry.messages.disputes import Pick, RevealParts
from skerry.program.canonical import judged_node
from skerry.verify.folds import PARTS_MAX, claimed, combined, cut, runs
from skerry.verify.game import Game
from skerry.verify.judged import Claim, Judged, node_leaf, read_node
from skerry.verify.positions import Point
from skerry.verify.terms import MoveRefused, Terms, Wrong

PART_BYTES = 8


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs from `first` up to `last` do not come to `fold`."""

    first: int
    last: int
    fold: int


@dataclass(frozen=True, slots=True)
class RunsGame:
    """A dispute about one element of a fold after some moves.

    Attributes:
        terms: what it is about.
        point: the element.
        judged: its node.
        at: the runs in doubt.
        turn: as in `Game`, counted on.
        shown: the respondent's parts, where the challenger must pick from them.
        whole: whether no part was picked yet.
    """

    terms: Terms
    point: Point
    judged: Judged
    at: Runs
    turn: int
    shown: RevealParts | None = None
    whole: bool = True

    @classmethod
    def after(cls, game: Game) -> RunsGame | None:
        """Return the game that goes on after `game`, or None where it ended at no fold."""
        point, program = game.position, game.terms.program
        if not isinstance(point, Point):
            return None
        data = judged_node(program, point.node)
        claim = Claim(node_leaf(data), point.trace, len(program.nodes), point.element)
        judged = read_node(claim, data)
        count = runs(judged, point.element)
        if count == 0:
            return None
        fold = claimed(judged, point.element, int.from_bytes(point.claimed, "little"))
        return cls(game.terms, point, judged, Runs(0, count, fold), game.turn)

    @property
    def over(self) -> bool:
        """Whether one run is left to judge."""
        return self.at.last - self.at.first == 1

    def claimed_word(self) -> bytes:
        """Return the element's bits and the fold in doubt as one word of a chain."""
        bits = int.from_bytes(self.point.claimed, "little")
        return (bits << 64 | self.at.fold % (1 << 64)).to_bytes(32, "big")

    def combine(self, parts: Sequence[int]) -> int:
        """Return the fold of any number of partial folds."""
        while len(parts) > PARTS_MAX:
            cuts = range(0, len(parts), PARTS_MAX)
            parts = [combined(self.judged.op, parts[at : at + PARTS_MAX]) for at in cuts]
        return combined(self.judged.op, parts)

    def cuts(self) -> tuple[int, ...]:
        """Return where the next parts begin and end."""
        return cut(self.at.first, self.at.last, self.terms.cuts.runs)

    def reveal(self, message: RevealParts) -> RunsGame:
        """Return the game after the respondent's move.

        Raises:
            MoveRefused: the move is not due, or the parts do not come to what was claimed.
        """
        if message.game != self.terms.game:
            raise MoveRefused(Wrong.GAME, "the move belongs to another dispute")
        if self.over or self.shown or message.turn != self.turn:
            raise MoveRefused(Wrong.TURN, f"a reveal for turn {message.turn} was not due")
        parts = parts_of(message)
        if len(parts) != len(self.cuts()) - 1 or len(message.data) % PART_BYTES:
            raise MoveRefused(Wrong.COUNT, f"{len(parts)} parts came")
        if combined(self.judged.op, parts) != self.at.fold:
            raise MoveRefused(Wrong.PARTS, "the parts do not come to what was claimed of them")
        return replace(self, shown=message)

    def pick(self, message: Pick) -> RunsGame:
        """Return the game after the challenger's move.

        Raises:
            MoveRefused: the move is not due, or picks what was not shown.
        """
        if message.game != self.terms.game:
            raise MoveRefused(Wrong.GAME, "the move belongs to another dispute")
        if self.shown is None or message.turn != self.turn + 1:
            raise MoveRefused(Wrong.TURN, f"a pick for turn {message.turn} was not due")
        parts, points = parts_of(self.shown), self.cuts()
        if message.choice >= len(parts):
            raise MoveRefused(Wrong.CHOICE, f"there is no part {message.choice} to pick")
        at = Runs(points[message.choice], points[message.choice + 1], parts[message.choice])
        return replace(self, at=at, shown=None, turn=message.turn, whole=False)


def parts_of(message: RevealParts) -> tuple[int, ...]:
    """Return the partial folds that a message shows."""
    return tuple(
        int.from_bytes(message.data[at : at + PART_BYTES], "big", signed=True)
        for at in range(0, len(message.data), PART_BYTES)
    )


def parts_data(parts: tuple[int, ...]) -> bytes:
    """Return partial folds as a message shows them: 8 bytes each, the highest byte first."""
    return b"".join(part.to_bytes(PART_BYTES, "big", signed=True) for part in parts)
