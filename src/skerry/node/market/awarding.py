"""The client's award: from the offers on a board to one transaction.

What    `award` matches, sizes stakes, locks the budget and everyone's stakes, and returns the job.
Why     One transaction binds everybody or nobody.
"""

from __future__ import annotations

from skerry.base.errors import PlanError
from skerry.chain.errors import FundsShort
from skerry.chain.rpc import hexed
from skerry.market import NoMatch
from skerry.messages.rounds import RunConfig
from skerry.node.market.actor import MarketActor
from skerry.roles.client import Asking, draft


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


def award(actor: MarketActor, config: RunConfig, asking: Asking) -> bytes:
    """Award a run to the offers that fit best, and return the job's name on the chain.

    Raises:
        OffersShort: the offers do not suffice.
        FundsShort: the client has too little free money in the vault for the budget.
        MoveReverted: an offer was used meanwhile.
    """
    actor.hear()
    offers = dict(actor.offers.values())
    now, books = actor.wallet.now(), actor.keeper.books
    found = draft(config, asking, list(offers), books, me=actor.me, now=now)
    if isinstance(found, NoMatch):
        raise OffersShort(found)
    terms = found.terms
    own = terms.stake_coordinator if terms.coordinator == actor.me else 0
    needed, free = terms.budget + own, books.account(actor.me).free
    if free < needed:
        of = "free money in the vault"
        raise FundsShort(hexed(actor.me), needed=needed, held=free, of=of)
    signed = {it.node: offers[it] for it in found.offers}
    actor.wallet.make(found.award(), signed)
    actor.keeper.catch_up()
    return terms.job
