"""What became of each unit of a job: its price, the verdict on it, and why it was paid or not.

What    `statement` turns a job, its course and its history into lines whose sums are the vault's.
Why     A bill is believed when each line has a reason and the total is the chain's own figure.
Rule    The units of a lease are paid in the order of rounds and lanes, as the tally counts them;
        whatever a lease was paid in all stands in the settlements. So the first units that this
        pays for are "paid", and each later one says why it is not.
Pure    Values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique

from skerry.market.terms import AUDITORS_MAX
from skerry.roles.course import Course
from skerry.settle import Job
from skerry.settle.payment import Shares
from skerry.verify.audits import draw_seed, drawn_segment


@unique
class Because(StrEnum):
    """Why a unit was paid or not."""

    PAID = "paid"
    OPEN = "open"
    CONVICTED = "convicted"
    ALTERED = "altered"
    UNCLAIMED = "unclaimed"
    UNCOMMITTED = "uncommitted"
    UNCOUNTED = "uncounted"


@unique
class Found(StrEnum):
    """What auditors said of a unit."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SPLIT = "split"
    FALSE = "false"
    NOT_DRAWN = "not drawn"
    NOT_AUDITED = "not audited"


@dataclass(frozen=True, slots=True)
class EpochHistory:
    """One epoch as the log tells it.

    Attributes:
        number: its number.
        rounds: its rounds.
        pot: what the draw was made of; None where nothing was drawn.
        verdicts: what each seat said, with the start of the trace that it stands on.
        lies: segments of it that a dispute convicted.
    """

    number: int
    rounds: range
    pot: bytes | None = None
    verdicts: Mapping[int, tuple[bool, bytes]] = field(default_factory=dict)
    lies: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class UnitLine:
    """One unit.

    Attributes:
        round: its round.
        lane: its lane.
        node: who ran it; empty for nobody that has a lease.
        price: what it was to cost.
        verdict: what was found of it.
        reason: why it was paid or not.
        paid: what it was paid.
    """

    round: int
    lane: int
    node: bytes
    price: int
    verdict: Found
    reason: Because
    paid: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One job's money.

    Attributes:
        job: the job's name.
        units: every unit that was run under this award.
        audits: pay of each seat.
        records: the coordinator's pay.
        budget: what the submitter locked.
        refunded: what it has back of that.
        escrow: what is still locked.
        closed: whether the job is over.
        unlisted: what was paid for units that are not in this copy of the run: another one counts.
    """

    job: bytes
    units: tuple[UnitLine, ...]
    audits: tuple[int, ...]
    records: int
    budget: int
    refunded: int
    escrow: int
    closed: bool
    unlisted: int = 0

    @property
    def spent(self) -> int:
        """What was paid for units, audits and records."""
        units = sum(it.paid for it in self.units) + self.unlisted
        return units + sum(self.audits) + self.records

    @property
    def adds_up(self) -> bool:
        """Whether all that was locked was spent, refunded or is locked still."""
        return self.budget == self.spent + self.refunded + self.escrow


def statement(
    job: Job,
    course: Course,
    epochs: Mapping[int, EpochHistory],
    settled: tuple[Shares, ...],
    *,
    altered: frozenset[tuple[int, int]],
    claimed: int,
    dropped: frozenset[tuple[int, int]] = frozenset(),
) -> Statement:
    """Return what became of a job's money.

    Args:
        job: the job.
        course: its rounds.
        epochs: its epochs.
        settled: what its settlements paid.
        altered: lanes whose receipts are about other units than were ordered.
        claimed: rounds whose receipts are all claimed.
        dropped: lanes that the coordinator left out, since nobody claimed them in time.
    """
    pay = [sum(it.solvers[at] for it in settled) for at in range(len(job.leases))]
    lines = []
    for at, work in enumerate(course.rounds):
        if at < course.kept:
            continue  # an earlier award has paid for it
        epoch = next((it for it in epochs.values() if at in it.rounds), None)
        for lane, done in enumerate(work.lanes):
            verdict = _verdict(job, epoch, at, lane)
            if done is None:
                because = Because.ALTERED if (at, lane) in altered else Because.UNCOUNTED
                because = Because.UNCLAIMED if (at, lane) in dropped else because
                lines.append(UnitLine(at, lane, b"", 0, verdict, because, 0))
                continue
            lease = job.leases[done.lease]
            paid = min(lease.price, pay[done.lease])
            because = Because.PAID
            if paid < lease.price or (not lease.price and epoch is None):
                paid = 0
                because = _unpaid(job, done.lease, epoch is not None, at < claimed)
            pay[done.lease] -= paid
            lines.append(UnitLine(at, lane, lease.node, lease.price, verdict, because, paid))
    audits = tuple(sum(it.auditors[at] for it in settled) for at in range(AUDITORS_MAX))
    records, refund = (
        sum(getattr(it, name) for it in settled) for name in ("coordinator", "refund")
    )
    return Statement(
        job.terms.job,
        tuple(lines),
        audits,
        records,
        job.terms.budget,
        refund,
        job.escrow,
        job.closed,
        sum(pay),
    )


def _unpaid(job: Job, lease: int, committed: bool, claimed: bool) -> Because:
    if job.convicted >> lease & 1:
        return Because.CONVICTED
    if not claimed:
        return Because.UNCLAIMED
    if not job.closed:
        return Because.OPEN
    return Because.UNCOUNTED if committed else Because.UNCOMMITTED


def _verdict(job: Job, epoch: EpochHistory | None, at: int, lane: int) -> Found:
    if epoch is None or epoch.pot is None or not job.terms.seats:
        return Found.NOT_AUDITED
    terms = job.terms
    first = ((at - epoch.rounds.start) * terms.lanes + lane) * terms.segments
    if any(first <= it < first + terms.segments for it in epoch.lies):
        return Found.FALSE
    seed = draw_seed(terms.job, epoch.number, epoch.pot)
    drawn = (
        drawn_segment(
            seed,
            draw,
            rounds=len(epoch.rounds),
            lanes=terms.lanes,
            segments=terms.segments,
            first=epoch.rounds.start,
        )
        for draw in range(terms.draws)
    )
    if not any((it.round, it.lane) == (at, lane) for it in drawn):
        return Found.NOT_DRAWN
    said = list(epoch.verdicts.values())
    if not said:
        return Found.NOT_AUDITED
    if len({trace for _, trace in said}) > 1:
        return Found.SPLIT
    return Found.ACCEPTED if all(accept for accept, _ in said) else Found.REJECTED
