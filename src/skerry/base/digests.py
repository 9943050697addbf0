"""One hash: SHA-256 with domain separation, and the Merkle tree built from it.

What    `digest(domain, ...)` names a piece of bytes; `merkle_root` and `merkle_path` name a list of
        leaves of which each can be opened alone.
Why     A chain, a verifier and a disputing party must agree on every byte, so there is exactly one
        rule. A leaf hash can never be read as an inner node (RFC 6962, section 2.1).
Rule    leaf = SHA-256(0x00 || domain || 0x00 || payload); node = SHA-256(0x01 || left || right).
        The leaves are padded with EMPTY to the next power of two, so the depth follows from the
        count alone, and the count is bound by whoever commits to the root.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

DIGEST_BYTES = 32
EMPTY = bytes(DIGEST_BYTES)


def digest(domain: str, *parts: bytes | memoryview) -> bytes:
    """Return the 32-byte name of `parts` joined, within `domain`."""
    return digest_all(domain, parts)


def digest_all(domain: str, parts: Iterable[bytes | memoryview]) -> bytes:
    """Return what `digest` does, of parts that need not all be in memory at once."""
    state = sha256(b"\x00" + domain.encode() + b"\x00")
    for part in parts:
        state.update(part)
    return state.digest()


def word(value: int | bytes) -> bytes:
    """Return one 32-byte word as a chain packs it: integers and short names fill it from the right.

    Words are what the chain's own commitments are made of; everything else is little-endian.
    """
    data = value.to_bytes(DIGEST_BYTES, "big") if isinstance(value, int) else value
    return data.rjust(DIGEST_BYTES, b"\x00")


def node_digest(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def tree_depth(count: int) -> int:
    """Return the number of levels below the root of a tree over `count` leaves."""
    return max(count - 1, 0).bit_length()


def merkle_levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return every level of the padded tree, leaves first, the root alone last."""
    width = 1 << tree_depth(len(leaves))
    level = [*leaves, *([EMPTY] * (width - len(leaves)))]
    levels = [level]
    while len(level) > 1:
        level = [
            sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)
        ]
        levels.append(level)
    return levels


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over `leaves`; of no leaves it is EMPTY."""
    return merkle_levels(leaves)[-1][0]


def merkle_path(levels: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    """Return the siblings from leaf `index` up to the root."""
    path = []
    for level in levels[:-1]:
        path.append(level[index ^ 1])
        index >>= 1
    return tuple(path)


def merkle_check(root: bytes, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Return whether `leaf` stands at `index` of the `count` leaves under `root`."""
    if not 0 <= index < count or len(path) != tree_depth(count):
        return False
    running = leaf
    for sibling in path:
        pair = (sibling, running) if index & 1 else (running, sibling)
        running = node_digest(*pair)
        index >>= 1
    return running == root
