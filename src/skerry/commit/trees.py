"""Merkle trees in bulk and in part: quick roots, and rows of roots below a root.

What    `quick_root` equals `base.digests.merkle_root` without hashing the padding. `row` cuts a
        tree into the roots of its subtrees at one height, and `fold` joins them again.
Why     A tensor of a million elements is hashed at every segment; a dispute walks down a tree many
        levels at a time.
Units   A leaf has height 0. Subtree `index` at height h covers leaves index*2^h and up.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from skerry.base.digests import EMPTY, node_digest, tree_depth

_NODE = b"\x01"
_HEIGHT_MAX = 64


def _empty_roots() -> tuple[bytes, ...]:
    roots = [EMPTY]
    for _ in range(_HEIGHT_MAX):
        roots.append(node_digest(roots[-1], roots[-1]))
    return tuple(roots)


EMPTY_ROOTS = _empty_roots()  # EMPTY_ROOTS[h] is the root of 2^h leaves of padding


def _parents(level: Sequence[bytes], height: int) -> list[bytes]:
    """Return the row above `level`, whose entries have `height`; an odd end meets padding."""
    if len(level) & 1:
        level = [*level, EMPTY_ROOTS[height]]
    pairs = zip(level[::2], level[1::2], strict=True)
    return [sha256(_NODE + left + right).digest() for left, right in pairs]


def row(leaves: Sequence[bytes], height: int) -> list[bytes]:
    """Return the roots of every subtree of `height` that holds a leaf."""
    level = list(leaves)
    for below in range(height):
        level = _parents(level, below)
    return level


def quick_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle root over `leaves`; of no leaves it is EMPTY."""
    return row(leaves, tree_depth(len(leaves)))[0] if leaves else EMPTY


def fold(roots: Sequence[bytes], height: int, levels: int) -> bytes:
    """Return the root that is `levels` above `roots`, which have `height` and end in padding."""
    assert 1 <= len(roots) <= 1 << levels, "a fold of nothing, or of more than fits"
    level = list(roots)
    for above in range(levels):
        level = _parents(level, height + above)
    return level[0]


def climb(leaf: bytes, index: int, path: Sequence[bytes]) -> bytes:
    """Return the root that `path` leads to from `leaf` at `index`."""
    running = leaf
    for sibling in path:
        left, right = (sibling, running) if index & 1 else (running, sibling)
        running = node_digest(left, right)
        index >>= 1
    return running
