"""The rules of a dispute: whose move it is, and what a move does.

What    `Game` is everything that a judge without a run must remember. The challenger opens; then
        the respondent reveals and the challenger picks, in strict turn, until one element is left.
Why     One set of rules serves both parties and a chain, which would keep only the game's hash.
Source  Kalodner et al. 2018, "Arbitrum", dispute by bisection; here k-ary, over Merkle rows.
Pure    No clock: the caller times a silent party out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from skerry.messages.disputes import Open, Pick, Reveal
from skerry.verify.positions import (
    ENDS,
    Carried,
    Contradiction,
    Mismatch,
    Point,
    Position,
    opening,
)
from skerry.verify.terms import MoveRefused, Terms, Wrong


@dataclass(frozen=True, slots=True)
class Game:
    """A dispute after some moves.

    Attributes:
        terms: what it is about.
        position: where it stands.
        turn: how many times the challenger has moved, less one.
        shown: the respondent's reveal, where the challenger must pick from it.
    """

    terms: Terms
    position: Position
    turn: int = 0
    shown: Reveal | None = None

    @classmethod
    def open(cls, terms: Terms, message: Open) -> Game:
        """Return the game that `message` opens.

        Raises:
            MoveRefused: it is another receipt's, or doubts what the receipt does not have.
        """
        _same_game(terms, message.game)
        return cls(terms, opening(terms, message))

    @property
    def over(self) -> bool:
        """Whether one element, one entry or what one step left is to be judged."""
        return isinstance(self.position, ENDS)

    def reveal(self, message: Reveal) -> Game:
        """Return the game after the respondent's move.

        Raises:
            MoveRefused: the move is not due, or does not fit what was claimed.
        """
        _same_game(self.terms, message.game)
        position = self.position
        if (
            isinstance(position, Point | Carried | Mismatch | Contradiction)
            or self.shown
            or message.turn != self.turn
        ):
            raise MoveRefused(Wrong.TURN, f"a reveal for turn {message.turn} was not due")
        position.check(self.terms, message)
        return replace(self, shown=message)

    def pick(self, message: Pick) -> Game:
        """Return the game after the challenger's move.

        Raises:
            MoveRefused: the move is not due, or picks what was not shown.
        """
        _same_game(self.terms, message.game)
        position, shown = self.position, self.shown
        if (
            isinstance(position, Point | Carried | Mismatch | Contradiction)
            or shown is None
            or message.turn != self.turn + 1
        ):
            raise MoveRefused(Wrong.TURN, f"a pick for turn {message.turn} was not due")
        if message.choice >= position.choices(self.terms, shown):
            raise MoveRefused(Wrong.CHOICE, f"there is no part {message.choice} to pick")
        after = position.after(self.terms, shown, message.choice)
        return Game(self.terms, after, message.turn)


def _same_game(terms: Terms, game: bytes) -> None:
    if game != terms.game:
        raise MoveRefused(Wrong.GAME, "the move belongs to another dispute")
