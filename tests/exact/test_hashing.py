"""The extension's tensor roots are those of the specification, by either way to SHA-256."""

from __future__ import annotations

import math
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.base.digests import EMPTY, merkle_root
from skerry.commit import tensor_digest as specified_digest
from skerry.commit.tensors import ITEM_BYTES, LEAF_PREFIX, leaf_cut, tensor_root
from skerry.exact import hashing
from skerry.exact import kernels as k

BOTH_WAYS = pytest.mark.parametrize("instructions", [False, True], ids=["portable", "best"])
LAST = st.sampled_from([1, 2, 5, 12, 13, 14, 50, 51, 52, 511, 512, 513, 768, 1024, 1025, 1300])
SHAPES = st.one_of(
    st.just(()),
    st.builds(lambda last, rest: (*rest, last), LAST, st.lists(st.integers(1, 5), max_size=3)),
)
CASES = st.tuples(st.sampled_from(sorted(ITEM_BYTES)), SHAPES, st.binary(min_size=1, max_size=67))


def content(dtype: str, shape: tuple[int, ...], pattern: bytes) -> bytes:
    size = math.prod(shape) * ITEM_BYTES[dtype]
    return (pattern * (size // len(pattern) + 1))[:size]


def hashed(message: bytes, instructions: bool, prefix: int = 0) -> str:
    """Return the SHA-256 of a message, which is the root over one leaf."""
    view, size = memoryview(message)[prefix:], len(message) - prefix
    return k.native().tensor_root(view, message[:prefix], size, size, instructions).hex()


@BOTH_WAYS
@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
            b"klmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
        ),
        (b"a" * 10**6, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
)
def test_the_published_vectors_of_sha_256(message: bytes, answer: str, instructions: bool) -> None:
    assert hashed(message, instructions) == answer


@BOTH_WAYS
def test_every_length_around_a_block_and_every_prefix(instructions: bool) -> None:
    for size in range(1, 200):
        message = bytes(at * 131 % 251 for at in range(size))
        answer = sha256(message).hexdigest()
        for prefix in (0, 1, 13, min(63, size - 1)):
            if prefix < size:
                assert hashed(message, instructions, prefix) == answer, (size, prefix)


@BOTH_WAYS
@settings(max_examples=150, deadline=None)
@given(case=CASES, offset=st.integers(0, 3))
def test_a_native_root_is_the_specified_one(
    instructions: bool, case: tuple[str, tuple[int, ...], bytes], offset: int
) -> None:
    dtype, shape, pattern = case
    data = content(dtype, shape, pattern)
    row, leaf = leaf_cut(dtype, shape)
    shifted = memoryview(bytes(offset) + data)[offset:]
    root = k.native().tensor_root(shifted, LEAF_PREFIX, row, leaf, instructions)
    assert root == tensor_root(dtype, shape, data)


@BOTH_WAYS
@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 300))
def test_a_tree_of_any_number_of_leaves(instructions: bool, count: int) -> None:
    data = bytes(at * 7 % 256 for at in range(count))
    leaves = [sha256(b"p" + data[at : at + 1]).digest() for at in range(count)]
    root = k.native().tensor_root(memoryview(data), b"p", 1, 1, instructions)
    assert root == (merkle_root(leaves) if leaves else EMPTY)


@settings(max_examples=60, deadline=None)
@given(case=CASES)
def test_the_face_gives_the_specified_digest(case: tuple[str, tuple[int, ...], bytes]) -> None:
    dtype, shape, pattern = case
    data = content(dtype, shape, pattern)
    assert hashing.tensor_digest(dtype, shape, data) == specified_digest(dtype, shape, data)


@pytest.mark.parametrize(("shape", "size"), [((3,), 11), ((0,), 0), ((2, 0), 0), ((), 8)])
def test_bytes_that_do_not_fill_the_shape_are_refused(shape: tuple[int, ...], size: int) -> None:
    with pytest.raises(ValueError, match="takes"):
        hashing.tensor_root("f32", shape, bytes(size))


@pytest.mark.parametrize(
    ("size", "prefix", "row", "leaf"),
    [(8, 0, 0, 1), (8, 0, -8, 1), (8, 0, 8, 0), (8, 0, 8, -1), (8, 0, 3, 3), (8, 64, 8, 8)],
)
def test_a_cut_that_does_not_tile_is_refused(size: int, prefix: int, row: int, leaf: int) -> None:
    with pytest.raises(ValueError, match="tile"):
        k.native().tensor_root(memoryview(bytes(size)), bytes(prefix), row, leaf, True)
