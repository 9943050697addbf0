"""The client: it reads standing offers, sizes stakes and awards a job in one transaction.

What    `draft` turns what a client wants and the offers it has into `Draft`: terms, leases, and
        the offers behind them in the order that an award takes; or says what is lacking.
Why     The rules of who is taken are public, so a node that was passed over can see why, and the
        stake covers what a lie can spoil rather than what somebody felt like asking.
Rule    Solvers by `market.match`. Auditors and coordinator by price, then address, among offers of
        other nodes than the solvers and the client; without an offer to coordinate the client
        does it itself. A node has one part in a job.
Pure    Values in, values out; signatures are looked after by whoever sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from skerry.base.digests import EMPTY
from skerry.market.matching import Match, NoMatch, Wish, match
from skerry.market.offers import NOBODY, Offer, Role
from skerry.market.stakes import EPOCHS_OPEN_MAX, solver_stake
from skerry.market.terms import AUDITORS_MAX, PHASES, Terms, lease_hash
from skerry.roles.course import epochs_of
from skerry.settle import Books, actions
from skerry.settle.actions import SignedOffer


class Shape(Protocol):
    """What of a run decides terms; a `RunConfig` is one."""

    @property
    def rounds(self) -> int:
        """Rounds of the run."""
        ...

    @property
    def lanes(self) -> int:
        """Lanes of a round."""
        ...

    @property
    def local_steps(self) -> int:
        """Steps of a lane in a round."""
        ...

    @property
    def segments(self) -> int:
        """Segments of a unit."""
        ...

    @property
    def job(self) -> bytes:
        """The digest that names the run."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """What a client asks for besides the run itself.

    Attributes:
        price_max: most that a unit may cost.
        price_audit: an auditor's pay for an epoch; 0 takes a whole unit's price for each draw,
            since a replay starts at the start of its unit.
        price_record: the coordinator's pay for a round.
        stake_auditor: stake of each auditor.
        stake_coordinator: stake of the coordinator.
        auditors: how many are wanted.
        epoch_rounds: rounds of an epoch.
        draws: segments drawn from each epoch.
        delay: seconds from an epoch to the block that may seed its draw.
        phase: seconds of one phase of an audit.
        window: seconds until an epoch is final; 0 takes the shortest.
        seconds: time from the award to the job's end.
        clock: seconds of thought in a dispute.
        lanes_each_max: most lanes of one solver; 0 for no limit.
        capability: class that a solver must reach.
        kept: rounds that an earlier award has paid for.
    """

    price_max: int = 2_000
    price_audit: int = 0
    price_record: int = 100
    stake_auditor: int = 0
    stake_coordinator: int = 0
    auditors: int = 2
    epoch_rounds: int = 4
    draws: int = 9
    delay: int = 60
    phase: int = 3_600
    window: int = 0
    seconds: int = 30 * 86_400
    clock: int = 6 * 3_600
    lanes_each_max: int = 0
    capability: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """An award that is ready but for signatures.

    Attributes:
        terms: what everyone is bound to.
        leases: the solvers' shares.
        offers: one for each lease, each auditor, and the coordinator unless that is the client.
        passed: offers that were not taken, and why.
    """

    terms: Terms
    leases: Match
    offers: tuple[Offer, ...]
    passed: tuple[tuple[Offer, str], ...]

    def award(self) -> actions.Award:
        """Return the move, each offer signed by its node."""
        signed = tuple(SignedOffer(it, it.node) for it in self.offers)
        return actions.Award(self.terms.submitter, self.terms, self.leases.leases, signed)


def stake_for(shape: Shape, asking: Asking) -> int:
    """Return the least stake of a solver: what one lie can spoil while epochs are open."""
    epochs = -(-shape.rounds // asking.epoch_rounds)
    rounds_open = min(shape.rounds, min(epochs, EPOCHS_OPEN_MAX) * asking.epoch_rounds)
    return solver_stake(
        lanes=shape.lanes,
        price=asking.price_max,
        record=asking.price_record,
        rounds_open=rounds_open,
        replay=asking.price_max * shape.local_steps,
    )


def audit_price(asking: Asking) -> int:
    """Return an auditor's pay for an epoch, which covers what the replay may cost it."""
    return asking.price_audit or asking.draws * asking.price_max


def fresh(offers: Sequence[Offer], books: Books) -> list[Offer]:
    """Return the offers that no lease or recall of their node has made stale."""
    return [it for it in offers if it.nonce == books.account(it.node).leases]


def _cheapest(
    offers: Sequence[Offer], books: Books, role: Role, taken: set[bytes], stake: int, price: int
) -> list[Offer]:
    """Return one offer of each node that does for a role and whose node can pay the stake."""
    fit = [
        it
        for it in sorted(offers, key=lambda it: (it.price, it.node))
        if it.role == role
        and it.node not in taken
        and stake <= min(it.stake, books.account(it.node).free)
        and it.price <= price
    ]
    first: dict[bytes, Offer] = {}
    for offer in fit:
        first.setdefault(offer.node, offer)
    return list(first.values())


def draft(
    shape: Shape, asking: Asking, offers: Sequence[Offer], books: Books, *, me: bytes, now: int
) -> Draft | NoMatch:
    """Return the award that the offers allow at `now`, or what is lacking.

    Args:
        shape: the run.
        asking: prices, stakes and times.
        offers: standing offers.
        books: the money, which says what offers are fresh and paid for.
        me: the client's address.
        now: the second of the award.
    """
    stake, ends = stake_for(shape, asking), now + asking.seconds
    stakes = (stake, asking.stake_auditor or stake, asking.stake_coordinator or stake)
    there = fresh(offers, books)
    wish = Wish(
        lanes=shape.lanes,
        lanes_each_max=asking.lanes_each_max or shape.lanes,
        capability=asking.capability,
        price_max=asking.price_max,
        stake=stake,
        ends=ends,
    )
    poor = [it for it in there if it.role == Role.SOLVER and books.account(it.node).free < stake]
    found = match(wish, [it for it in there if it not in poor], now)
    why = f"has less than the stake of {stake} free in the vault"
    stale = [(it, "was used or recalled") for it in offers if it not in there]
    passed = (*found.passed, *((it, why) for it in poor), *stale)
    if isinstance(found, NoMatch):
        return NoMatch(found.reason, passed)
    taken = {me, *(it.node for it in found.leases)}
    able = [it for it in there if it.expires >= now and it.seconds >= asking.seconds]
    auditors = _cheapest(able, books, Role.AUDITOR, taken, stakes[1], audit_price(asking))
    auditors = auditors[: asking.auditors]
    if len(auditors) < asking.auditors:
        lacking = f"{asking.auditors - len(auditors)} of {asking.auditors} auditors are missing"
        return NoMatch(lacking, passed)
    taken |= {it.node for it in auditors}
    coordinators = _cheapest(able, books, Role.COORDINATOR, taken, stakes[2], asking.price_record)[
        :1
    ]
    terms = _terms(shape, asking, found, (auditors, coordinators), stakes, me, ends)
    return Draft(terms, found, (*found.offers, *auditors, *coordinators), passed)


def _terms(
    shape: Shape,
    asking: Asking,
    found: Match,
    others: tuple[Sequence[Offer], Sequence[Offer]],
    stakes: tuple[int, int, int],
    me: bytes,
    ends: int,
) -> Terms:
    auditors, coordinators = others
    pad = AUDITORS_MAX - len(auditors)
    first, second, third, fourth = (*(it.node for it in auditors), *(NOBODY,) * pad)
    one, two, three, four = (*(it.secret for it in auditors), *(EMPTY,) * pad)
    return Terms(
        spec=shape.job,
        leases=lease_hash(found.leases),
        submitter=me,
        coordinator=coordinators[0].node if coordinators else me,
        auditors=(first, second, third, fourth),
        secrets=(one, two, three, four),
        price_max=asking.price_max,
        price_audit=audit_price(asking),
        price_record=asking.price_record,
        stake_solver=stakes[0],
        stake_auditor=stakes[1],
        stake_coordinator=stakes[2],
        capability=asking.capability,
        nodes=len(found.leases),
        lanes=shape.lanes,
        rounds=shape.rounds,
        epochs=epochs_of(shape.rounds, asking.epoch_rounds, asking.kept),
        segments=shape.segments,
        draws=asking.draws,
        delay=asking.delay,
        phase=asking.phase,
        window=asking.window or PHASES * asking.phase,
        ends=ends,
        clock=asking.clock,
    )
