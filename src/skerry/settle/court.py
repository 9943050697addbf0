"""The court's port: a dispute opens on a claim that the chain can see, and ends in one of two ways.

What    `admit` checks that a receipt stands in an epoch that is not final and that its solver
        signed it; `dismiss` and `convict` end the dispute.
Why     The court plays games and knows no money of jobs; the market knows no games.
Rule    Disputes about one job run side by side; nothing of the job is settled while one does.
        The first lost one costs the solver its stake; later ones find nothing left to take.
        After a conviction there is one phase to blame auditors that had accepted the lie.
Pure    `books` in, books out.
"""

from __future__ import annotations

from dataclasses import replace

from skerry.settle import vault
from skerry.settle.actions import Admit, Convict, Dismiss, Docket
from skerry.settle.books import Books, Job, Reason, require
from skerry.settle.records import proves
from skerry.settle.rounds import remembered

GAMES_MAX = (1 << 16) - 1


def _check_lease(docket: Docket, job: Job) -> None:
    require(docket.leases == job.leases, Reason.LEASES)
    require(docket.evidence.node < job.terms.nodes, Reason.LEASES)


def admit(books: Books, action: Admit, now: int) -> Books:
    """Open a dispute about one receipt."""
    docket = action.docket
    terms, epoch, it = docket.terms, docket.epoch, docket.evidence
    require(action.sender == books.court, Reason.SENDER)
    job = books.open_job(terms)
    remembered(job, epoch)
    require(now <= epoch.committed + terms.window, Reason.LATE)
    require(job.games < GAMES_MAX, Reason.GAMES)
    rounds = range(epoch.round_from, epoch.round_to)
    good = proves(it, terms.job, epoch.number, root=epoch.root, rounds=rounds, lanes=terms.lanes)
    require(action.receipt == it.receipt and good, Reason.PATH)
    _check_lease(docket, job)
    require(not job.convicted >> it.node & 1, Reason.CONVICTED)
    require(docket.signer == job.leases[it.node].node, Reason.SIGNATURE)
    return books.with_job(replace(job, games=job.games + 1))


def dismiss(books: Books, action: Dismiss, now: int) -> Books:
    """End a dispute that the solver won."""
    require(action.sender == books.court, Reason.SENDER)
    job = books.open_job(action.docket.terms)
    require(job.games > 0, Reason.GAMES)
    return books.with_job(replace(job, games=job.games - 1))


def convict(books: Books, action: Convict, now: int) -> Books:
    """End a dispute that the solver lost."""
    docket, it = action.docket, action.docket.evidence
    terms = docket.terms
    require(action.sender == books.court, Reason.SENDER)
    job = books.open_job(terms)
    require(job.games > 0, Reason.GAMES)
    _check_lease(docket, job)
    first = not job.convicted >> it.node & 1
    unit = (it.round - docket.epoch.round_from) * terms.lanes + it.lane
    at = unit * terms.segments + min(action.segment, terms.segments - 1)
    job = replace(
        job,
        games=job.games - 1,
        convicted=job.convicted | 1 << it.node,
        lies=job.lies | {(docket.epoch.number, at)},
        quiet=now + terms.phase,
    )
    books = books.with_job(job)
    if first:
        lease = job.leases[it.node]
        books = vault.slash(books, lease.node, lease.stake, action.finder, terms.submitter)
    return books
