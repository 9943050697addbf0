"""Verify: whether a receipt is true, and where exactly it is not.

In      A receipt, a replay or the roots of one's own run, and the moves of the other party.
Does    Compares receipt and replay; plays the dispute walk down to one element, on either side, and
        judges that element from leaves of what it is made of, as the contracts do.
Out     A `Verdict`, the next move to send, a `Finding` or a `Forfeit`, and the bits that an element
        must have.
Never   Sockets, clocks, tensors of any library; never runs a Program.
Start   reading at `replay`, then `walk`; `game` holds the rules that both sides and a judge share,
        `leaf`, `folds` and `wiring` what is judged in the end.
"""

from skerry.verify.game import Game
from skerry.verify.replay import Reason, Replay, Verdict, verify
from skerry.verify.terms import MoveRefused, Terms, Wrong
from skerry.verify.walk import (
    CannotAnswer,
    Challenger,
    Finding,
    Forfeit,
    NothingToDispute,
    Respondent,
    RunRoots,
)

__all__ = [
    "CannotAnswer",
    "Challenger",
    "Finding",
    "Forfeit",
    "Game",
    "MoveRefused",
    "NothingToDispute",
    "Reason",
    "Replay",
    "Respondent",
    "RunRoots",
    "Terms",
    "Verdict",
    "Wrong",
    "verify",
]
