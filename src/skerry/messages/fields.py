"""The kinds of field that messages are made of, each with its limits.

What    Annotated types that `wire.decode` enforces, and the base of a message that carries a
        signature.
Why     A limit that stands in the type is checked before any code of ours sees the value.
Pure    Types only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from skerry.base.digests import DIGEST_BYTES

SIGNATURE_BYTES = 64
UNSIGNED = bytes(SIGNATURE_BYTES)
NAME_CHARS_MAX = 256
PAIRS_MAX = 4096

Digest: TypeAlias = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
PublicKey: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature: TypeAlias = Annotated[
    bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)
]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Int64: TypeAlias = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
NamedDigest: TypeAlias = tuple[Name, Digest]
NamedDigests: TypeAlias = Annotated[tuple[NamedDigest, ...], Meta(max_length=PAIRS_MAX)]


class SignedMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every signed message carries; `signing` fills it in and checks it."""

    signer: PublicKey
    signature: Signature = UNSIGNED


def require_ascending(what: str, keys: Sequence[Any]) -> None:
    """Raise ValueError unless `keys` ascend strictly, so that one value has one spelling."""
    if list(keys) != sorted(set(keys)):
        raise ValueError(f"{what} must ascend without repetition")
