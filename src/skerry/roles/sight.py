"""What a party sees when it has to move: the books, its job, and what was said in the open.

What    `Sight` is one job as one party sees it at one second.
Why     Every decider takes the same view, so a test can show it any state that rules can reach.
Rule    `now` is the second at which a move would count. The books are the chain's: a decider reads
        them and never predicts them.
Pure    Frozen values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.market.terms import Terms
from skerry.settle import Audit, Books, Job
from skerry.settle.invariants import phase_of
from skerry.verify.audits import draw_seed

Commitments = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """One job at one second.

    Attributes:
        books: the money as the chain has it.
        job: the job's name.
        now: the second at which a move would count.
        heard: commitments to verdicts by epoch, each with its seat, in the order of their events.
    """

    books: Books
    job: bytes
    now: int
    heard: Mapping[int, Commitments] = field(default_factory=dict)

    @property
    def state(self) -> Job:
        """The job's state."""
        return self.books.jobs[self.job]

    @property
    def terms(self) -> Terms:
        """What the job was awarded on."""
        return self.state.terms

    @property
    def seated(self) -> range:
        """The seats that have an auditor."""
        return range(self.terms.seats)

    def fallen(self, seat: int) -> bool:
        """Return whether an auditor was slashed."""
        return bool(self.state.fallen >> seat & 1)

    def phase(self, audit: Audit) -> int:
        """Return the phase of an epoch's life, 0 in the very second of its commitment."""
        if self.now <= audit.committed:
            return 0
        return phase_of(self.terms, audit.committed, self.now)

    def seed(self, epoch: int) -> bytes | None:
        """Return the seed of an epoch's draw once nobody can change it any more."""
        audit = self.state.audits[epoch]
        if audit.pot is None:
            return None
        everyone = (1 << self.terms.seats) - 1
        closed = audit.revealed == everyone or self.phase(audit) > 2
        return draw_seed(self.job, epoch, audit.pot) if closed else None


def edges(sight: Sight) -> list[int]:
    """Return the seconds at which something new may be due in a job."""
    state, terms = sight.state, sight.terms
    if state.closed:
        return []
    found = [state.quiet + 1, terms.ends + 1]
    for it in state.ring.values():
        offsets = (terms.delay, *(terms.phase * at for at in range(1, 5)), terms.window)
        found += [it.committed + after + 1 for after in offsets]
    return found
