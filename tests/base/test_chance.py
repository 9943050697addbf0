"""Draws that a stranger can recompute alone."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.chance import Chance, permuted, philox, split64

# Known answers published with Random123 for philox4x32, 10 rounds: counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip

names = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=8))


def hex_words(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: str, key: str, words: str) -> None:
    (c0, c1, c2, c3), (k0, k1) = hex_words(counter), hex_words(key)
    assert philox((c0, c1, c2, c3), (k0, k1)) == hex_words(words)


@given(st.integers(-(2**63), 2**63 - 1))
def test_split_words_join_to_the_same_integer(value: int) -> None:
    low, high = split64(value)
    assert 0 <= low < 2**32
    assert 0 <= high < 2**32
    assert (high << 32 | low) == value % 2**64


@given(st.integers(1, 400), st.integers(0, 2**64 - 1))
def test_permuted_sends_every_index_to_a_place_of_its_own(size: int, key: int) -> None:
    assert sorted(permuted(index, size, key) for index in range(size)) == list(range(size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [4095, 4096, 4097, 31_102])
def test_permuted_is_a_permutation_around_powers_of_two_and_of_a_real_size(size: int) -> None:
    assert len({permuted(index, size, 7) for index in range(size)}) == size


@given(
    st.integers(1, 2**40).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size)))
)
def test_permuted_stays_inside_at_any_size(case: tuple[int, int]) -> None:
    index, size = case
    assert 0 <= permuted(index, size, 1) < size


def test_another_key_names_another_permutation() -> None:
    orders = {tuple(permuted(index, 50, key) for index in range(50)) for key in range(100)}
    assert len(orders) == 100


@pytest.mark.parametrize("index", [-1, 10, 11])
def test_permuted_refuses_an_index_outside(index: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.9"):
        permuted(index, 10, 0)


@given(st.integers(-(2**63), 2**63 - 1), st.lists(names, max_size=3))
def test_a_fork_is_the_same_whenever_it_is_taken(seed: int, path: list[str | int]) -> None:
    assert Chance.from_int(seed).fork(*path) == Chance.from_int(seed).fork(*path)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_forks_with_different_names_differ(one: int, other: int) -> None:
    root = Chance.from_int(0)
    same = root.fork("step", one) == root.fork("step", other)
    assert same == (one == other)


def test_a_fork_follows_the_written_rule() -> None:
    """These bytes are part of every job's bits: a change here changes every run."""
    root = sha256(b"\x00chance\x00" + bytes(8)).digest()
    fork = sha256(b"\x00fork\x00" + root + b"step\x1f7\x1flane\x1f1").digest()
    assert Chance.from_int(0).seed == root
    assert Chance.from_int(0).fork("step", 7, "lane", 1).seed == fork
    assert Chance(fork).word64() == int.from_bytes(fork[:8], "little", signed=True)
    assert Chance(fork).below(1000) == int.from_bytes(fork, "little") % 1000


@given(st.integers(0, 10**6), st.integers(1, 2**70))
def test_below_stays_below(seed: int, limit: int) -> None:
    assert 0 <= Chance.from_int(seed).below(limit) < limit


def test_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Chance.from_int(0).below(0)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_seed_word_fits_a_signed_port(seed: int) -> None:
    assert -(2**63) <= Chance.from_int(seed).word64() < 2**63


def test_draws_below_a_limit_are_even() -> None:
    counts = Counter(Chance.from_int(seed).below(8) for seed in range(4000))
    assert all(400 < counts[value] < 600 for value in range(8))
