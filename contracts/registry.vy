# pragma version 0.4.3
"""
@title  Registry: where nodes that have money in the vault can be called
@notice A way into a network whose seeds are all gone. It holds no money and decides nothing: a caller
        proves its key when it is called, and an entry without money behind it is shown as such.
        Who pays more to be found first has more to lose; readers sort by `held`.
"""

from . import reasons

interface Vault:
    def account(who: address) -> (uint256, uint256, uint256): view


# One node: its account, what that holds, free and locked, and where the node can be called.
struct Entry:
    who: address
    held: uint256
    endpoint: Bytes[256]


event Listed:
    who: indexed(address)
    endpoint: Bytes[256]


PAGE: constant(uint256) = 32

VAULT: immutable(Vault)
MARKET: immutable(address)

count: public(uint256)
endpoints: public(HashMap[address, Bytes[256]])
_listed: HashMap[uint256, address]
_known: HashMap[address, bool]


@deploy
def __init__(vault: address, market: address):
    """
    @param vault  Whose accounts count.
    @param market The market that its nodes work for: who trusts this registry, trusts that.
    """
    VAULT = Vault(vault)
    MARKET = market


@external
@view
def market() -> address:
    """
    @return The market that the listed nodes work for.
    """
    return MARKET


@internal
@view
def _held(who: address) -> uint256:
    free: uint256 = 0
    locked: uint256 = 0
    leases: uint256 = 0
    free, locked, leases = staticcall VAULT.account(who)
    return free + locked


@external
def announce(endpoint: Bytes[256]):
    """
    @notice Say where the sender's node can be called; empty bytes take it off the list.
    """
    reasons.need(self._held(msg.sender) > 0, reasons.FUNDS)
    if not self._known[msg.sender]:
        self._known[msg.sender] = True
        self._listed[self.count] = msg.sender
        self.count += 1
    self.endpoints[msg.sender] = endpoint
    log Listed(who=msg.sender, endpoint=endpoint)


@external
@view
def page(first: uint256) -> DynArray[Entry, PAGE]:
    """
    @return Up to 32 entries from number `first` on, in the order in which they came.
    """
    found: DynArray[Entry, PAGE] = []
    for at: uint256 in range(PAGE):
        if first + at >= self.count:
            break
        who: address = self._listed[first + at]
        found.append(Entry(who=who, held=self._held(who), endpoint=self.endpoints[who]))
    return found
