"""Whose a board's message is, by its signature.

What    `signer_of(message, site)` recovers the address that signed an offer, a claim or a word.
Why     Messages name no signer that could be believed, and the chain knows addresses only.
Cost    About a millisecond each, and an import that only those pay who check signatures.
"""

from __future__ import annotations

from skerry.chain.keyfiles import signer_of as recovered
from skerry.chain.moves import Site
from skerry.market.offers import NOBODY, SignedRecord, claim_message, offer_message, record_message
from skerry.messages.market import MarketClaim, MarketMessage, MarketOffer
from skerry.node.market.board import heard_offer


def signer_of(message: MarketMessage, site: Site) -> bytes:
    """Return the address that signed a message; NOBODY where none did, or another than it says."""
    chain, market = site.chain, site.market
    if isinstance(message, MarketOffer):
        typed = offer_message(heard_offer(message), chain=chain, market=market)
        found = recovered(typed, message.signature)
        return found if found == message.node else NOBODY
    if isinstance(message, MarketClaim):
        it = message
        typed = claim_message(it.job, it.round, it.lane, it.receipt, chain=chain, market=market)
        return recovered(typed, message.signature)
    word = SignedRecord(message.job, message.epoch, message.round, message.record)
    return recovered(record_message(word, chain=chain, market=market), message.signature)
