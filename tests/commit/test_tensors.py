"""A tensor has one digest, and any part of it can be shown alone."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import EMPTY, merkle_levels, merkle_path, merkle_root, tree_depth
from skerry.commit import (
    LEAF_ELEMENTS,
    LeafOpening,
    check_element,
    check_leaf,
    open_element,
    open_leaf,
    tensor_digest,
)
from skerry.commit.tensors import (
    ITEM_BYTES,
    leaf_bytes,
    leaf_count,
    leaf_digest,
    leaf_of,
    leaf_span,
    seal_tensor,
    tensor_leaves,
)
from skerry.commit.trees import EMPTY_ROOTS, climb, fold, quick_root, row

LAST = st.sampled_from([1, 2, 5, 511, 512, 513, 1024, 1300])
SHAPES = st.one_of(
    st.just(()),
    st.builds(lambda last, rest: (*rest, last), LAST, st.lists(st.integers(1, 3), max_size=3)),
)
CASES = st.tuples(st.sampled_from(sorted(ITEM_BYTES)), SHAPES)


def content(dtype: str, shape: tuple[int, ...]) -> bytes:
    size = math.prod(shape) * ITEM_BYTES[dtype]
    return bytes(at * 131 % 251 for at in range(size))


def plain_root(leaves: list[bytes]) -> bytes:
    """Return the Merkle root by the definition, halving the padded list."""
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return sha256(b"\x01" + plain_root(leaves[:half]) + plain_root(leaves[half:])).digest()


def plain_digest(dtype: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """Return the digest of a tensor by the definition, one row and one leaf after the other."""
    item, length = ITEM_BYTES[dtype], shape[-1] if shape else 1
    leaves = []
    for start in range(0, len(data), length * item):
        line = data[start : start + length * item]
        while line:
            leaves.append(sha256(b"\x00tensor-leaf\x00" + line[: 512 * item]).digest())
            line = line[512 * item :]
    leaves += [bytes(32)] * ((1 << math.ceil(math.log2(len(leaves)))) - len(leaves))
    code = {"f32": 1, "i64": 2, "bool": 3}[dtype]
    head = struct.pack(f"<BB{len(shape)}Q", code, len(shape), *shape)
    return sha256(b"\x00tensor\x00" + head + plain_root(leaves)).digest()


@given(CASES)
def test_a_tensor_digest_is_what_the_definition_says(case: tuple[str, tuple[int, ...]]) -> None:
    dtype, shape = case
    data = content(dtype, shape)
    assert tensor_digest(dtype, shape, data) == plain_digest(dtype, shape, data)


def test_a_typed_buffer_is_read_as_its_bytes() -> None:
    numbers = memoryview(struct.pack("<3q", 1, -2, 3)).cast("q")
    assert tensor_digest("i64", (3,), numbers) == tensor_digest("i64", (3,), numbers.tobytes())


def test_a_digest_binds_dtype_and_shape() -> None:
    data = bytes(4096)
    kinds = [("f32", (1024,)), ("f32", (1, 1024)), ("f32", (2, 512)), ("i64", (512,))]
    kinds += [("bool", (4096,)), ("f32", (1024, 1)), ("f32", (512, 2))]
    assert len({tensor_digest(dtype, shape, data) for dtype, shape in kinds}) == len(kinds)


@pytest.mark.parametrize(("shape", "size"), [((3,), 11), ((0,), 0), ((2, 0), 0), ((), 8)])
def test_bytes_that_do_not_fill_the_shape_are_refused(shape: tuple[int, ...], size: int) -> None:
    with pytest.raises(ValueError, match="takes"):
        tensor_digest("f32", shape, bytes(size))


@given(CASES, st.data())
def test_leaves_tile_the_tensor(case: tuple[str, tuple[int, ...]], data: st.DataObject) -> None:
    dtype, shape = case
    spans = [leaf_span(shape, leaf) for leaf in range(leaf_count(shape))]
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == math.prod(shape)
    assert all(1 <= stop - start <= LEAF_ELEMENTS for start, stop in spans)
    assert len(tensor_leaves(dtype, shape, content(dtype, shape))) == len(spans)
    element = data.draw(st.integers(0, math.prod(shape) - 1))
    leaf, place = leaf_of(shape, element)
    assert spans[leaf][0] + place == element


@given(CASES, st.data())
def test_any_element_can_be_shown_alone(
    case: tuple[str, tuple[int, ...]], data: st.DataObject
) -> None:
    dtype, shape = case
    content_, item = content(dtype, shape), ITEM_BYTES[dtype]
    name = tensor_digest(dtype, shape, content_)
    element = data.draw(st.integers(0, math.prod(shape) - 1))
    opening = open_element(dtype, shape, content_, element)
    assert check_leaf(name, dtype, shape, opening)
    assert opening == open_leaf(dtype, shape, content_, opening.leaf)
    assert opening.data == leaf_bytes(dtype, shape, content_, opening.leaf)
    shown = check_element(name, dtype, shape, element, opening)
    assert shown == content_[element * item : (element + 1) * item]


def test_an_opening_of_another_leaf_does_not_show_an_element() -> None:
    data = content("f32", (2, 600))
    name = tensor_digest("f32", (2, 600), data)
    assert check_element(name, "f32", (2, 600), 0, open_leaf("f32", (2, 600), data, 1)) is None


def test_a_false_opening_is_refused() -> None:
    data = content("i64", (3, 700))
    name = tensor_digest("i64", (3, 700), data)
    good = open_leaf("i64", (3, 700), data, 3)
    false = [
        replace(good, leaf=2),
        replace(good, leaf=-1),
        replace(good, leaf=6),
        replace(good, data=good.data[:-1]),
        replace(good, data=b"\xff" + good.data[1:]),
        replace(good, path=good.path[:-1]),
        replace(good, path=(*good.path, bytes(32))),
        replace(good, path=good.path[::-1]),
        LeafOpening(7, b"", good.path),
    ]
    assert check_leaf(name, "i64", (3, 700), good)
    assert not any(check_leaf(name, "i64", (3, 700), opening) for opening in false)
    assert not check_leaf(name, "f32", (3, 700), good)


def test_a_malformed_tensor_opens_nowhere() -> None:
    """Whoever commits to leaves of another length, or to a tree of another depth, shows nothing."""
    shape = (1100,)
    leaves = [leaf_digest(bytes(size)) for size in (2044, 2048, 304)]
    levels = merkle_levels(leaves)
    short = seal_tensor("f32", shape, levels[-1][0])
    assert not check_leaf(short, "f32", shape, LeafOpening(0, bytes(2044), merkle_path(levels, 0)))
    assert check_leaf(short, "f32", shape, LeafOpening(1, bytes(2048), merkle_path(levels, 1)))
    flat = seal_tensor("f32", shape, merkle_root(leaves[1:]))
    assert not check_leaf(flat, "f32", shape, LeafOpening(0, bytes(2048), (leaves[2],)))


@given(st.integers(0, 70))
def test_the_quick_root_is_the_root(count: int) -> None:
    leaves = [sha256(bytes([at])).digest() for at in range(count)]
    assert quick_root(leaves) == merkle_root(leaves)


@given(st.integers(1, 70), st.data())
def test_a_row_joins_to_the_root(count: int, data: st.DataObject) -> None:
    leaves = [sha256(bytes([at])).digest() for at in range(count)]
    height = data.draw(st.integers(0, tree_depth(count)))
    roots = row(leaves, height)
    assert len(roots) == -(-count // (1 << height))
    assert fold(roots, height, tree_depth(count) - height) == merkle_root(leaves)


def test_padding_has_known_roots() -> None:
    assert EMPTY_ROOTS[0] == EMPTY
    assert EMPTY_ROOTS[3] == merkle_root([EMPTY] * 8) == climb(EMPTY, 5, EMPTY_ROOTS[:3])
