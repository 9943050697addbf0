"""Which call makes which move: the rules' actions as calldata.

What    `call_of(action, ...)` is the contract, the function and the arguments of an action.
Why     The rules say what a party does; nobody should have to say it a second time.
Rule    An action names who signed what it carries; `signature` hands over the 64 bytes (EIP-2098)
        that this signer made of the typed data.
Pure    No keys, no IO.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, TypeAlias

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from skerry.commit.tensors import dtype_code
from skerry.market.offers import (
    Offer,
    SignedRecord,
    TypedData,
    claim_message,
    offer_message,
    record_message,
)
from skerry.market.terms import Lease, lease_digest
from skerry.settle import actions as acts
from skerry.settle.books import Epoch
from skerry.settle.records import Evidence
from skerry.verify.audits import Traced

Signature: TypeAlias = Callable[[bytes, TypedData], bytes]
Words: TypeAlias = tuple[Any, ...]

_TERMS = f"(bytes32,bytes32,address,address,address[4],bytes32[4]{',uint256' * 18})"
_EVIDENCE = (
    "(uint256,bytes32,bytes32,bytes32,bytes32[],uint256,bytes32,uint256,uint256,bytes32[],"
    "bytes32,uint256,bytes32[])"
)
_EPOCH = "(uint256,bytes32,uint256,uint256,uint256,bytes32)"
_LEASE = "(address,uint256,uint256,uint256)"
_TRACED = "(uint256,bytes32[],uint256,bytes32[],uint256,uint256[],bytes32[],bytes)"
DOCKET = f"({_TERMS},bytes32[],{_LEASE},{_EPOCH},bytes,bytes32,bytes32)"

NO_EPOCH: Words = (0, bytes(32), 0, 0, 0, bytes(32))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one contract."""

    contract: str
    function: str
    arguments: Words


@dataclass(frozen=True, slots=True)
class Site:
    """Where signatures are good: one market on one chain."""

    chain: int
    market: bytes


def lease_words(leases: tuple[Lease, ...]) -> Words:
    """Return leases as the contract takes them."""
    return tuple(astuple(lease) for lease in leases)


def tally_hash(tally: tuple[int, ...]) -> bytes:
    """Return the hash of a tally as an epoch's own hash holds it."""
    return keccak(encode(["uint256[]"], [tally]))


def epoch_words(epoch: Epoch | None) -> Words:
    """Return an epoch as the contract takes it; all zero for none."""
    if epoch is None:
        return NO_EPOCH
    span = (epoch.round_from, epoch.round_to, epoch.committed)
    return (epoch.number, epoch.root, *span, tally_hash(epoch.tally))


def evidence_bytes(it: Evidence) -> bytes:
    """Return evidence as the contract takes it."""
    words = (
        it.round,
        it.entry.state_before,
        it.entry.lanes,
        it.entry.state_after,
        it.path,
        it.lane,
        it.receipts,
        it.node,
        it.units,
        it.lane_path,
        it.receipt,
        it.place,
        it.receipt_path,
    )
    return encode([_EVIDENCE], [words])


def evidence_place(data: bytes) -> tuple[int, int]:
    """Return the round and the lane that encoded evidence speaks of."""
    (it,) = decode([_EVIDENCE], data)
    return it[0], it[5]


def traced_bytes(it: Traced) -> bytes:
    """Return a leaf under an auditor's trace as the contract takes it."""
    above = (it.steps, it.step_path, it.values, it.value_path)
    words = (*above, dtype_code(it.dtype), it.shape, it.leaf_path, it.data)
    return encode([_TRACED], [words])


def _halves(signature: bytes) -> tuple[bytes, bytes]:
    assert len(signature) == 64, "a compact signature has 64 bytes"
    return signature[:32], signature[32:]


def _offer(offer: Offer, signature: bytes) -> Words:
    said = (offer.capability, offer.lanes, offer.price, offer.stake, offer.expires, offer.seconds)
    return (*said, offer.nonce, *_halves(signature))


def _record(it: SignedRecord, signature: bytes) -> Words:
    return (it.epoch, it.round, it.record, *_halves(signature))


def _award(it: acts.Award, site: Site, sign: Signature) -> Words:
    offers = tuple(
        _offer(
            signed.offer,
            sign(signed.signer, offer_message(signed.offer, chain=site.chain, market=site.market)),
        )
        for signed in it.offers
    )
    return (astuple(it.terms), lease_words(it.leases), offers)


def _signed_record(it: SignedRecord, signer: bytes, site: Site, sign: Signature) -> Words:
    return _record(it, sign(signer, record_message(it, chain=site.chain, market=site.market)))


def docket_bytes(it: acts.Docket, site: Site, sign: Signature) -> bytes:
    """Return a docket as whoever opens a dispute hands it to the court."""
    message = claim_message(
        it.terms.job,
        it.evidence.round,
        it.evidence.lane,
        it.evidence.receipt,
        chain=site.chain,
        market=site.market,
    )
    words = (
        astuple(it.terms),
        tuple(map(lease_digest, it.leases)),
        astuple(it.leases[min(it.evidence.node, len(it.leases) - 1)]),
        epoch_words(it.epoch),
        evidence_bytes(it.evidence),
        *_halves(sign(it.signer, message)),
    )
    return encode([DOCKET], [words])


def _vault_call(action: acts.VaultAction) -> Call:
    match action:
        case acts.Deposit():
            return Call("vault", "deposit", (action.amount,))
        case acts.RequestWithdraw():
            return Call("vault", "request_withdraw", (action.amount,))
        case acts.Withdraw():
            return Call("vault", "withdraw", ())
        case acts.RecallOffers():
            return Call("vault", "recall_offers", ())
        case acts.Burn():
            return Call("vault", "burn", ())
        case acts.LockBond():
            return Call("vault", "lock", (action.who, action.amount))
        case acts.FreeBond():
            return Call("vault", "settle", (((action.who, action.amount, action.amount),),))
        case acts.SlashBond():
            words = (action.who, action.amount, action.finder, action.other)
            return Call("vault", "slash", words)


def _audit_words(action: acts.MarketAction) -> tuple[str, Words] | None:
    match action:
        case acts.LockDraw():
            return "lock_draw", (action.epoch,)
        case acts.RevealSecrets():
            seats = tuple(seat for seat, _ in action.secrets)
            return "reveal_secrets", (action.epoch, seats, tuple(it for _, it in action.secrets))
        case acts.CommitVerdict():
            return "commit_verdict", (action.epoch, action.seat, action.commitment)
        case acts.ShowVerdict():
            said = (action.epoch, action.seat, action.accept, action.trace, action.salt)
            seats = tuple(seat for seat, _ in action.commitments)
            bound = tuple(it for _, it in action.commitments)
            return "show_verdict", (*said, action.tag, seats, bound)
        case acts.PunishSilence():
            return "punish_silence", (action.epoch, action.seat)
        case acts.Blame():
            return "blame", (epoch_words(action.epoch), action.seat, action.draw)
        case acts.DisproveTag():
            said = (action.epoch, action.seat, action.accept, action.trace, action.salt)
            seats = tuple(seat for seat, _ in action.commitments)
            bound = tuple(it for _, it in action.commitments)
            return "disprove_tag", (*said, seats, bound, traced_bytes(action.traced))
        case _:
            return None


def _market_words(action: acts.MarketAction, site: Site, sign: Signature) -> tuple[str, Words]:
    match action:
        case acts.CommitEpoch():
            return "commit_epoch", (action.root, action.rounds, action.tally)
        case acts.Equivocate():
            first = _signed_record(action.first, action.first_signer, site, sign)
            second = _signed_record(action.second, action.second_signer, site, sign)
            return "equivocate", (first, second)
        case acts.Misrecord():
            signed = _signed_record(action.signed, action.signer, site, sign)
            words = (epoch_words(action.epoch), signed, action.committed, action.path)
            return "misrecord", words
        case acts.RaiseTally():
            evidence = evidence_bytes(action.evidence)
            return "raise_tally", (epoch_words(action.epoch), action.epoch.tally, evidence)
        case acts.Settle():
            leases, epoch = lease_words(action.leases), epoch_words(action.epoch)
            tally = action.epoch.tally if action.epoch else ()
            return "settle", (leases, epoch, tally, action.paid)
        case _:
            raise AssertionError(f"{type(action).__name__} is no move of the market")


def call_of(action: acts.Action, site: Site, sign: Signature) -> Call:
    """Return the call that makes a move.

    Args:
        action: the move.
        site: where its signatures are to be good.
        sign: hands over the signature that an address made of typed data.
    """
    if isinstance(action, acts.VaultAction):
        return _vault_call(action)
    if isinstance(action, acts.Award):
        return Call("market", "award", _award(action, site, sign))
    if isinstance(action, acts.Misplace):
        docket = docket_bytes(action.docket, site, sign)
        return Call("market", "misplace", (docket, action.receipt, action.config, action.segment))
    if isinstance(action, acts.Admit | acts.Dismiss | acts.Convict):
        return _court_call(action, docket_bytes(action.docket, site, sign))
    name, words = _audit_words(action) or _market_words(action, site, sign)
    return Call("market", name, (astuple(action.terms), *words))


def _court_call(action: acts.Admit | acts.Dismiss | acts.Convict, docket: bytes) -> Call:
    words: Words = (docket, action.receipt)
    match action:
        case acts.Admit():
            return Call("market", "admit", words)
        case acts.Dismiss():
            return Call("market", "dismiss", words)
        case acts.Convict():
            return Call("market", "convict", (*words, action.segment, action.finder))
