"""Which standing offers a job takes.

What    `match` gives every lane to a solver, or says what is lacking.
Why     The rule is public and has no memory, so a node that was passed over can see why.
Rule    Offers that fit are taken by price, then by address, each for as many lanes as it has
        left to give, until every lane has a solver. Everyone is paid what it asked for. (A score
        of measured speed with a critical price is to replace this; the contract takes both.)
Pure    Integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from skerry.market.offers import Offer, Role
from skerry.market.terms import LEASES_MAX, Lease


@dataclass(frozen=True, slots=True)
class Wish:
    """What a job asks of its solvers.

    Attributes:
        lanes: lanes to give away.
        lanes_each_max: most lanes that one node may hold, so that no loss is too large.
        capability: class that a node must reach.
        price_max: most that a unit may cost.
        stake: least stake of a solver.
        ends: last second of the job.
    """

    lanes: int
    lanes_each_max: int
    capability: int
    price_max: int
    stake: int
    ends: int


@dataclass(frozen=True, slots=True)
class Match:
    """The leases, and the offer behind each one."""

    leases: tuple[Lease, ...]
    offers: tuple[Offer, ...]
    passed: tuple[tuple[Offer, str], ...]


@dataclass(frozen=True, slots=True)
class NoMatch:
    """Why the offers do not do, and what would help."""

    reason: str
    passed: tuple[tuple[Offer, str], ...]


def unfit(wish: Wish, offer: Offer, now: int) -> str | None:
    """Return why an offer cannot be taken at `now`, or None."""
    reasons = (
        (offer.role != Role.SOLVER, "offers another role"),
        (offer.lanes < 1, "offers no lane"),
        (offer.capability < wish.capability, f"is of class {offer.capability}"),
        (offer.price > wish.price_max, f"asks {offer.price} for a unit"),
        (offer.stake < wish.stake, f"stakes at most {offer.stake}"),
        (offer.expires < now, "has expired"),
        (offer.seconds < wish.ends - now, f"stays for {offer.seconds} s only"),
    )
    return next((text for broken, text in reasons if broken), None)


def match(wish: Wish, offers: Sequence[Offer], now: int) -> Match | NoMatch:
    """Return who gets how many lanes, or the reason why nobody can."""
    passed = [(it, why) for it in offers if (why := unfit(wish, it, now)) is not None]
    left, leases, taken = wish.lanes, list[Lease](), list[Offer]()
    fit = [it for it in offers if unfit(wish, it, now) is None]
    seen: Counter[bytes] = Counter()
    for offer in sorted(fit, key=lambda it: (it.price, it.node, it.nonce)):
        seen[offer.node] += 1
        if seen[offer.node] > 1 or not left or len(leases) == LEASES_MAX:
            why = "is the node's second offer" if seen[offer.node] > 1 else "was not needed"
            passed.append((offer, why))
            continue
        lanes = min(left, offer.lanes, wish.lanes_each_max)
        leases.append(Lease(offer.node, lanes, offer.price, wish.stake))
        taken.append(offer)
        left -= lanes
    if left:
        return NoMatch(f"{left} of {wish.lanes} lanes have no solver", tuple(passed))
    return Match(tuple(leases), tuple(taken), tuple(passed))
