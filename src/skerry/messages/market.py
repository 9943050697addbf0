"""What market parties say off the chain, each signed by a chain key: offer, claim, word.

What    `MarketOffer` is a node's standing offer, `MarketClaim` a solver's signature that a receipt
        is its own, `MarketWord` a coordinator's signature of one round's record.
Why     The chain is told only what somebody has to prove there; until then these must be known to
        whoever may need them as proof.
Rule    What is signed is the EIP-712 typed data of `market.offers`, so the same signature counts on
        the chain. Amounts are 12 bytes, most significant first, since they may exceed 64 bits.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from skerry.messages.fields import Count, Digest, Signature

AMOUNT_BYTES = 12
DROPPED_MAX = 1 << 10

Address: TypeAlias = Annotated[bytes, Meta(min_length=20, max_length=20)]
Amount: TypeAlias = Annotated[bytes, Meta(min_length=AMOUNT_BYTES, max_length=AMOUNT_BYTES)]
Small: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 8)]
Lanes: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 32)]


class MarketOffer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="market-offer/1"
):
    """A standing offer and its signature; the fields are those of `market.Offer`."""

    node: Address
    role: Annotated[int, Meta(ge=0, le=2)]
    capability: Small
    lanes: Lanes
    price: Amount
    stake: Amount
    expires: Count
    seconds: Count
    nonce: Count
    secret: Digest
    signature: Signature


class MarketClaim(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="market-claim/1"
):
    """A solver's word that a receipt of one lane of one round is its own."""

    job: Digest
    round: Count
    lane: Lanes
    receipt: Digest
    signature: Signature


class MarketWord(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="market-word/1"
):
    """A coordinator's word on what one round of one epoch came to.

    Attributes:
        job: the job.
        epoch: the epoch.
        round: the round.
        record: the record's name, in which dropped lanes count for nobody.
        signature: of the above.
        dropped: lanes that nobody claimed in time; whoever reads tries whether the record says so.
    """

    job: Digest
    epoch: Count
    round: Count
    record: Digest
    signature: Signature
    dropped: Annotated[tuple[Lanes, ...], Meta(max_length=DROPPED_MAX)] = ()


MarketMessage: TypeAlias = MarketOffer | MarketClaim | MarketWord
