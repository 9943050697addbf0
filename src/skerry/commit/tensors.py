"""The digest of a tensor, and openings of its leaves and elements.

What    `tensor_digest` names a tensor; `open_leaf` and `open_element` show a part of it that
        `check_leaf` and `check_element` accept against the digest alone.
Why     A judge that can afford 512 elements must be able to look into a tensor of any size.
Rule    A leaf is a run of at most 512 consecutive elements of the last axis; each row starts a
        leaf, a scalar is one leaf of one element, and leaves stand in row-major order.
        leaf = digest("tensor-leaf", elements); root = Merkle root over the leaves;
        tensor = digest("tensor", dtype code, rank, each dimension as u64, root).
Units   Elements are counted in row-major order. Bytes are little-endian: f32 4, i64 8, bool 1.
        Every NaN must already be 0x7fc00000: whoever makes the bytes sees to that.
Pure    Reads a buffer, copies nothing but the leaf at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from skerry.base.digests import digest, merkle_levels, merkle_path, tree_depth
from skerry.commit.trees import climb, quick_root

LEAF_ELEMENTS = 512
ITEM_BYTES = {"f32": 4, "i64": 8, "bool": 1}
LEAF_PREFIX = b"\x00tensor-leaf\x00"

Shape: TypeAlias = tuple[int, ...]
Buffer: TypeAlias = bytes | bytearray | memoryview

_DTYPE_CODES = {"f32": 1, "i64": 2, "bool": 3}


def dtype_code(dtype: str) -> int:
    """Return the number that a tensor's digest has for an element type."""
    return _DTYPE_CODES[dtype]


def _row_leaves(shape: Shape) -> tuple[int, int]:
    """Return the length of a row and the number of leaves that it takes."""
    length = shape[-1] if shape else 1
    return length, -(-length // LEAF_ELEMENTS)


def leaf_count(shape: Shape) -> int:
    """Return how many leaves a tensor of `shape` has."""
    return math.prod(shape[:-1]) * _row_leaves(shape)[1]


def leaf_cut(dtype: str, shape: Shape) -> tuple[int, int]:
    """Return the bytes of a row and those of a leaf that its row does not cut short."""
    row = _row_leaves(shape)[0] * ITEM_BYTES[dtype]
    return row, min(LEAF_ELEMENTS * ITEM_BYTES[dtype], row)


def leaf_span(shape: Shape, leaf: int) -> tuple[int, int]:
    """Return the first element of leaf number `leaf` and the one after its last."""
    length, per_row = _row_leaves(shape)
    row, place = divmod(leaf, per_row)
    start = row * length + place * LEAF_ELEMENTS
    return start, min(start + LEAF_ELEMENTS, (row + 1) * length)


def leaf_of(shape: Shape, element: int) -> tuple[int, int]:
    """Return the leaf that holds `element`, and the element's place in it."""
    length, per_row = _row_leaves(shape)
    row, place = divmod(element, length)
    return row * per_row + place // LEAF_ELEMENTS, place % LEAF_ELEMENTS


def leaf_digest(data: Buffer) -> bytes:
    """Return the digest of one leaf."""
    return sha256(LEAF_PREFIX + data).digest()


def bytes_of(dtype: str, shape: Shape, data: Buffer) -> memoryview:
    """Return `data` as plain bytes after checking that it fills `shape`."""
    view = memoryview(data).cast("B")
    needed = math.prod(shape) * ITEM_BYTES[dtype]
    if min(shape, default=1) < 1 or len(view) != needed:
        raise ValueError(f"{dtype}{list(shape)} takes {needed} bytes, not {len(view)}")
    return view


def tensor_leaves(dtype: str, shape: Shape, data: Buffer) -> list[bytes]:
    """Return the digests of every leaf, in order."""
    view = bytes_of(dtype, shape, data)
    row, width = leaf_cut(dtype, shape)
    prefix = LEAF_PREFIX
    if row % width == 0:
        return [
            sha256(prefix + view[at : at + width]).digest() for at in range(0, len(view), width)
        ]
    return [
        sha256(prefix + view[at : min(at + width, start + row)]).digest()
        for start in range(0, len(view), row)
        for at in range(start, start + row, width)
    ]


def seal_tensor(dtype: str, shape: Shape, root: bytes) -> bytes:
    """Return the digest of the tensor whose leaves have `root`."""
    sizes = b"".join(size.to_bytes(8, "little") for size in shape)
    return digest("tensor", bytes((_DTYPE_CODES[dtype], len(shape))), sizes, root)


def tensor_root(dtype: str, shape: Shape, data: Buffer) -> bytes:
    """Return the Merkle root over the leaves of a tensor."""
    return quick_root(tensor_leaves(dtype, shape, data))


def tensor_digest(dtype: str, shape: Shape, data: Buffer) -> bytes:
    """Return the 32-byte name of a tensor: its dtype, its shape and every element."""
    return seal_tensor(dtype, shape, tensor_root(dtype, shape, data))


def leaf_bytes(dtype: str, shape: Shape, data: Buffer, leaf: int) -> bytes:
    """Return the canonical bytes of one leaf."""
    start, stop = leaf_span(shape, leaf)
    item = ITEM_BYTES[dtype]
    return bytes(bytes_of(dtype, shape, data)[start * item : stop * item])


@dataclass(frozen=True, slots=True)
class LeafOpening:
    """One leaf of a tensor, and what it takes to believe it."""

    leaf: int
    data: bytes
    path: tuple[bytes, ...]


def open_leaf(dtype: str, shape: Shape, data: Buffer, leaf: int) -> LeafOpening:
    """Return the opening of leaf number `leaf`."""
    levels = merkle_levels(tensor_leaves(dtype, shape, data))
    return LeafOpening(leaf, leaf_bytes(dtype, shape, data, leaf), merkle_path(levels, leaf))


def open_element(dtype: str, shape: Shape, data: Buffer, element: int) -> LeafOpening:
    """Return the opening of the leaf that holds `element`."""
    return open_leaf(dtype, shape, data, leaf_of(shape, element)[0])


def check_leaf(tensor: bytes, dtype: str, shape: Shape, opening: LeafOpening) -> bool:
    """Return whether `opening` shows a leaf of the tensor that `tensor` names."""
    count = leaf_count(shape)
    if not 0 <= opening.leaf < count or len(opening.path) != tree_depth(count):
        return False
    start, stop = leaf_span(shape, opening.leaf)
    if len(opening.data) != (stop - start) * ITEM_BYTES[dtype]:
        return False
    root = climb(leaf_digest(opening.data), opening.leaf, opening.path)
    return seal_tensor(dtype, shape, root) == tensor


def check_element(
    tensor: bytes, dtype: str, shape: Shape, element: int, opening: LeafOpening
) -> bytes | None:
    """Return the bits of `element`, or None where `opening` does not show them."""
    leaf, place = leaf_of(shape, element)
    if opening.leaf != leaf or not check_leaf(tensor, dtype, shape, opening):
        return None
    item = ITEM_BYTES[dtype]
    return opening.data[place * item : (place + 1) * item]
