"""A party's own money: put in what a stake needs, take out what it does not.

What    `deposit_due`, `leave_due` and `standing_offer`.
Why     An offer that its node cannot pay for is passed over, and money that nobody needs should
        not stay where a lost key could lose it.
Rule    What is locked is never touched. Money that is set aside is taken out after the unbonding
        time; asking again would begin that time anew, so it is asked for once.
Pure    Values in, an action out.
"""

from __future__ import annotations

from skerry.base.digests import EMPTY
from skerry.market.offers import Offer, Role
from skerry.settle import Books, actions
from skerry.settle.actions import Action


def deposit_due(books: Books, me: bytes, wanted: int) -> Action | None:
    """Return the deposit that brings free money up to `wanted`."""
    lacking = wanted - books.account(me).free
    return actions.Deposit(me, lacking) if lacking > 0 else None


def leave_due(books: Books, me: bytes, now: int) -> Action | None:
    """Return the next step of taking all free money out."""
    account = books.account(me)
    if account.exiting:
        return actions.Withdraw(me) if now > account.ready else None
    return actions.RequestWithdraw(me, account.free) if account.free else None


def standing_offer(
    books: Books,
    me: bytes,
    role: Role,
    *,
    price: int,
    stake: int,
    expires: int,
    seconds: int,
    lanes: int = 0,
    capability: int = 0,
    secret: bytes = EMPTY,
) -> Offer:
    """Return the offer that a node signs now; it is good until its next lease."""
    nonce = books.account(me).leases
    return Offer(me, role, capability, lanes, price, stake, expires, seconds, nonce, secret)
