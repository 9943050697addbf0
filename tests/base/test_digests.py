"""One hash rule, and trees whose leaves can be opened alone."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import (
    DIGEST_BYTES,
    EMPTY,
    digest,
    merkle_check,
    merkle_levels,
    merkle_path,
    merkle_root,
    node_digest,
    tree_depth,
)

leaf = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
trees = st.lists(leaf, min_size=1, max_size=40)
domain = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=8)


@st.composite
def opened(draw: st.DrawFn) -> tuple[list[bytes], int]:
    """A tree and the index of one of its leaves."""
    leaves = draw(trees)
    return leaves, draw(st.integers(0, len(leaves) - 1))


def test_the_rule_is_the_one_that_is_written_down() -> None:
    assert digest("tensor", b"ab", b"c") == sha256(b"\x00tensor\x00abc").digest()
    assert node_digest(b"l" * 32, b"r" * 32) == sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()


@given(domain, st.lists(st.binary(max_size=8), max_size=4))
def test_parts_are_joined(name: str, parts: list[bytes]) -> None:
    assert digest(name, *parts) == digest(name, b"".join(parts))


@given(domain, domain, st.binary(max_size=16))
def test_domains_keep_equal_payloads_apart(one: str, other: str, payload: bytes) -> None:
    assert (digest(one, payload) == digest(other, payload)) == (one == other)


@given(st.binary(max_size=64))
def test_a_view_hashes_like_its_bytes(payload: bytes) -> None:
    assert digest("d", memoryview(payload)) == digest("d", payload)


@pytest.mark.parametrize(
    ("count", "depth"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (512, 9), (513, 10)]
)
def test_depth_follows_from_the_count(count: int, depth: int) -> None:
    assert tree_depth(count) == depth


def test_small_trees_are_what_one_draws_on_paper() -> None:
    a, b, c = (bytes([letter]) * 32 for letter in b"abc")
    assert merkle_root([]) == EMPTY
    assert merkle_root([a]) == a
    assert merkle_root([a, b]) == node_digest(a, b)
    assert merkle_root([a, b, c]) == node_digest(node_digest(a, b), node_digest(c, EMPTY))


@given(opened())
def test_every_leaf_opens(case: tuple[list[bytes], int]) -> None:
    leaves, index = case
    levels = merkle_levels(leaves)
    path = merkle_path(levels, index)
    assert len(path) == tree_depth(len(leaves))
    assert merkle_check(merkle_root(leaves), leaves[index], index, len(leaves), path)


@given(opened(), leaf)
def test_another_leaf_does_not_open(case: tuple[list[bytes], int], other: bytes) -> None:
    leaves, index = case
    path = merkle_path(merkle_levels(leaves), index)
    opens = merkle_check(merkle_root(leaves), other, index, len(leaves), path)
    assert opens == (other == leaves[index])


@given(opened(), st.data())
def test_another_place_does_not_open(case: tuple[list[bytes], int], data: st.DataObject) -> None:
    leaves, index = case
    other = data.draw(st.integers(-2, len(leaves) + 2))
    path = merkle_path(merkle_levels(leaves), index)
    opens = merkle_check(merkle_root(leaves), leaves[index], other, len(leaves), path)
    if 0 <= other < len(leaves) and leaves[other] == leaves[index]:
        return  # equal leaves may stand in both places
    assert not opens


@given(opened(), st.data())
def test_a_changed_sibling_does_not_open(
    case: tuple[list[bytes], int], data: st.DataObject
) -> None:
    leaves, index = case
    path = list(merkle_path(merkle_levels([*leaves, leaves[0]]), index))
    at = data.draw(st.integers(0, len(path) - 1))
    path[at] = bytes([path[at][0] ^ 1]) + path[at][1:]
    root = merkle_root([*leaves, leaves[0]])
    assert not merkle_check(root, leaves[index], index, len(leaves) + 1, path)


@given(opened(), leaf)
def test_a_path_of_the_wrong_length_does_not_open(
    case: tuple[list[bytes], int], extra: bytes
) -> None:
    leaves, index = case
    path = merkle_path(merkle_levels(leaves), index)
    root = merkle_root(leaves)
    assert not merkle_check(root, leaves[index], index, len(leaves), [*path, extra])
    if path:
        assert not merkle_check(root, leaves[index], index, len(leaves), path[:-1])


@given(st.lists(leaf, min_size=3, max_size=40))
def test_an_inner_node_is_not_a_leaf(leaves: list[bytes]) -> None:
    """A path one short of the true depth would prove an inner node; the count forbids it."""
    levels = merkle_levels(leaves)
    shortened = merkle_path(levels[1:], 0)
    assert not merkle_check(merkle_root(leaves), levels[1][0], 0, len(leaves), shortened)


@given(trees)
def test_levels_halve_down_to_the_root(leaves: list[bytes]) -> None:
    widths = [len(level) for level in merkle_levels(leaves)]
    assert widths[-1] == 1
    assert all(wide == 2 * narrow for wide, narrow in pairwise(widths))
