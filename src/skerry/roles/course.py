"""What a job's rounds came to, in the words that the chain can open.

What    `Course` turns rounds (states, receipts, and which lease ran each lane) into records, epoch
        roots, tallies and evidence.
Why     Coordinator, auditor, solver and challenger must come to the same digests, each from its
        own copy of the run, or nobody could hold anybody to a root.
Rule    Epoch e of a job of R rounds in at most N epochs has the rounds from e*E on, E = ceil(R/N),
        so that a record's epoch is known before the epoch is committed. Rounds that are kept from
        an earlier award are the first epoch and count for nobody; E is that of the others then.
        A lane is counted for the lease that ran it, in order of rounds and lanes; a dropped lane
        is EMPTY and counts nothing.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from skerry.base.digests import EMPTY, merkle_root
from skerry.market.terms import Terms
from skerry.settle import Epoch
from skerry.settle.records import Evidence, RoundEntry, lane_leaf, path_in


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What one lane did in one round: its receipts in order, and the lease that ran it."""

    receipts: tuple[bytes, ...]
    lease: int


@dataclass(frozen=True, slots=True)
class RoundWork:
    """What one round came to; a lane that was dropped is None."""

    state_before: bytes
    lanes: tuple[LaneWork | None, ...]
    state_after: bytes


def epochs_of(rounds: int, each: int, kept: int = 0) -> int:
    """Return how many epochs a job needs, of `each` rounds but for those that are kept."""
    return -(-(rounds - kept) // each) + (kept > 0)


def rounds_of_epoch(terms: Terms, kept: int = 0) -> int:
    """Return how many rounds one epoch holds, the last one perhaps fewer, and that of the kept."""
    return -(-(terms.rounds - kept) // max(1, terms.epochs - (kept > 0)))


@dataclass(frozen=True)
class Course:
    """The rounds of one job so far, from the first on.

    Attributes:
        terms: what the job was awarded on.
        rounds: what they came to.
        kept: rounds that an earlier award has paid for.
    """

    terms: Terms
    rounds: tuple[RoundWork, ...] = ()
    kept: int = 0

    def more(self, work: RoundWork) -> Course:
        """Return the course with one round more."""
        assert len(work.lanes) == self.terms.lanes, "a round has all lanes of its job"
        if len(self.rounds) < self.kept:
            work = replace(work, lanes=(None,) * len(work.lanes))
        return replace(self, rounds=(*self.rounds, work))

    def filled(self, rounds: int) -> Course:
        """Return the course with `rounds` rounds, of which those that never took place are blank.

        A blank round has no lanes and changes no state, so it is worth nothing to anybody.
        """
        last = self.rounds[-1].state_after if self.rounds else EMPTY
        blank = RoundWork(last, (None,) * self.terms.lanes, last)
        return replace(self, rounds=(*self.rounds, *(blank,) * (rounds - len(self.rounds))))

    def without(self, at: int, lanes: Collection[int]) -> Course:
        """Return the course in which some lanes of round `at` count for nobody."""
        kept = tuple(
            None if lane in lanes else work for lane, work in enumerate(self.rounds[at].lanes)
        )
        work = replace(self.rounds[at], lanes=kept)
        return replace(self, rounds=(*self.rounds[:at], work, *self.rounds[at + 1 :]))

    def epoch_of(self, at: int) -> int:
        """Return the epoch that round `at` belongs to."""
        if at < self.kept:
            return 0
        return (at - self.kept) // rounds_of_epoch(self.terms, self.kept) + (self.kept > 0)

    def end_of(self, epoch: int) -> int:
        """Return the round after the last one of an epoch."""
        after = epoch + (self.kept == 0)
        each = rounds_of_epoch(self.terms, self.kept)
        return min(self.kept + after * each, self.terms.rounds)

    # -- counting

    @cached_property
    def _counted(self) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
        """Return the units of each lane's lease up to it, by round; and the tally after each."""
        known = [0] * self.terms.nodes
        units, tallies = [], [tuple(known)]
        for work in self.rounds:
            row = []
            for lane in work.lanes:
                if lane is not None:
                    known[lane.lease] += 1
                row.append(0 if lane is None else known[lane.lease])
            units.append(tuple(row))
            tallies.append(tuple(known))
        return tuple(units), tuple(tallies)

    def units(self, at: int, lane: int) -> int:
        """Return the units of a lane's lease up to and with this one; 0 for a dropped lane."""
        return self._counted[0][at][lane]

    def tally(self, rounds: int) -> tuple[int, ...]:
        """Return the units of each lease in the first `rounds` rounds."""
        return self._counted[1][rounds]

    # -- digests

    def _leaves(self, at: int) -> list[bytes]:
        return [
            EMPTY
            if lane is None
            else lane_leaf(merkle_root(lane.receipts), lane.lease, self.units(at, index))
            for index, lane in enumerate(self.rounds[at].lanes)
        ]

    def entry(self, at: int) -> RoundEntry:
        """Return the record of round `at`."""
        work = self.rounds[at]
        return RoundEntry(work.state_before, merkle_root(self._leaves(at)), work.state_after)

    def record(self, epoch: int, at: int) -> bytes:
        """Return the name of round `at`'s record in an epoch, which the coordinator signs."""
        return self.entry(at).digest(self.terms.job, epoch, at)

    def records(self, epoch: int, rounds: range) -> list[bytes]:
        """Return the names of the records of some rounds."""
        return [self.record(epoch, at) for at in rounds]

    def root(self, epoch: int, rounds: range) -> bytes:
        """Return the root of an epoch of these rounds."""
        return merkle_root(self.records(epoch, rounds))

    def agrees(self, epoch: Epoch) -> bool:
        """Return whether an epoch on the chain holds what this course says."""
        if epoch.round_to > len(self.rounds):
            return False
        return epoch.root == self.root(epoch.number, range(epoch.round_from, epoch.round_to))

    def ended_by(self, epoch: Epoch) -> Course:
        """Return the course with the blank rounds of an epoch on the chain, if it has any.

        Where one's copy of the run is only behind, the epoch holds something else.
        """
        filled = self.filled(epoch.round_to)
        return filled if epoch.round_to > len(self.rounds) and filled.agrees(epoch) else self

    # -- evidence

    def evidence(self, epoch: Epoch, at: int, lane: int, place: int) -> Evidence:
        """Return the proof that receipt number `place` of a lane stands in an epoch."""
        work = self.rounds[at].lanes[lane]
        assert work is not None, "a dropped lane has no receipts"
        rounds = range(epoch.round_from, epoch.round_to)
        return Evidence(
            round=at,
            entry=self.entry(at),
            path=path_in(self.records(epoch.number, rounds), at - epoch.round_from),
            lane=lane,
            receipts=merkle_root(work.receipts),
            node=work.lease,
            units=self.units(at, lane),
            lane_path=path_in(self._leaves(at), lane),
            receipt=work.receipts[place],
            place=place,
            receipt_path=path_in(work.receipts, place),
        )

    def lanes_of(self, lease: int, rounds: Sequence[int]) -> list[tuple[int, int]]:
        """Return the (round, lane) pairs that a lease ran, in order."""
        return [
            (at, lane)
            for at in rounds
            for lane, work in enumerate(self.rounds[at].lanes)
            if work is not None and work.lease == lease
        ]
