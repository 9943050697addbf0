"""The client's award: from the offers on a board to one transaction.

What    `quote` matches offers and sizes stakes; `buy` locks the budget and everyone's stakes;
        `award` does both. `unbegun` finds an award again.
        `confirm` is how a node looks whether an award that it is shown binds what it says.
Why     One transaction binds everybody or nobody, and nobody works for an award that is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from skerry.base.errors import PeerError, PlanError
from skerry.chain.errors import FundsShort
from skerry.chain.rpc import hexed
from skerry.market import NoMatch
from skerry.messages.rounds import RunConfig
from skerry.node.market.actor import MarketActor
from skerry.node.market.orders import Order
from skerry.roles.client import Asking, Draft, draft
from skerry.settle import Job


class OffersShort(PlanError):
    """The standing offers do not suffice for a job."""

    code = "plan.offers"

    def __init__(self, found: NoMatch) -> None:
        others = [(it, why) for it, why in found.passed if why != "offers another role"]
        passed = "; ".join(f"{it.node.hex()[:8]} {why}" for it, why in others[:4])
        super().__init__(
            found.reason + (f" ({passed})" if passed else ""),
            next_step="offer a higher price, ask for fewer lanes or auditors, or wait for nodes",
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """An award that could be made now, and the signatures of those whom it would bind."""

    draft: Draft
    signed: Mapping[bytes, bytes]

    @property
    def locked(self) -> int:
        """The free money that the client needs for it."""
        terms = self.draft.terms
        own = terms.stake_coordinator if terms.coordinator == terms.submitter else 0
        return terms.budget + own


def quote(
    actor: MarketActor, config: RunConfig, asking: Asking, among: Collection[bytes] | None = None
) -> Quote:
    """Return the award of a run to the offers that fit best.

    Args:
        actor: the client.
        config: the run.
        asking: prices, stakes and times.
        among: addresses of nodes that can be reached; None takes every offer.

    Raises:
        OffersShort: the offers do not suffice.
    """
    actor.hear()
    offers = {it: by for it, by in actor.offers.values() if among is None or it.node in among}
    now, books = actor.wallet.now(), actor.keeper.books
    found = draft(config, asking, list(offers), books, me=actor.me, now=now)
    if isinstance(found, NoMatch):
        raise OffersShort(found)
    return Quote(found, {it.node: offers[it] for it in found.offers})


def buy(actor: MarketActor, quoted: Quote) -> bytes:
    """Make an award and return the job's name on the chain.

    Raises:
        FundsShort: the client has too little free money in the vault.
        MoveReverted: an offer was used meanwhile.
    """
    needed, free = quoted.locked, actor.keeper.books.account(actor.me).free
    if free < needed:
        of = "free money in the vault"
        raise FundsShort(hexed(actor.me), needed=needed, held=free, of=of)
    actor.wallet.make(quoted.draft.award(), quoted.signed)
    actor.keeper.catch_up()
    return quoted.draft.terms.job


def award(actor: MarketActor, config: RunConfig, asking: Asking) -> bytes:
    """Award a run to the offers that fit best, and return the job's name on the chain.

    Raises:
        OffersShort, FundsShort, MoveReverted: see `quote` and `buy`.
    """
    return buy(actor, quote(actor, config, asking))


def unbegun(actor: MarketActor, config: RunConfig) -> Job | None:
    """Return an award of this client for that run of which nothing was committed yet."""
    actor.keeper.catch_up()
    mine = (it for it in actor.keeper.books.jobs.values() if it.terms.submitter == actor.me)
    fit = (it for it in mine if it.terms.spec == config.job and not it.closed and not it.rounds)
    return next(fit, None)


class AwardRefused(PeerError):
    """A node was shown an award that does not bind what it says."""

    code = "peer.award"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the award does not hold: {why}",
            next_step="award the job on the chain of this network, then submit it again",
        )


def confirm(actor: MarketActor, order: Order) -> None:
    """Look whether an award is on the chain, for that run, and binds this node and its fellows.

    Raises:
        AwardRefused: it is not, or does not.
    """
    site = actor.wallet.site
    if (order.chain, order.market) != (site.chain, site.market.hex()):
        raise AwardRefused(f"it is on chain {order.chain}, in another market than this node's")
    actor.keeper.catch_up()
    state = actor.keeper.books.jobs.get(bytes.fromhex(order.job))
    if state is None:
        raise AwardRefused("the chain knows no job of that name")
    if state.terms.spec.hex() != order.spec:
        raise AwardRefused("it is for a run of other terms")
    if state.closed:
        raise AwardRefused("that job is closed")
    solvers = {it.node.hex() for it in state.leases}
    others = {it.hex() for it in state.terms.auditors[: state.terms.seats]}
    others |= {state.terms.coordinator.hex()} - {state.terms.submitter.hex()}
    if set(order.signers.values()) != solvers | others:
        raise AwardRefused("its parties are not those that it was given")
    if {order.signers.get(key) for key in order.nodes} != solvers:
        raise AwardRefused("lanes are given to others than hold its leases")
    if order.signers.get(order.key) != actor.me.hex():
        raise AwardRefused("this node holds no part in it")
