"""Time in a dispute: a chess clock for each side, and when a silent party has lost.

What    `Clock` is whose move it is until when, and what each side has left. A mover has the grace
        of the move and then its own budget; what it does not use of the grace is not saved.
Why     A fixed window per move lets a liar take the longest every time; a budget bounds the whole
        game, and the grace keeps an honest party from losing by one slow block.
Rule    A move is possible at second t iff t <= deadline, a timeout iff t > deadline: at every
        second exactly one of them. `budget_for` allows three replays of the unit and a restart.
Source  contracts/places.vy, function moved; the chess clocks of optimistic rollups.
Pure    Whole seconds; time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REPLAYS = 3


@dataclass(frozen=True, slots=True)
class Clock:
    """Both sides' clocks, one of which runs.

    Attributes:
        deadline: the last second at which the mover may move.
        challenger: seconds that the challenger has left beyond the grace of each move.
        respondent: the same of the respondent.
        grace: seconds of each move that cost nothing.
    """

    deadline: int
    challenger: int
    respondent: int
    grace: int

    @classmethod
    def start(cls, now: int, *, budget: int, grace: int) -> Clock:
        """Return the clocks of a game that opens at second `now`."""
        return cls(now + grace + budget, budget, budget, grace)

    def moves(self, now: int) -> bool:
        """Return whether the mover may still move."""
        return now <= self.deadline

    def late(self, now: int) -> bool:
        """Return whether anyone may end the game."""
        return now > self.deadline

    def moved(self, now: int, *, by_challenger: bool, to_challenger: bool) -> Clock:
        """Return the clocks after a move at second `now`.

        Args:
            now: the second, not after the deadline.
            by_challenger: whose clock stops.
            to_challenger: whose clock runs next; after the last pick it is the same side's.
        """
        assert self.moves(now), "moved after the deadline"
        left = self.deadline - now
        after = (
            replace(self, challenger=min(self.challenger, left))
            if by_challenger
            else replace(self, respondent=min(self.respondent, left))
        )
        budget = after.challenger if to_challenger else after.respondent
        return replace(after, deadline=now + self.grace + budget)


def budget_for(*, replay: int, restart: int) -> int:
    """Return the least budget for a unit whose replay is priced at `replay` seconds."""
    return REPLAYS * replay + restart
