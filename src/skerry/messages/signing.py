"""Who said it: Ed25519 signatures over the digest of a message.

What    `sign` fills in a message's signature by a function that holds the key; `check_signature`
        refuses a message whose signature is not its signer's.
Why     A receipt is worth a stake, so its author must be beyond doubt, and a key must be able to
        live outside this process.
Rule    What is signed is the 32-byte digest, in domain "signed", of the canonical bytes with the
        signature field all zero. The same digest is the message's name everywhere.
Source  RFC 8032, pure Ed25519.
Pure    No IO; keys are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from skerry.base.digests import digest
from skerry.base.errors import PeerError
from skerry.base.ids import nickname
from skerry.messages.fields import UNSIGNED
from skerry.messages.leased import Assignment, Closed, Holding, SignedRecord
from skerry.messages.membership import Announcement, Lease, LeaseTaken
from skerry.messages.receipts import Receipt
from skerry.messages.wire import encode

Sign: TypeAlias = Callable[[bytes], bytes]
SignedKind: TypeAlias = (
    Receipt | Announcement | Lease | LeaseTaken | Assignment | SignedRecord | Holding | Closed
)
AnySigned = TypeVar("AnySigned", bound=SignedKind)


class SignatureWrong(PeerError):
    """A message does not come from the party that it names as its signer."""

    code = "peer.signature"

    def __init__(self, signer: bytes) -> None:
        self.signer = signer
        super().__init__(
            f"the signature is not {nickname(signer)}'s ({signer.hex()[:8]})",
            next_step="ask the signer for the message again",
        )


def signed_digest(message: SignedKind) -> bytes:
    """Return the 32 bytes that get signed: the name of `message` whatever its signature."""
    return digest("signed", encode(msgspec.structs.replace(message, signature=UNSIGNED)))


def sign(message: AnySigned, by: Sign) -> AnySigned:
    """Return `message` signed; `by` must hold the key of `message.signer`."""
    return msgspec.structs.replace(message, signature=by(signed_digest(message)))


def check_signature(message: SignedKind) -> None:
    """Refuse a message that its signer did not sign.

    Raises:
        SignatureWrong: the signature is not the signer's, or the signer is no Ed25519 key.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(message.signer)
        key.verify(message.signature, signed_digest(message))
    except (InvalidSignature, ValueError):
        raise SignatureWrong(message.signer) from None


def signer(seed: bytes) -> tuple[bytes, Sign]:
    """Return the public key and the signing function of a 32-byte private seed."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.public_key().public_bytes_raw(), key.sign
