"""Verify: whether a receipt is true, and where exactly it is not.

In      A receipt, a replay or the roots of one's own run, and the moves of the other party.
Does    Compares receipt and replay; plays the dispute walk down to one element, on either side.
Out     A `Verdict`, the next move to send, and in the end a `Finding` or a `Forfeit`.
Never   Sockets, clocks, tensors of any library; never runs a Program or judges an op itself.
Start   reading at `replay`, then `walk`; `game` holds the rules that both sides and a judge share.
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
