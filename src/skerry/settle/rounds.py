"""Epochs: what the coordinator commits to, and what it costs to commit to two things at once.

What    `commit_epoch` records the next rounds; `equivocate` and `misrecord` slash a coordinator
        that signed otherwise; `raise_tally` one that counted a lease's units too low.
Why     Everything that is paid or doubted hangs on one root, so there must be only one.
Rule    So many epochs are open at once as the ring has places; a place is free again once the
        epoch in it is final. The tally may not exceed a unit per lane and round.
Pure    `books` in, books out.
"""

from __future__ import annotations

from dataclasses import replace

from skerry.base.digests import merkle_check
from skerry.market.terms import Terms
from skerry.settle import vault
from skerry.settle.actions import CommitEpoch, Equivocate, Misrecord, RaiseTally
from skerry.settle.books import RING, Audit, Books, Epoch, Job, Reason, require
from skerry.settle.records import proves

_TALLY_MAX = 1 << 32


def remembered(job: Job, epoch: Epoch) -> None:
    """Refuse an epoch that is not the one that the ring holds."""
    require(job.ring.get(epoch.number) == epoch, Reason.EPOCH)


def commit_epoch(books: Books, action: CommitEpoch, now: int) -> Books:
    """Record the next rounds under one root."""
    terms = action.terms
    job = books.open_job(terms)
    require(action.sender == terms.coordinator, Reason.SENDER)
    require(not job.coordinator_fallen, Reason.FALLEN)
    require(now <= terms.ends, Reason.LATE)
    after = job.rounds + action.rounds
    require(action.rounds >= 1 and after <= terms.rounds, Reason.ROUNDS)
    require(job.epochs < terms.epochs, Reason.EPOCH)
    require(len(action.tally) == terms.nodes, Reason.TALLY)
    require(sum(action.tally) <= after * terms.lanes, Reason.TALLY)
    before = job.audits.get(job.epochs - RING)
    require(before is None or now > before.committed + terms.window, Reason.OPEN)
    number = job.epochs
    epoch = Epoch(number, action.root, job.rounds, after, now, action.tally)
    kept = range(number + 1 - RING, number)
    return books.with_job(
        replace(
            job,
            epochs=number + 1,
            rounds=after,
            ring={at: it for at, it in job.ring.items() if at in kept} | {number: epoch},
            audits={at: it for at, it in job.audits.items() if at in kept} | {number: Audit(now)},
        )
    )


def fell_coordinator(books: Books, job: Job, finder: bytes) -> Books:
    """Slash the coordinator's stake; it commits no more, and its pay is gone."""
    terms = job.terms
    books = vault.slash(books, terms.coordinator, terms.stake_coordinator, finder, terms.submitter)
    return books.with_job(replace(job, coordinator_fallen=True))


def _standing(books: Books, terms: Terms) -> Job:
    job = books.open_job(terms)
    require(not job.coordinator_fallen, Reason.FALLEN)
    return job


def equivocate(books: Books, action: Equivocate, now: int) -> Books:
    """Slash a coordinator for two records of one round."""
    job, terms = _standing(books, action.terms), action.terms
    first, second = action.first, action.second
    require((first.epoch, first.round) == (second.epoch, second.round), Reason.ROUNDS)
    require(first.record != second.record, Reason.SAME)
    require(first.job == second.job == terms.job, Reason.SIGNATURE)
    require(action.first_signer == action.second_signer == terms.coordinator, Reason.SIGNATURE)
    return fell_coordinator(books, job, action.sender)


def misrecord(books: Books, action: Misrecord, now: int) -> Books:
    """Slash a coordinator whose epoch holds another record than the one it signed."""
    job, terms, epoch = _standing(books, action.terms), action.terms, action.epoch
    signed = action.signed
    remembered(job, epoch)
    require(signed.epoch == epoch.number, Reason.ROUNDS)
    require(epoch.round_from <= signed.round < epoch.round_to, Reason.ROUNDS)
    require(signed.record != action.committed, Reason.SAME)
    own = signed.job == terms.job and action.signer == terms.coordinator
    require(own, Reason.SIGNATURE)
    at, count = signed.round - epoch.round_from, epoch.round_to - epoch.round_from
    require(merkle_check(epoch.root, action.committed, at, count, action.path), Reason.PATH)
    return fell_coordinator(books, job, action.sender)


def raise_tally(books: Books, action: RaiseTally, now: int) -> Books:
    """Count a lease's units as the record says, and slash the coordinator for the difference."""
    terms, epoch, it = action.terms, action.epoch, action.evidence
    job = books.open_job(terms)
    remembered(job, epoch)
    require(now <= epoch.committed + terms.window, Reason.LATE)
    rounds = range(epoch.round_from, epoch.round_to)
    good = proves(it, terms.job, epoch.number, root=epoch.root, rounds=rounds, lanes=terms.lanes)
    require(good, Reason.PATH)
    require(it.node < terms.nodes, Reason.LEASES)
    require(it.units <= epoch.round_to * terms.lanes, Reason.TALLY)
    known = max(epoch.tally[it.node], job.units.get(it.node, 0))
    require(it.units > known, Reason.TALLY)
    units = {**job.units, it.node: it.units}
    job = replace(job, units=units, raised=job.raised | 1 << it.node)
    books = books.with_job(job)
    return books if job.coordinator_fallen else fell_coordinator(books, job, action.sender)
