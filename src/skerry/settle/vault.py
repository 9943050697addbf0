"""The vault: the only place that holds tokens, and the few ways in which money changes hands.

What    Deposits and withdrawals of anyone, and the four moves that market and court may make:
        lock, take a lease, settle, slash.
Why     Every other rule speaks of money through these, so that solvency is one short argument.
Rule    slash(x): floor(x/4) to the finder, enough to the other that both have floor(x/2), and the
        rest, at least half, is burned; so nobody gains by slashing himself.
Pure    `books` in, books out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from skerry.market.offers import AMOUNT_MAX
from skerry.settle.actions import (
    Burn,
    Deposit,
    FreeBond,
    LockBond,
    RecallOffers,
    RequestWithdraw,
    SlashBond,
    Withdraw,
)
from skerry.settle.books import Books, Reason, require


def lock(books: Books, who: bytes, amount: int) -> Books:
    """Move free money of `who` into the lock."""
    account = books.account(who)
    require(account.free >= amount, Reason.FUNDS)
    changed = replace(account, free=account.free - amount, locked=account.locked + amount)
    return books.with_account(who, changed)


def take_lease(books: Books, who: bytes, amount: int, nonce: int) -> Books:
    """Lock a stake against an offer that is still fresh, which makes it stale."""
    account = books.account(who)
    require(account.leases == nonce, Reason.NONCE)
    require(account.free >= amount, Reason.FUNDS)
    changed = replace(
        account,
        free=account.free - amount,
        locked=account.locked + amount,
        leases=account.leases + 1,
    )
    return books.with_account(who, changed)


def settle(books: Books, moves: Iterable[tuple[bytes, int, int]]) -> Books:
    """Unlock and credit, for each (who, unlocked, credited); the sums must be equal."""
    unlocked = credited = 0
    for who, unlock, credit in moves:
        account = books.account(who)
        assert account.locked >= unlock, "more is settled than was ever locked"
        changed = replace(account, free=account.free + credit, locked=account.locked - unlock)
        books = books.with_account(who, changed)
        unlocked += unlock
        credited += credit
    assert unlocked == credited, "a settlement makes or loses money"
    return books


def slash(books: Books, who: bytes, amount: int, finder: bytes, other: bytes) -> Books:
    """Take locked money of `who`: half is burned, the rest goes to two others."""
    account = books.account(who)
    assert account.locked >= amount, "more is slashed than was ever locked"
    books = books.with_account(who, replace(account, locked=account.locked - amount))
    gain, found = amount >> 1, amount >> 2
    for winner, part in ((finder, found), (other, gain - found)):
        account = books.account(winner)
        books = books.with_account(winner, replace(account, free=account.free + part))
    return replace(books, burned=books.burned + amount - gain)


def held(books: Books) -> int:
    """Return how many tokens the vault must hold: everyone's claims, and what was burned."""
    accounts = books.accounts.values()
    return books.burned + sum(it.free + it.locked + it.exiting for it in accounts)


def deposit(books: Books, action: Deposit, now: int) -> Books:
    """Credit tokens that came in."""
    account = books.account(action.sender)
    require(0 < action.amount <= AMOUNT_MAX - held(books), Reason.AMOUNT)
    return books.with_account(action.sender, replace(account, free=account.free + action.amount))


def request_withdraw(books: Books, action: RequestWithdraw, now: int) -> Books:
    """Set free money aside; the wait begins anew for all that is set aside."""
    account = books.account(action.sender)
    require(action.amount > 0, Reason.AMOUNT)
    require(account.free >= action.amount, Reason.FUNDS)
    changed = replace(
        account,
        free=account.free - action.amount,
        exiting=account.exiting + action.amount,
        ready=now + books.limits.unbonding,
    )
    return books.with_account(action.sender, changed)


def withdraw(books: Books, action: Withdraw, now: int) -> Books:
    """Pay out what was set aside long enough ago."""
    account = books.account(action.sender)
    require(account.exiting > 0, Reason.AMOUNT)
    require(now > account.ready, Reason.EARLY)
    return books.with_account(action.sender, replace(account, exiting=0, ready=0))


def recall_offers(books: Books, action: RecallOffers, now: int) -> Books:
    """Count a lease that was none, so that every offer signed before is stale."""
    account = books.account(action.sender)
    return books.with_account(action.sender, replace(account, leases=account.leases + 1))


def burn(books: Books, action: Burn, now: int) -> Books:
    """Send what was burned out of reach."""
    require(books.burned > 0, Reason.AMOUNT)
    return replace(books, burned=0, gone=books.gone + books.burned)


def lock_bond(books: Books, action: LockBond, now: int) -> Books:
    """Lock the bond of a dispute."""
    require(action.sender == books.court, Reason.SENDER)
    return lock(books, action.who, action.amount)


def free_bond(books: Books, action: FreeBond, now: int) -> Books:
    """Give a bond back."""
    require(action.sender == books.court, Reason.SENDER)
    require(books.account(action.who).locked >= action.amount, Reason.FUNDS)
    return settle(books, [(action.who, action.amount, action.amount)])


def slash_bond(books: Books, action: SlashBond, now: int) -> Books:
    """Take a bond."""
    require(action.sender == books.court, Reason.SENDER)
    require(books.account(action.who).locked >= action.amount, Reason.FUNDS)
    return slash(books, action.who, action.amount, action.finder, action.other)
