"""The integers of the reference round as IEEE says, and as the processor does."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skerry.arithmetic import real, scalar

SPECIAL = (0, 1 << 31, 1, 0x7FFFFF, 0x800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000)
bits = st.one_of(
    st.sampled_from(SPECIAL), st.integers(0, (1 << 32) - 1), st.integers(0x3F000000, 0x41000000)
)


def number(x: int) -> np.float32:
    return np.float32(np.frombuffer(struct.pack("<I", x), dtype=np.float32)[0])


def bits_of(x: np.float32) -> int:
    found = int(np.float32(x).view(np.uint32))
    return real.NAN if real.is_nan(found) else found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (real.add, np.add),
        (real.sub, np.subtract),
        (real.mul, np.multiply),
        (real.div, np.divide),
    ],
    ids=["add", "sub", "mul", "div"],
)
@given(a=bits, b=bits)
@settings(max_examples=120)
@example(a=0x80000000, b=0x80000000)
@example(a=0x00800000, b=0x3F000001)  # a subnormal result near a tie
@example(a=0x7F7FFFFF, b=0x73000000)  # the sum is a tie with the first value out of range
def test_an_operation_is_the_processors(
    ours: Callable[[int, int], int], theirs: np.ufunc, a: int, b: int
) -> None:
    with np.errstate(all="ignore"):
        assert ours(a, b) == bits_of(theirs(number(a), number(b)))


@given(bits)
@settings(max_examples=120)
def test_a_root_is_the_nearest_to_the_true_one(x: int) -> None:
    root = real.sqrt(x)
    if real.is_nan(x) or (x >> 31 and x != 1 << 31):
        assert root == real.NAN
    elif x & ~real.SIGN in (0, real.INF):
        assert root == x
    else:
        # the root's square must lie between the squares of the midpoints to its neighbours
        m, k = real.decode(root)
        low, high = Fraction(2 * m - 1) * Fraction(2) ** (k - 1), Fraction(2 * m + 1)
        high *= Fraction(2) ** (k - 1)
        if m == 1 << 23:
            low = Fraction(4 * m - 1) * Fraction(2) ** (k - 2)
        m_x, k_x = real.decode(x)
        assert low**2 < Fraction(m_x) * Fraction(2) ** k_x < high**2


@given(st.integers(0, (1 << 80) - 1), st.integers(-260, 120))
@settings(max_examples=120)
def test_encode_gives_the_nearest_and_ties_go_to_even(m: int, k: int) -> None:
    x = real.encode(0, m, k)
    exact = Fraction(m) * Fraction(2) ** k
    if x == real.INF:
        assert exact >= Fraction(2) ** 128 - Fraction(2) ** 103
        return
    near = Fraction(*float(number(x)).as_integer_ratio())
    for other in (max(x - 1, 0), x + 1):
        if other == real.INF:
            continue
        rival = Fraction(*float(number(other)).as_integer_ratio())
        assert abs(near - exact) <= abs(rival - exact)
        if other != x and abs(near - exact) == abs(rival - exact):
            assert x & 1 == 0


@given(bits, bits)
def test_the_order_is_total_and_that_of_the_numbers(a: int, b: int) -> None:
    if not (real.is_nan(a) or real.is_nan(b)):
        assert real.less(a, b) == bool(number(a) < number(b))
        assert real.less_equal(a, b) == bool(number(a) <= number(b))
        assert real.equal(a, b) == bool(number(a) == number(b))
        assert {real.maximum(a, b), real.minimum(a, b)} == {a, b}
    else:
        assert real.maximum(a, b) == real.minimum(a, b) == real.NAN
    assert real.order_key(1 << 31) < real.order_key(0)


@given(bits, st.integers(-140, 140), st.integers(2, 41))
def test_quantise_is_that_of_the_scalar_text(x: int, e: int, width: int) -> None:
    assert real.quantise(x, e, width) == scalar.quantise(scalar.from_bits_f32(x), e, width)


@given(st.integers(-(1 << 53), 1 << 53), st.lists(st.integers(-126, 129), min_size=1, max_size=2),
       st.integers(0, 82))  # fmt: skip
def test_rescale_is_that_of_the_scalar_text(d: int, exponents: list[int], shift: int) -> None:
    want = scalar.bits_f32(scalar.rescale(d, tuple(exponents), shift))
    assert real.rescale(d, tuple(exponents), shift) == want


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_an_integer_becomes_the_nearest_f32(d: int) -> None:
    assert real.from_integer(d) == scalar.bits_f32(scalar.cast_i64_f32(d))


@given(bits)
def test_casts_and_exponents_are_those_of_the_scalar_text(x: int) -> None:
    value = scalar.from_bits_f32(x)
    assert real.to_integer(x) == scalar.cast_f32_i64(value)
    assert real.exponent(x) == scalar.exponent(value)
    if math.isfinite(value):
        assert abs(value) < math.ldexp(1.0, real.exponent(x))
