# pragma version 0.4.3
"""
@title  The only contract that holds tokens
@notice Anyone deposits and withdraws. Market and court, fixed when this is deployed, lock, lease,
        settle and slash within it. There is no owner. The twin is `skerry.settle.vault`.
@dev    An account is one word: free 96 bits, locked 96 bits, leases taken 64 bits. Any ERC-20 will
        do, also one that returns nothing or calls back; what counts as deposited is what arrived.
        A token that takes balances away by itself cannot be helped.
        free + locked + exiting of everyone, and what was burned, is at most the vault's balance.
"""

from ethereum.ercs import IERC20

struct Take:
    who: address
    amount: uint256
    nonce: uint256


struct Move:
    who: address
    unlock: uint256
    credit: uint256


event Deposited:
    who: indexed(address)
    amount: uint256


event Exiting:
    who: indexed(address)
    amount: uint256
    ready: uint64


event Withdrawn:
    who: indexed(address)
    amount: uint256


event Recalled:
    who: indexed(address)
    leases: uint256


event Slashed:
    who: indexed(address)
    amount: uint256
    burned: uint256
    finder: indexed(address)
    other: indexed(address)


event Burned:
    amount: uint256


NOBODY: constant(address) = 0x000000000000000000000000000000000000dEaD
MASK: constant(uint256) = 2**96 - 1
MOVES: constant(uint256) = 72
ONE_LEASE: constant(uint256) = 2**192

TOKEN: public(immutable(IERC20))
MARKET: public(immutable(address))
COURT: public(immutable(address))
UNBONDING: public(immutable(uint64))

accounts: HashMap[address, uint256]
exits: HashMap[address, uint256]
burned: public(uint256)


@deploy
def __init__(token: IERC20, market: address, court: address, unbonding: uint64):
    """
    @param token     What is held.
    @param market    The only market, deployed after this: its address is known beforehand.
    @param court     The only court, likewise.
    @param unbonding Seconds from asking for money to getting it.
    """
    TOKEN = token
    MARKET = market
    COURT = court
    UNBONDING = unbonding


# ---- anyone --------------------------------------------------------------------------------------


@external
@nonreentrant
def deposit(amount: uint256) -> uint256:
    """
    @notice Take `amount` of the caller's tokens and credit what arrived.
    """
    before: uint256 = staticcall TOKEN.balanceOf(self)
    assert extcall TOKEN.transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "token"
    after: uint256 = staticcall TOKEN.balanceOf(self)
    assert after > before, "amount"
    arrived: uint256 = after - before
    account: uint256 = self.accounts[msg.sender]
    assert after <= MASK, "amount"  # so that no sum of claims can overflow
    self.accounts[msg.sender] = account + arrived
    log Deposited(who=msg.sender, amount=arrived)
    return arrived


@external
@nonreentrant
def request_withdraw(amount: uint256):
    """
    @notice Set free money aside. The wait begins anew for all that is set aside.
    """
    assert amount > 0, "amount"
    account: uint256 = self.accounts[msg.sender]
    assert account & MASK >= amount, "funds"
    self.accounts[msg.sender] = account - amount
    ready: uint64 = convert(block.timestamp, uint64) + UNBONDING
    aside: uint256 = (self.exits[msg.sender] & MASK) + amount
    assert aside <= MASK, "amount"
    self.exits[msg.sender] = aside | convert(ready, uint256) << 96
    log Exiting(who=msg.sender, amount=amount, ready=ready)


@external
@nonreentrant
def withdraw() -> uint256:
    """
    @notice Pay out what was set aside long enough ago.
    """
    aside: uint256 = self.exits[msg.sender]
    amount: uint256 = aside & MASK
    assert amount > 0, "amount"
    assert block.timestamp > aside >> 96, "early"
    self.exits[msg.sender] = 0
    assert extcall TOKEN.transfer(msg.sender, amount, default_return_value=True), "token"
    log Withdrawn(who=msg.sender, amount=amount)
    return amount


@external
@nonreentrant
def recall_offers():
    """
    @notice Make every standing offer that the caller signed stale.
    """
    account: uint256 = self.accounts[msg.sender] + ONE_LEASE
    self.accounts[msg.sender] = account
    log Recalled(who=msg.sender, leases=account >> 192)


@external
@nonreentrant
def burn():
    """
    @notice Send what was burned to the address that nobody holds.
    """
    amount: uint256 = self.burned
    assert amount > 0, "amount"
    self.burned = 0
    assert extcall TOKEN.transfer(NOBODY, amount, default_return_value=True), "token"
    log Burned(amount=amount)


# ---- market and court ----------------------------------------------------------------------------


@external
@nonreentrant
def lock(who: address, amount: uint256):
    """
    @notice Move free money of `who` into the lock.
    """
    assert msg.sender == MARKET or msg.sender == COURT, "sender"
    account: uint256 = self.accounts[who]
    assert account & MASK >= amount, "funds"
    self.accounts[who] = self._locked(account, amount)


@external
@nonreentrant
def take_leases(takes: DynArray[Take, MOVES]):
    """
    @notice Lock stakes against offers that are still fresh, which makes them stale.
    """
    assert msg.sender == MARKET, "sender"
    for take: Take in takes:
        account: uint256 = self.accounts[take.who]
        assert account >> 192 == take.nonce, "nonce"
        assert account & MASK >= take.amount, "funds"
        self.accounts[take.who] = self._locked(account, take.amount) + ONE_LEASE


@external
@nonreentrant
def settle(moves: DynArray[Move, MOVES]):
    """
    @notice Unlock and credit; what is credited must be what is unlocked.
    """
    assert msg.sender == MARKET or msg.sender == COURT, "sender"
    unlocked: uint256 = 0
    credited: uint256 = 0
    for move: Move in moves:
        account: uint256 = self.accounts[move.who]
        locked: uint256 = account >> 96 & MASK
        assert locked >= move.unlock, "funds"
        free: uint256 = (account & MASK) + move.credit
        assert free <= MASK, "amount"
        self.accounts[move.who] = account >> 192 << 192 | locked - move.unlock << 96 | free
        unlocked += move.unlock
        credited += move.credit
    assert unlocked == credited, "sum"


@external
@nonreentrant
def slash(who: address, amount: uint256, finder: address, other: address):
    """
    @notice Take locked money: at least half is burned, a quarter each goes to two others.
    """
    assert msg.sender == MARKET or msg.sender == COURT, "sender"
    account: uint256 = self.accounts[who]
    assert account >> 96 & MASK >= amount, "funds"
    self.accounts[who] = account - (amount << 96)
    gain: uint256 = amount >> 1
    self._credit(finder, amount >> 2)
    self._credit(other, gain - (amount >> 2))
    self.burned += amount - gain
    log Slashed(who=who, amount=amount, burned=amount - gain, finder=finder, other=other)


@internal
@pure
def _locked(account: uint256, amount: uint256) -> uint256:
    locked: uint256 = (account >> 96 & MASK) + amount
    assert locked <= MASK, "amount"
    return account - amount + (amount << 96)


@internal
def _credit(who: address, amount: uint256):
    account: uint256 = self.accounts[who]
    assert (account & MASK) + amount <= MASK, "amount"
    self.accounts[who] = account + amount


# ---- look up -------------------------------------------------------------------------------------


@external
@view
def account(who: address) -> (uint256, uint256, uint256):
    """
    @return What is free, what is locked, and how many leases were taken.
    """
    word: uint256 = self.accounts[who]
    return word & MASK, word >> 96 & MASK, word >> 192


@external
@view
def exiting(who: address) -> (uint256, uint256):
    """
    @return What is set aside, and the second after which it can be taken out.
    """
    word: uint256 = self.exits[who]
    return word & MASK, word >> 96
