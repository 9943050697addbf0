"""The award: the one move that makes a job, its leases, its escrow and all stakes.

What    `award` takes the submitter's terms and the signed offers that they were matched from.
Why     Offers stand off the chain and cost nothing; one move binds everyone, or nobody.
Rule    Sent by the submitter, whose money it is. One offer for each lease, then for each auditor,
        then for the coordinator unless it is the submitter. Bounds on phase and window protect
        whoever signed a standing offer from terms under which nobody could answer in time.
Pure    `books` in, books out.
"""

from __future__ import annotations

from skerry.base.digests import EMPTY
from skerry.market.offers import AMOUNT_MAX, NOBODY, Offer, Role
from skerry.market.terms import (
    AUDITORS_MAX,
    DRAWS_MAX,
    EPOCHS_MAX,
    LEASES_MAX,
    PHASES,
    SEGMENTS_MAX,
    Lease,
    Terms,
    lease_hash,
)
from skerry.settle import vault
from skerry.settle.actions import Award, SignedOffer
from skerry.settle.books import Books, Job, Limits, Reason, require

_U32 = 1 << 32


def sound(terms: Terms, limits: Limits, now: int) -> bool:
    """Return whether terms can be lived with by everyone who did not write them."""
    seated = [it != NOBODY for it in terms.auditors]
    prices = (terms.price_max, terms.price_audit, terms.price_record)
    stakes = (terms.stake_solver, terms.stake_auditor, terms.stake_coordinator)
    return (
        all(0 <= it <= AMOUNT_MAX for it in (*prices, *stakes))
        and 1 <= terms.nodes <= LEASES_MAX
        and 1 <= terms.lanes < _U32
        and 1 <= terms.rounds < _U32
        and 1 <= terms.epochs <= EPOCHS_MAX
        and 1 <= terms.segments <= SEGMENTS_MAX
        and terms.draws <= DRAWS_MAX
        and seated == sorted(seated, reverse=True)
        and terms.phase >= limits.phase_min
        and 1 <= terms.delay <= terms.phase >> 1
        and PHASES * terms.phase <= terms.window <= limits.window_max
        and limits.phase_min <= terms.clock <= limits.window_max
        and now < terms.ends <= now + limits.lease_max
    )


def _check_solver(terms: Terms, lease: Lease, offer: Offer) -> None:
    require(1 <= lease.lanes <= min(offer.lanes, terms.lanes), Reason.LANES)
    require(offer.price <= lease.price <= terms.price_max, Reason.PRICE)
    require(terms.stake_solver <= lease.stake <= AMOUNT_MAX, Reason.STAKE)
    require(terms.capability <= offer.capability, Reason.CAPABILITY)


def _check_offer(
    terms: Terms,
    signed: SignedOffer,
    now: int,
    *,
    node: bytes,
    role: Role,
    stake: int,
    secret: bytes = EMPTY,
) -> None:
    offer = signed.offer
    require(now <= offer.expires, Reason.EXPIRED)
    require(terms.ends - now <= offer.seconds, Reason.SECONDS)
    require(stake <= offer.stake, Reason.STAKE)
    # The contract hashes what the offer must have said; another node, role or secret changes that.
    said = (offer.node, offer.role, offer.secret) == (node, role, secret)
    require(said and signed.signer == node, Reason.SIGNATURE)


def _others(terms: Terms, sender: bytes) -> list[tuple[bytes, Role, int, int, bytes]]:
    """Return (node, role, price, stake, secret) of whoever else must have offered, in order."""
    seats = range(AUDITORS_MAX)
    found = [
        (
            terms.auditors[at],
            Role.AUDITOR,
            terms.price_audit,
            terms.stake_auditor,
            terms.secrets[at],
        )
        for at in seats
        if terms.auditors[at] != NOBODY
    ]
    if terms.coordinator != sender:
        stake = terms.stake_coordinator
        found.append((terms.coordinator, Role.COORDINATOR, terms.price_record, stake, bytes(32)))
    return found


def award(books: Books, action: Award, now: int) -> Books:
    """Make a job."""
    terms, leases, offers = action.terms, action.leases, action.offers
    require(action.sender == terms.submitter, Reason.SENDER)
    require(sound(terms, books.limits, now), Reason.TERMS)
    require(terms.job not in books.jobs, Reason.TWICE)
    require(len(leases) == terms.nodes and lease_hash(leases) == terms.leases, Reason.LEASES)
    others = _others(terms, action.sender)
    require(len(offers) == len(leases) + len(others), Reason.LEASES)
    takes: list[tuple[bytes, int, int]] = []
    for lease, signed in zip(leases, offers, strict=False):
        _check_solver(terms, lease, signed.offer)
        _check_offer(terms, signed, now, node=lease.node, role=Role.SOLVER, stake=lease.stake)
        takes.append((lease.node, lease.stake, signed.offer.nonce))
    require(sum(lease.lanes for lease in leases) == terms.lanes, Reason.LANES)
    rest = offers[len(leases) :]
    for (node, role, price, stake, secret), signed in zip(others, rest, strict=True):
        require(signed.offer.price <= price, Reason.PRICE)
        _check_offer(terms, signed, now, node=node, role=role, stake=stake, secret=secret)
        takes.append((node, stake, signed.offer.nonce))
    require(terms.budget <= AMOUNT_MAX, Reason.FUNDS)
    for who, stake, nonce in takes:
        books = vault.take_lease(books, who, stake, nonce)
    own = terms.stake_coordinator if terms.coordinator == action.sender else 0
    books = vault.lock(books, action.sender, terms.budget + own)
    return books.with_job(Job(terms, leases, terms.budget))
