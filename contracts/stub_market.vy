# pragma version 0.4.3
"""
@title  A market for tests of the court: whoever is named in a docket is the solver
"""


interface Vault:
    def lock(who: address, amount: uint256): nonpayable
    def slash(who: address, amount: uint256, finder: address, other: address): nonpayable


VAULT: immutable(Vault)
COURT: immutable(address)
SUBMITTER: immutable(address)

stakes: public(HashMap[address, uint256])
games: public(uint256)
lie: public(uint256)


@deploy
def __init__(vault: Vault, court: address, submitter: address):
    VAULT = vault
    COURT = court
    SUBMITTER = submitter


@external
def stake(who: address, amount: uint256):
    self.stakes[who] = amount
    extcall VAULT.lock(who, amount)


@external
def admit(docket: Bytes[8192], receipt: bytes32) -> (address, uint256):
    assert msg.sender == COURT, "sender"
    solver: address = empty(address)
    budget: uint256 = 0
    solver, budget = abi_decode(slice(docket, 0, 64), (address, uint256))
    self.games += 1
    return solver, budget


@external
def dismiss(docket: Bytes[8192], receipt: bytes32):
    assert msg.sender == COURT, "sender"
    self.games -= 1


@external
def convict(docket: Bytes[8192], receipt: bytes32, segment: uint256, finder: address):
    assert msg.sender == COURT, "sender"
    self.games -= 1
    self.lie = segment + 1
    solver: address = empty(address)
    budget: uint256 = 0
    solver, budget = abi_decode(slice(docket, 0, 64), (address, uint256))
    amount: uint256 = self.stakes[solver]
    self.stakes[solver] = 0
    if amount > 0:
        extcall VAULT.slash(solver, amount, finder, SUBMITTER)
