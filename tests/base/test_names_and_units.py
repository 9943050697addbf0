"""What a person reads: nicknames, short digests, sizes and durations."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.clock import Clock
from skerry.base.ids import nickname, short
from skerry.base.units import format_bytes, format_count, format_seconds


@given(st.binary(max_size=64))
def test_a_nickname_is_readable_and_always_the_same(key: bytes) -> None:
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d\d", nickname(key))
    assert nickname(key) == nickname(key)


def test_a_hundred_keys_rarely_share_a_nickname() -> None:
    assert len({nickname(bytes([key])) for key in range(100)}) >= 98


def test_a_short_digest_is_its_first_eight_digits() -> None:
    assert short(bytes.fromhex("0123456789abcdef" * 4)) == "01234567"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (3_565_158, "3.4 MiB"),
        (250 * 2**30, "250 GiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_bytes_read_in_binary_units(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (1_240_000, "1.24 M"), (124_000_000, "124 M")],
)
def test_counts_read_in_decimal_units(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (1, "1.0 s"),
        (59.9, "59.9 s"),
        (61, "1 min 1 s"),
        (3599.9, "1 h 0 min"),
        (22_200, "6 h 10 min"),
    ],
)
def test_durations_read_with_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.integers(0, 2**62))
def test_a_size_is_never_longer_than_eight_letters(count: int) -> None:
    assert len(format_bytes(count)) <= 8
    assert len(format_count(count)) <= 6


class Stopwatch:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def test_anything_that_tells_the_time_is_a_clock() -> None:
    clock: Clock = Stopwatch()
    assert clock.now() == 0.0
