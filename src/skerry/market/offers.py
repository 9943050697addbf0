"""What a node signs for the chain: its standing offer, a round's record, a unit's receipt.

What    `Offer` is a node's word that it takes any job within limits. `offer_message`,
        `record_message` and `claim_message` are the EIP-712 typed data of each, as plain data.
Why     An offer costs nothing until it is taken, so a node is always on offer; and a key that
        signs typed data shows its owner what is signed.
Rule    Amounts are whole numbers of the token's smallest unit, below 2^96. An offer is good for
        one award: its nonce is the number of leases that the vault has counted for the node.
Source  EIP-712; contracts/market.vy holds the same types.
Pure    Plain values. Hashing and signing are left to whoever holds a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any, TypeAlias

ADDRESS_BYTES = 20
NOBODY = bytes(ADDRESS_BYTES)
AMOUNT_MAX = (1 << 96) - 1

TypedData: TypeAlias = dict[str, Any]

DOMAIN = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
OFFER = (
    ("node", "address"),
    ("role", "uint8"),
    ("capability", "uint8"),
    ("lanes", "uint32"),
    ("price", "uint96"),
    ("stake", "uint96"),
    ("expires", "uint64"),
    ("seconds", "uint64"),
    ("nonce", "uint64"),
    ("secret", "bytes32"),
)
RECORD = (("job", "bytes32"), ("epoch", "uint64"), ("round", "uint64"), ("record", "bytes32"))
CLAIM = (("job", "bytes32"), ("round", "uint64"), ("lane", "uint32"), ("receipt", "bytes32"))


@unique
class Role(IntEnum):
    """What a node offers to be."""

    SOLVER = 0
    AUDITOR = 1
    COORDINATOR = 2


@dataclass(frozen=True, slots=True)
class Offer:
    """A node's standing word.

    Attributes:
        node: the address that signs, is staked and is paid.
        role: what it offers to be.
        capability: the largest class of job that fits the node; the class is a job's own number.
        lanes: how many lanes at most; 0 for an auditor or coordinator.
        price: least pay: of a unit, of an audited epoch, or of a recorded round, by role.
        stake: most that may be locked.
        expires: last second at which it may be taken.
        seconds: longest time from the award to the job's end.
        nonce: leases taken by the node before; another award, or a recall, makes it stale.
        secret: an auditor's sealed chain of secrets; zero for others.
    """

    node: bytes
    role: Role
    capability: int
    lanes: int
    price: int
    stake: int
    expires: int
    seconds: int
    nonce: int
    secret: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A coordinator's word on what one round came to; `record` is the round's digest."""

    job: bytes
    epoch: int
    round: int
    record: bytes


def _typed(
    chain: int, market: bytes, name: str, fields: tuple[tuple[str, str], ...], message: TypedData
) -> TypedData:
    return {
        "types": {
            "EIP712Domain": [{"name": field, "type": kind} for field, kind in DOMAIN],
            name: [{"name": field, "type": kind} for field, kind in fields],
        },
        "primaryType": name,
        "domain": {
            "name": "Skerry",
            "version": "1",
            "chainId": chain,
            "verifyingContract": market,
        },
        "message": message,
    }


def offer_message(offer: Offer, *, chain: int, market: bytes) -> TypedData:
    """Return the typed data that a node signs to offer itself on one market."""
    message = {name: getattr(offer, name) for name, _ in OFFER} | {"role": int(offer.role)}
    return _typed(chain, market, "Offer", OFFER, message)


def record_message(record: SignedRecord, *, chain: int, market: bytes) -> TypedData:
    """Return the typed data that a coordinator signs for each round, once."""
    message = {name: getattr(record, name) for name, _ in RECORD}
    return _typed(chain, market, "Round", RECORD, message)


def claim_message(
    job: bytes, at: int, lane: int, receipt: bytes, *, chain: int, market: bytes
) -> TypedData:
    """Return the typed data that a solver signs for the receipt of lane `lane` in round `at`."""
    message = {"job": job, "round": at, "lane": lane, "receipt": receipt}
    return _typed(chain, market, "Claim", CLAIM, message)
