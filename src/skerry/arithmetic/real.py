"""IEEE binary32 in plain integers: the specification of every op that rounds.

What    An f32 is its 32 bits, an int; the one NaN is 0x7fc00000. A finite value is a sign and
        m * 2^k with whole m and k; each function finds the exact result in integers and hands it
        to `encode`, the only place that rounds: half to even, subnormals kept, overflow to the
        infinity.
Why     Nobody needs a processor's word for it: whoever can shift and compare integers can
        implement, or judge, one element.
Source  IEEE 754-2019, binary32, roundTiesToEven.
Pure    Integers; exp and its kin are the float64 sequences of `arithmetic.scalar`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

from skerry.arithmetic import scalar

Bits: TypeAlias = int

NAN: Final = 0x7FC00000
INF: Final = 0x7F800000
SIGN: Final = 0x80000000
_FRACTION_BITS: Final = 23
_HIDDEN: Final = 1 << _FRACTION_BITS
_K_MIN: Final = -149  # the exponent k of every subnormal m * 2^k
_FIELD_MAX: Final = 255


# ---- taking apart and putting together ----------------------------------------------------------


def sign(x: Bits) -> int:
    """Return the sign bit as SIGN or 0."""
    return x & SIGN


def is_nan(x: Bits) -> bool:
    """Return whether x is a NaN, whatever its payload."""
    return x & ~SIGN > INF


def is_inf(x: Bits) -> bool:
    """Return whether x is an infinity."""
    return x & ~SIGN == INF


def decode(x: Bits) -> tuple[int, int]:
    """Return (m, k) with |x| = m * 2^k, for finite x."""
    field, fraction = x >> _FRACTION_BITS & _FIELD_MAX, x & (_HIDDEN - 1)
    if field == 0:
        return fraction, _K_MIN
    return fraction | _HIDDEN, field + _K_MIN - 1


def round_shift(m: int, places: int) -> int:
    """Return m / 2^places to the nearest integer, half to even."""
    if places <= 0:
        return m << -places
    kept, rest, half = m >> places, m & ((1 << places) - 1), 1 << (places - 1)
    return kept + 1 if rest > half or (rest == half and kept & 1) else kept


def encode(negative: int, m: int, k: int, *, sticky: bool = False) -> Bits:
    """Return the f32 nearest to m * 2^k (a little above it if `sticky`), half to even.

    Args:
        negative: SIGN or 0.
        m: a whole number, at least 0.
        k: any integer.
        sticky: the true magnitude exceeds m * 2^k by less than 2^k; m then has over 25 bits.
    """
    if sticky:  # a quarter stands for whatever the rest is: it only has to break ties
        m, k = m << 2 | 1, k - 2
    if m == 0:
        return negative
    # the value keeps 24 bits, or fewer where its lowest bit would lie below 2^-149
    places = max(m.bit_length() - (_FRACTION_BITS + 1), _K_MIN - k)
    m, k = round_shift(m, places), k + places
    if m.bit_length() > _FRACTION_BITS + 1:  # rounded up to the next power of two
        m, k = m >> 1, k + 1
    if m < _HIDDEN:  # subnormal, or zero: k is _K_MIN
        return negative | m
    field = k - _K_MIN + 1
    if field >= _FIELD_MAX:
        return negative | INF
    return negative | field << _FRACTION_BITS | m - _HIDDEN


# ---- one IEEE operation each --------------------------------------------------------------------


def add(a: Bits, b: Bits) -> Bits:
    """Return a + b; an exact zero is +0 unless both operands are -0."""
    if is_nan(a) or is_nan(b) or (is_inf(a) and is_inf(b) and a != b):
        return NAN
    if is_inf(a) or is_inf(b):
        return a if is_inf(a) else b
    (m_a, k_a), (m_b, k_b) = decode(a), decode(b)
    k = min(k_a, k_b)
    total = (-m_a if sign(a) else m_a) << (k_a - k)
    total += (-m_b if sign(b) else m_b) << (k_b - k)
    if total == 0:
        return sign(a) & sign(b)
    return encode(SIGN if total < 0 else 0, abs(total), k)


def sub(a: Bits, b: Bits) -> Bits:
    """Return a - b."""
    return NAN if is_nan(b) else add(a, b ^ SIGN)


def mul(a: Bits, b: Bits) -> Bits:
    """Return a * b; 0 * inf is NaN."""
    negative = sign(a) ^ sign(b)
    if is_nan(a) or is_nan(b):
        return NAN
    if is_inf(a) or is_inf(b):
        return NAN if 0 in (a & ~SIGN, b & ~SIGN) else negative | INF
    (m_a, k_a), (m_b, k_b) = decode(a), decode(b)
    return encode(negative, m_a * m_b, k_a + k_b)


def div(a: Bits, b: Bits) -> Bits:
    """Return a / b; 0 / 0 and inf / inf are NaN, x / 0 is an infinity."""
    negative = sign(a) ^ sign(b)
    if is_nan(a) or is_nan(b) or (is_inf(a) and is_inf(b)):
        return NAN
    if is_inf(b):
        return negative
    (m_b, k_b) = decode(b)
    if is_inf(a):
        return negative | INF
    (m_a, k_a) = decode(a)
    if m_b == 0:
        return NAN if m_a == 0 else negative | INF
    # 64 more bits of the dividend leave at least 40 bits of quotient, more than enough to round
    quotient, rest = divmod(m_a << 64, m_b)
    return encode(negative, quotient, k_a - k_b - 64, sticky=rest != 0)


def sqrt(x: Bits) -> Bits:
    """Return the square root; of -0 it is -0, of a negative value NaN."""
    if is_nan(x):
        return NAN
    if x & ~SIGN == 0:
        return x
    if sign(x):
        return NAN
    if is_inf(x):
        return INF
    m, k = decode(x)
    m, k = m << (64 + k % 2), k - 64 - k % 2  # an even exponent, and 32 more bits of root
    root = math.isqrt(m)
    return encode(0, root, k // 2, sticky=root * root != m)


def neg(x: Bits) -> Bits:
    """Return x with its sign turned."""
    return NAN if is_nan(x) else x ^ SIGN


def absolute(x: Bits) -> Bits:
    """Return x with its sign cleared."""
    return NAN if is_nan(x) else x & ~SIGN


def order_key(x: Bits) -> int:
    """Return an integer in the total order -inf < .. < -0 < +0 < .. < inf < nan."""
    if is_nan(x):
        return NAN
    return x if x < SIGN else SIGN - 1 - x


def maximum(a: Bits, b: Bits) -> Bits:
    """Return the greater in total order; NaN is the greatest."""
    return NAN if is_nan(a) or is_nan(b) else max(a, b, key=order_key)


def minimum(a: Bits, b: Bits) -> Bits:
    """Return the lesser in total order, but NaN if either is NaN."""
    return NAN if is_nan(a) or is_nan(b) else min(a, b, key=order_key)


def equal(a: Bits, b: Bits) -> bool:
    """Return a = b: false if either is NaN, and -0 = +0."""
    return not (is_nan(a) or is_nan(b)) and (a == b or (a | b) & ~SIGN == 0)


def less(a: Bits, b: Bits) -> bool:
    """Return a < b: false if either is NaN."""
    ordered = not (is_nan(a) or is_nan(b))
    return ordered and not equal(a, b) and order_key(a) < order_key(b)


def less_equal(a: Bits, b: Bits) -> bool:
    """Return a <= b: false if either is NaN."""
    return less(a, b) or equal(a, b)


# ---- to and from integers -----------------------------------------------------------------------


def from_integer(d: int) -> Bits:
    """Return the f32 nearest to an integer."""
    return encode(SIGN if d < 0 else 0, abs(d), 0)


def to_integer(x: Bits) -> int:
    """Return the nearest integer, half to even; NaN gives 0, and the result is within +-2^62."""
    if is_nan(x):
        return 0
    magnitude = scalar.CAST_LIMIT
    if not is_inf(x):
        m, k = decode(x)
        magnitude = min(round_shift(m, -k), magnitude)
    return -magnitude if sign(x) else magnitude


def exponent(x: Bits) -> int:
    """Return the least e >= -125 with |x| < 2^e; 129 for an infinity or NaN."""
    return max(x >> _FRACTION_BITS & _FIELD_MAX, 1) - 126


def _valid(e: int) -> bool:
    return scalar.EXPONENT_MIN <= e <= scalar.EXPONENT_MAX


def quantise(x: Bits, e: int, bits: int) -> int:
    """Return x / 2^(e - bits + 1) to the nearest integer, half to even, within +-2^(bits - 1).

    An e outside -125..128, and a NaN, give 0.
    """
    if not _valid(e) or is_nan(x):
        return 0
    magnitude = 1 << (bits - 1)
    if not is_inf(x):
        m, k = decode(x)
        magnitude = min(round_shift(m, e - bits + 1 - k), magnitude)
    return -magnitude if sign(x) else magnitude


def rescale(d: int, exponents: tuple[int, ...], shift: int) -> Bits:
    """Return d * 2^(sum of exponents - shift), rounded once; NaN if an exponent is not valid."""
    if not all(_valid(e) for e in exponents):
        return NAN
    return encode(SIGN if d < 0 else 0, abs(d), sum(exponents) - shift)


# ---- the fixed sequences ------------------------------------------------------------------------


def _lifted(function: Callable[[float], float]) -> Callable[[Bits], Bits]:
    return lambda x: scalar.bits_f32(function(scalar.from_bits_f32(x)))


exp = _lifted(scalar.exp)
log = _lifted(scalar.log)
tanh = _lifted(scalar.tanh)
erf = _lifted(scalar.erf)
sin = _lifted(scalar.sin)
cos = _lifted(scalar.cos)
