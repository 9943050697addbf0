"""Settlement: pay by the tally, in one move, whatever the number of lanes or rounds.

What    `settle` pays solvers what the tally of a final epoch counts beyond what was paid. With the
        last epoch it also pays auditors and the coordinator, frees all stakes, refunds the
        submitter and closes the job.
Why     Credits are made within the vault, so no receiver can stop them; each party takes its
        tokens out when it likes.
Rule    A slashed party is paid nothing more. What a lease's own lanes can have made is paid first,
        so that no tally of another can take it; lanes that it ran for others are paid at the end,
        as far as units are left that nobody was paid for. Nobody is paid beyond the escrow. A job
        closes once its last epoch is final and no more can come: all rounds are there, the end has
        passed, or the coordinator fell.
Pure    `books` in, books out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from skerry.market.offers import NOBODY
from skerry.market.terms import AUDITORS_MAX
from skerry.settle import vault
from skerry.settle.actions import Settle
from skerry.settle.books import Books, Job, Reason, require
from skerry.settle.rounds import remembered

Moves = list[tuple[bytes, int, int]]


def final(job: Job, action: Settle, now: int) -> None:
    """Refuse to settle what may still change."""
    epoch, terms = action.epoch, job.terms
    if epoch is None:
        require(job.epochs == 0, Reason.EPOCH)
    else:
        remembered(job, epoch)
        require(now > epoch.committed + terms.window, Reason.EARLY)
    require(job.games == 0, Reason.GAMES)
    require(now > job.quiet, Reason.EARLY)
    require(action.paid == job.paid, Reason.BEFORE)


def closes(job: Job, action: Settle, now: int) -> bool:
    """Return whether this settlement is the last one."""
    ended = job.coordinator_fallen or now > job.terms.ends or job.rounds == job.terms.rounds
    return ended and (action.epoch is None or action.epoch.number == job.epochs - 1)


@dataclass(frozen=True, slots=True)
class _Pay:
    """What solvers get: for their own lanes at once, for lanes of others from what is left."""

    moves: Moves
    left: int
    paid: tuple[int, ...]
    extras: tuple[int, ...]


def _pay_solvers(job: Job, action: Settle, *, closing: bool) -> _Pay:
    """Return what solvers get, the escrow left, and the units paid for so far."""
    left, moves, paid, extras = job.escrow, Moves(), list[int](), list[int]()
    rounds = action.epoch.round_to if action.epoch else 0
    spare = rounds * job.terms.lanes  # units that are nobody's yet
    for at, lease in enumerate(job.leases):
        before = job.paid[at] if job.paid else 0
        tally = action.epoch.tally[at] if action.epoch else 0
        counted = max(tally, job.units.get(at, 0))
        total = max(before, min(counted, rounds * lease.lanes))
        convicted = bool(job.convicted >> at & 1)
        due = 0 if convicted else min((total - before) * lease.price, left)
        freed = lease.stake if closing and not convicted else 0
        left -= due
        spare -= min(total, spare)
        paid.append(total)
        moves.append((lease.node, freed, freed + due))
        extras.append(0 if convicted else max(counted, total) - total)
    for at, lease in enumerate(job.leases):
        more = min(extras[at], spare)
        spare -= more
        extras[at] = more * lease.price
    return _Pay(moves, left, tuple(paid), tuple(extras))


def _pay_others(job: Job, left: int) -> tuple[Moves, int]:
    """Return what auditors and coordinator get at the end, and the escrow left."""
    terms, moves = job.terms, Moves()
    for seat in range(AUDITORS_MAX):
        if terms.auditors[seat] == NOBODY or job.fallen >> seat & 1:
            continue
        due = min(job.audited[seat] * terms.price_audit, left)
        left -= due
        moves.append((terms.auditors[seat], terms.stake_auditor, terms.stake_auditor + due))
    if not job.coordinator_fallen:
        due = min(job.rounds * terms.price_record, left)
        left -= due
        stake = terms.stake_coordinator
        moves.append((terms.coordinator, stake, stake + due))
    return moves, left


@dataclass(frozen=True, slots=True)
class Shares:
    """Who gets how much of the escrow in one settlement, beside what is merely unlocked.

    Attributes:
        solvers: pay by lease.
        auditors: pay by seat.
        coordinator: its pay.
        refund: what goes back to the submitter.
        closing: whether it is the last settlement.
    """

    solvers: tuple[int, ...]
    auditors: tuple[int, ...] = (0,) * AUDITORS_MAX
    coordinator: int = 0
    refund: int = 0
    closing: bool = False


def shares(job: Job, action: Settle, now: int) -> Shares:
    """Return what a settlement that is allowed pays to whom."""
    closing = closes(job, action, now)
    pay = _pay_solvers(job, action, closing=closing)
    due = [credit - unlocked for _, unlocked, credit in pay.moves]
    if not closing:
        return Shares(tuple(due))
    others, left = _pay_others(job, pay.left)
    paid = dict.fromkeys(range(AUDITORS_MAX), 0)
    seats = [
        it
        for it in range(AUDITORS_MAX)
        if job.terms.auditors[it] != NOBODY and not job.fallen >> it & 1
    ]
    gained = [credit - unlocked for _, unlocked, credit in others]
    for seat, gain in zip(seats, gained, strict=False):
        paid[seat] = gain
    for at, extra in enumerate(pay.extras):
        more = min(extra, left)
        left -= more
        due[at] += more
    coordinator = 0 if job.coordinator_fallen else gained[-1]
    return Shares(tuple(due), tuple(paid.values()), coordinator, left, closing=True)


def settle(books: Books, action: Settle, now: int) -> Books:
    """Pay for everything up to a final epoch."""
    terms = action.terms
    job = books.open_job(terms)
    require(action.leases == job.leases, Reason.LEASES)
    final(job, action, now)
    closing = closes(job, action, now)
    require(closing or action.epoch is not None, Reason.EARLY)
    pay = _pay_solvers(job, action, closing=closing)
    if closing:
        others, left = _pay_others(job, pay.left)
        solvers = Moves()
        for (who, unlocked, credit), extra in zip(pay.moves, pay.extras, strict=True):
            due = min(extra, left)
            left -= due
            solvers.append((who, unlocked, credit + due))
        moves = [*solvers, *others, (terms.submitter, job.escrow, left)]
        job = replace(job, escrow=0, paid=pay.paid, closed=True)
    else:
        moves = [*pay.moves, (terms.submitter, job.escrow - pay.left, 0)]
        job = replace(job, escrow=pay.left, paid=pay.paid)
    return vault.settle(books, moves).with_job(job)
