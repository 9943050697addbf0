"""Roles: what a party of a job does next, from what it sees of the chain and of the run.

In      The books as the chain tells them, what the rounds came to, one's own part, and the time.
Does    Chooses the next move of submitter, solver, coordinator, auditor, whistle-blower, or anyone.
Out     An action of `settle` that the rules accept at that second, a wish for a replay, or None.
Never   Keys, clocks, sockets, tensors; never decides whether a unit was computed truly.
Start   reading at `sight`, then `auditor`; `course` is how rounds become the chain's words.
"""

from skerry.roles.course import Course, LaneWork, RoundWork
from skerry.roles.sight import Sight

__all__ = [
    "Course",
    "LaneWork",
    "RoundWork",
    "Sight",
]
