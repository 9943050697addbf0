"""The court's port: a dispute opens on a claim that the chain can see, and ends in one of two ways.

What    `admit` checks that a receipt stands in an epoch that is not final and that its solver
        signed it; `dismiss` and `convict` end the dispute. `misplace` convicts without one, where
        the receipt itself shows that it is about another unit than the job asks for.
Why     The court plays games and knows no money of jobs; the market knows no games.
Rule    Disputes about one job run side by side; nothing of the job is settled while one does.
        The first lost one costs the solver its stake; later ones find nothing left to take.
        After a conviction there is one phase to blame auditors that had accepted the lie.
Pure    `books` in, books out.
"""

from __future__ import annotations

from dataclasses import replace

from skerry.base.digests import digest
from skerry.settle import vault
from skerry.settle.actions import Admit, Convict, Dismiss, Docket, Misplace
from skerry.settle.books import Books, Job, Reason, require
from skerry.settle.records import proves
from skerry.settle.rounds import remembered
from skerry.verify.asked import is_asked

GAMES_MAX = (1 << 16) - 1


def _check_lease(docket: Docket, job: Job) -> None:
    require(docket.leases == job.leases, Reason.LEASES)
    require(docket.evidence.node < job.terms.nodes, Reason.LEASES)


def _answered(books: Books, docket: Docket, now: int) -> Job:
    """Refuse a receipt that does not stand in an open epoch, or that its solver never signed."""
    terms, epoch, it = docket.terms, docket.epoch, docket.evidence
    job = books.open_job(terms)
    remembered(job, epoch)
    require(now <= epoch.committed + terms.window, Reason.LATE)
    rounds = range(epoch.round_from, epoch.round_to)
    good = proves(it, terms.job, epoch.number, root=epoch.root, rounds=rounds, lanes=terms.lanes)
    require(good, Reason.PATH)
    _check_lease(docket, job)
    require(docket.signer == job.leases[it.node].node, Reason.SIGNATURE)
    return job


def admit(books: Books, action: Admit, now: int) -> Books:
    """Open a dispute about one receipt."""
    require(action.sender == books.court, Reason.SENDER)
    it = action.docket.evidence
    job = _answered(books, action.docket, now)
    require(action.receipt == it.receipt, Reason.PATH)
    require(not job.convicted >> it.node & 1, Reason.CONVICTED)
    require(job.games < GAMES_MAX, Reason.GAMES)
    return books.with_job(replace(job, games=job.games + 1))


def dismiss(books: Books, action: Dismiss, now: int) -> Books:
    """End a dispute that the solver won."""
    require(action.sender == books.court, Reason.SENDER)
    job = books.open_job(action.docket.terms)
    require(job.games > 0, Reason.GAMES)
    return books.with_job(replace(job, games=job.games - 1))


def convict(books: Books, action: Convict, now: int) -> Books:
    """End a dispute that the solver lost."""
    docket = action.docket
    require(action.sender == books.court, Reason.SENDER)
    job = books.open_job(docket.terms)
    require(job.games > 0, Reason.GAMES)
    _check_lease(docket, job)
    job = replace(job, games=job.games - 1)
    return _fell_solver(books, job, docket, action.segment, action.finder, now)


def misplace(books: Books, action: Misplace, now: int) -> Books:
    """Convict a solver of a receipt about another unit than the job asks for there."""
    docket, it = action.docket, action.docket.evidence
    job = _answered(books, docket, now)
    require(digest("signed", action.receipt) == it.receipt, Reason.PATH)
    spec, place = docket.terms.spec, (it.round, it.lane, it.place)
    asked = is_asked(spec, *place, action.receipt, action.config)
    require(asked is not None, Reason.PATH)
    require(not asked, Reason.SAME)
    return _fell_solver(books, job, docket, action.segment, action.sender, now)


def _fell_solver(
    books: Books, job: Job, docket: Docket, segment: int, finder: bytes, now: int
) -> Books:
    """Remember a lie, and take its author's stake, once."""
    terms, it = docket.terms, docket.evidence
    first = not job.convicted >> it.node & 1
    unit = (it.round - docket.epoch.round_from) * terms.lanes + it.lane
    at = unit * terms.segments + min(segment, terms.segments - 1)
    job = replace(
        job,
        convicted=job.convicted | 1 << it.node,
        lies=job.lies | {(docket.epoch.number, at)},
        quiet=now + terms.phase,
    )
    books = books.with_job(job)
    if first:
        lease = job.leases[it.node]
        books = vault.slash(books, lease.node, lease.stake, finder, terms.submitter)
    return books
