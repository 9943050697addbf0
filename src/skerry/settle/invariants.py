"""What holds in every state that any sequence of moves can reach.

What    `solvent`: every token in the vault belongs to exactly one account, or was burned.
        `phase_of`: which audit phase a second belongs to, which is exactly one. `stakes_locked`:
        what each party must have locked for its jobs; an account never holds less.
        `closing_moves`: how anyone, alone, brings a job to its end.
Why     Said once here, these are checked after each step of a test, against rules and contracts.
Pure    Integers.
"""

from __future__ import annotations

from collections import Counter

from skerry.market.offers import NOBODY
from skerry.market.terms import AUDITORS_MAX, Terms
from skerry.settle.actions import Settle
from skerry.settle.books import Books, Job
from skerry.settle.vault import held


def solvent(books: Books, tokens: int) -> bool:
    """Return whether `tokens` are exactly what may be claimed, and no claim is negative."""
    claims = [
        value
        for it in books.accounts.values()
        for value in (it.free, it.locked, it.exiting, it.leases)
    ]
    return held(books) == tokens and all(value >= 0 for value in claims)


def _stakes(job: Job) -> Counter[bytes]:
    terms, due = job.terms, Counter[bytes]()
    due[terms.submitter] += job.escrow
    for at, lease in enumerate(job.leases):
        due[lease.node] += 0 if job.convicted >> at & 1 else lease.stake
    for seat in range(AUDITORS_MAX):
        if terms.auditors[seat] != NOBODY and not job.fallen >> seat & 1:
            due[terms.auditors[seat]] += terms.stake_auditor
    due[terms.coordinator] += 0 if job.coordinator_fallen else terms.stake_coordinator
    return due


def stakes_locked(books: Books) -> Counter[bytes]:
    """Return what each party has at stake in jobs that are under way, escrow included."""
    total: Counter[bytes] = Counter()
    for job in books.jobs.values():
        if not job.closed:
            total += _stakes(job)
    return total


def backed(books: Books, bonds: Counter[bytes]) -> bool:
    """Return whether locked money is exactly stakes, escrow and `bonds`, for everyone."""
    due = stakes_locked(books) + bonds
    return all(it.locked == due[who] for who, it in books.accounts.items())


def phase_of(terms: Terms, committed: int, now: int) -> int:
    """Return the phase of an epoch's life: 1 to 4 of its audit, 5 until it is final, then 6."""
    assert now > committed, "an epoch's first phase starts after the second of its commitment"
    if now > committed + terms.window:
        return 6
    return min((now - committed - 1) // terms.phase + 1, 5)


def closing_move(job: Job, sender: bytes) -> tuple[int, Settle] | None:
    """Return when and how anyone may close a job; None while a dispute is being played."""
    if job.games:
        return None
    last = job.ring[job.epochs - 1] if job.epochs else None
    over = job.coordinator_fallen or job.rounds == job.terms.rounds
    waits = [job.quiet, 0 if over else job.terms.ends]
    if last is not None:
        waits.append(last.committed + job.terms.window)
    return max(waits) + 1, Settle(sender, job.terms, job.leases, last, job.paid)
