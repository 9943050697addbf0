"""The rules of a court: games about receipts, announced, opened, ended, and what each end costs.

What    `Docks` holds every game by its name and every receipt's standing. `announce`, `open`,
        `end` and `withdraw` change it; a game's moves are `verify.game`'s and its time
        `verify.clock`'s.
Why     The first lost game fells a receipt, and games run side by side, so no friend of the solver
        can keep an honest challenger waiting.
Rule    An opening is announced in an earlier second by a hash, so that nobody can copy a doubt.
        The bond doubles with each game that is open on a receipt. A challenger that loses pays:
        half of its bond is burned, half goes to the solver, for its gas. On a fallen receipt every
        bond comes back, however the game ends.
Source  contracts/court.vy is held to be equal.
Pure    Integers; time and the party that moves are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique

DOUBLINGS_MAX = 16


@unique
class No(StrEnum):
    """Why the court refuses."""

    GAME = "game"
    ANNOUNCE = "announce"
    FALLEN = "fallen"
    STANDS = "stands"


class CourtRefused(Exception):
    """A party did what the court does not allow."""

    def __init__(self, reason: No) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True)
class Standing:
    """One receipt before the court.

    Attributes:
        games: how many games about it are open.
        fallen: whether its solver lost one.
    """

    games: int = 0
    fallen: bool = False


@dataclass(frozen=True, slots=True)
class OpenGame:
    """A game that runs."""

    receipt: bytes
    challenger: bytes
    solver: bytes
    bond: int


@dataclass(frozen=True, slots=True)
class Payment:
    """What an end does to the challenger's bond, and whether the solver's stake is taken.

    Attributes:
        freed: how much of the bond comes back.
        to_solver: how much of it the solver gets.
        burned: how much of it is burned.
        convicted: whether this end fells the receipt.
    """

    freed: int = 0
    to_solver: int = 0
    burned: int = 0
    convicted: bool = False


@dataclass(frozen=True, slots=True)
class Docks:
    """All games and receipts before one court.

    Attributes:
        bond: of the first game on a receipt.
        announced: when each game was announced that is not open yet.
        games: the open ones.
        standings: by receipt.
    """

    bond: int
    announced: Mapping[bytes, int] = field(default_factory=dict)
    games: Mapping[bytes, OpenGame] = field(default_factory=dict)
    standings: Mapping[bytes, Standing] = field(default_factory=dict)

    def standing(self, receipt: bytes) -> Standing:
        """Return how a receipt stands."""
        return self.standings.get(receipt, Standing())

    def bond_due(self, receipt: bytes) -> int:
        """Return the bond of the next game about a receipt."""
        return self.bond << min(self.standing(receipt).games, DOUBLINGS_MAX)

    def announce(self, name: bytes, now: int) -> Docks:
        """Return the docks after an announcement."""
        if name in self.announced or name in self.games:
            raise CourtRefused(No.GAME)
        return replace(self, announced={**self.announced, name: now})

    def open(
        self, name: bytes, receipt: bytes, *, challenger: bytes, solver: bytes, now: int
    ) -> Docks:
        """Return the docks after an opening; the bond that is due is locked."""
        if name in self.games or self.announced.get(name, now) >= now:
            raise CourtRefused(No.ANNOUNCE)
        before = self.standing(receipt)
        if before.fallen:
            raise CourtRefused(No.FALLEN)
        game = OpenGame(receipt, challenger, solver, self.bond_due(receipt))
        return replace(
            self,
            announced={it: at for it, at in self.announced.items() if it != name},
            games={**self.games, name: game},
            standings={**self.standings, receipt: Standing(before.games + 1)},
        )

    def end(self, name: bytes, *, challenger_won: bool) -> tuple[Docks, Payment]:
        """Return the docks after a game's end, and what it costs whom."""
        game = self.games[name]
        before = self.standing(game.receipt)
        after = Standing(before.games - 1, before.fallen or challenger_won)
        docks = replace(
            self,
            games={it: at for it, at in self.games.items() if it != name},
            standings={**self.standings, game.receipt: after},
        )
        if challenger_won or before.fallen:
            return docks, Payment(freed=game.bond, convicted=not before.fallen)
        half = game.bond >> 1
        return docks, Payment(to_solver=half, burned=game.bond - half)

    def withdraw(self, name: bytes) -> tuple[Docks, Payment]:
        """Return the docks after a challenger left a game about a fallen receipt."""
        if not self.standing(self.games[name].receipt).fallen:
            raise CourtRefused(No.STANDS)
        return self.end(name, challenger_won=False)
