"""How one node gets bytes from another by their digests.

What    Who lacks blobs sends BlobAsk, and learns from BlobHave which the other will serve and how
        long they are. Then it sends BlobWant for single parts and gets a BlobPart, or BlobGone,
        for each, in the order of asking.
Why     States and updates are named by digest everywhere else; this is the only way in which
        their bytes travel between machines.
Rule    Part i of a blob is its bytes [i x PART_BYTES, (i + 1) x PART_BYTES), the last one shorter.
        No part is proved on its own: the digest of the whole decides (storage/blobs.py).
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from skerry.messages.fields import Digest

PART_BYTES = 1 << 20
PART_MESSAGE_BYTES_MAX = PART_BYTES + 256
BLOBS_ASKED_MAX = 1 << 10
BLOB_BYTES_MAX = 1 << 40

BlobBytes: TypeAlias = Annotated[int, Meta(ge=0, le=BLOB_BYTES_MAX)]
PartIndex: TypeAlias = Annotated[int, Meta(ge=0, lt=BLOB_BYTES_MAX // PART_BYTES)]


class BlobAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="blob-ask/1"):
    """Which of these blobs will you serve me?"""

    blobs: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=BLOBS_ASKED_MAX)]


class BlobHave(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="blob-have/1"):
    """The size in bytes of each blob asked about, in that order; nothing where it is not served."""

    sizes: Annotated[tuple[BlobBytes | None, ...], Meta(max_length=BLOBS_ASKED_MAX)]


class BlobWant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="blob-want/1"):
    """Send me one part of a blob."""

    blob: Digest
    part: PartIndex


class BlobPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="blob-part/1"):
    """The bytes of one part of a blob."""

    blob: Digest
    part: PartIndex
    data: Annotated[bytes, Meta(min_length=1, max_length=PART_BYTES)]


class BlobGone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="blob-gone/1"):
    """That part is not served, or not any longer."""

    blob: Digest
    part: PartIndex


BlobMessage: TypeAlias = BlobAsk | BlobHave | BlobWant | BlobPart | BlobGone
