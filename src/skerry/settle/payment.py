"""Settlement: pay by the tally, in one move, whatever the number of lanes or rounds.

What    `settle` pays solvers what the tally of a final epoch counts beyond what was paid. With the
        last epoch it also pays auditors and the coordinator, frees all stakes, refunds the
        submitter and closes the job.
Why     Credits are made within the vault, so no receiver can stop them; each party takes its
        tokens out when it likes.
Rule    A slashed party is paid nothing more. Nobody is paid beyond the escrow. A job closes once
        its last epoch is final and no more can come: all rounds are there, the end has passed, or
        the coordinator fell.
Pure    `books` in, books out.
"""

from __future__ import annotations

from dataclasses import replace

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


def _pay_solvers(job: Job, action: Settle, *, closing: bool) -> tuple[Moves, int, tuple[int, ...]]:
    """Return what solvers get, the escrow left, and the units paid for so far."""
    left, moves, paid = job.escrow, Moves(), list[int]()
    for at, lease in enumerate(job.leases):
        before = job.paid[at] if job.paid else 0
        tally = action.epoch.tally[at] if action.epoch else 0
        units = max(tally, job.units.get(at, 0), before)
        convicted = bool(job.convicted >> at & 1)
        due = 0 if convicted else min((units - before) * lease.price, left)
        freed = lease.stake if closing and not convicted else 0
        left -= due
        paid.append(units)
        moves.append((lease.node, freed, freed + due))
    return moves, left, tuple(paid)


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


def settle(books: Books, action: Settle, now: int) -> Books:
    """Pay for everything up to a final epoch."""
    terms = action.terms
    job = books.open_job(terms)
    require(action.leases == job.leases, Reason.LEASES)
    final(job, action, now)
    closing = closes(job, action, now)
    require(closing or action.epoch is not None, Reason.EARLY)
    moves, left, paid = _pay_solvers(job, action, closing=closing)
    if closing:
        others, left = _pay_others(job, left)
        moves += [*others, (terms.submitter, job.escrow, left)]
        job = replace(job, escrow=0, paid=paid, closed=True)
    else:
        moves.append((terms.submitter, job.escrow - left, 0))
        job = replace(job, escrow=left, paid=paid)
    return vault.settle(books, moves).with_job(job)
