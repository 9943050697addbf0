"""Calldata of the market as the rules' values: `moves`, read backwards.

What    `terms_of`, `leases_of` and `award_of`.
Why     An award's transaction is the only place where a job's terms and leases stand in full.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skerry.base.digests import EMPTY
from skerry.market.offers import NOBODY, Offer, Role
from skerry.market.terms import Lease, Terms
from skerry.settle import actions
from skerry.settle.actions import SignedOffer


def bytes_of(value: Any) -> Any:
    """Return an address that is spelled in hexadecimal as bytes, and anything else as it is."""
    if isinstance(value, str) and len(value) == 42 and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    return value


def terms_of(words: Sequence[Any]) -> Terms:
    """Return terms from the words of a call."""
    spec, leases, submitter, coordinator, auditors, secrets, *rest = words
    first, second, third, fourth = map(bytes_of, auditors)
    one, two, three, four = secrets
    return Terms(
        spec,
        leases,
        bytes_of(submitter),
        bytes_of(coordinator),
        (first, second, third, fourth),
        (one, two, three, four),
        *rest,
    )


def leases_of(words: Sequence[Any]) -> tuple[Lease, ...]:
    """Return leases from the words of a call."""
    return tuple(Lease(bytes_of(node), *rest) for node, *rest in words)


def award_of(words: Sequence[Any], sender: bytes) -> actions.Award:
    """Return an award from the arguments of its call; the contract has checked who signed."""
    terms, leases = terms_of(words[0]), leases_of(words[1])
    parts: list[tuple[bytes, Role, bytes]] = [(it.node, Role.SOLVER, EMPTY) for it in leases]
    for node, secret in zip(terms.auditors, terms.secrets, strict=True):
        if node != NOBODY:
            parts.append((node, Role.AUDITOR, secret))
    if terms.coordinator != sender:
        parts.append((terms.coordinator, Role.COORDINATOR, EMPTY))
    offers = []
    for (node, role, secret), said in zip(parts, words[2], strict=False):
        capability, lanes, price, stake, expires, seconds, nonce = said[:7]
        amounts = (capability, lanes, price, stake, expires, seconds, nonce)
        offer = Offer(node, role, *amounts, secret=secret)
        offers.append(SignedOffer(offer, node))
    return actions.Award(sender, terms, leases, tuple(offers))
