"""The arithmetic of one element: every function that rounds, spelled out in binary64 steps.

What    Plain Python floats and integers. Each function maps float32 values (held in Python
        floats) and integers to the one result that every backend must give, bit for bit.
Why     A library's `exp` differs between machines. These sequences use only correctly rounded
        IEEE binary64 add, subtract, multiply and divide, one at a time, never fused, and end in
        one rounding to float32. Any device that has those four operations gives equal bits.
Source  Polynomials: own weighted minimax fits (Remez exchange at 50 digits). Reduction of the sine
        for big arguments: Payne and Hanek 1983. Philox: Salmon et al. 2011.
Units   Constants are hexadecimal floats: the digits are the bits.
Pure    No torch, no numpy, no libm.
"""

from __future__ import annotations

import struct

NAN = float("nan")
INF = float("inf")

#: Adding and subtracting 1.5 * 2^52 rounds |v| < 2^51 to an integer, ties to even.
ROUND = 6755399441055744.0
F32_MAX_HALF_UP = float.fromhex("0x1.ffffffp+127")

EXPONENT_MIN, EXPONENT_MAX, EXPONENT_NOT_FINITE = -125, 128, 129
CAST_LIMIT = 2**62

LOG2_E = float.fromhex("0x1.71547652b82fep+0")
LN2 = float.fromhex("0x1.62e42fefa39efp-1")
#: ln 2 in two parts; the first has 21 trailing zero bits, so n * LN2_HIGH is exact for |n| < 2^20.
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")

#: (e^r - 1) / r on |r| <= ln(2) / 2, relative error 1.3e-15.
EXPM1 = tuple(
    float.fromhex(c)
    for c in (
        "0x1.0000000000005p+0",
        "0x1.fffffffffffb0p-2",
        "0x1.5555555550e29p-3",
        "0x1.5555555565b97p-5",
        "0x1.11111123a5692p-7",
        "0x1.6c16c13570404p-10",
        "0x1.a019951c1ebe2p-13",
        "0x1.a01a7374b1704p-16",
        "0x1.72e0b23e91318p-19",
        "0x1.27e4faa28896ap-22",
    )
)
#: (2 atanh(s) / s - 2) / s^2 as a polynomial in s^2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1).
LOG = tuple(
    float.fromhex(c)
    for c in (
        "0x1.555555555395cp-1",
        "0x1.999999a295c33p-2",
        "0x1.249241761e7a8p-2",
        "0x1.c72279087203ep-3",
        "0x1.732c04fd8b167p-3",
        "0x1.58791ce4c0b4bp-3",
    )
)
#: -ln(erfc a) / a on 0 <= a <= 3.95, weighted so that erf has relative error 9e-14.
ERF = tuple(
    float.fromhex(c)
    for c in (
        "0x1.20dd750429d33p+0",
        "0x1.45f306dc64dbep-1",
        "0x1.a4f4e2e8f3837p-4",
        "-0x1.396697566ea29p-6",
        "-0x1.b66d17a36599cp-13",
        "0x1.bc7909656a4dcp-10",
        "-0x1.344077bf595dap-11",
        "0x1.61358360598a8p-16",
        "0x1.2e4a5101cd8f5p-14",
        "-0x1.41a48a851961ap-15",
        "0x1.6157e6ac0ec05p-17",
        "-0x1.6c8131b6ff8a6p-20",
        "-0x1.1707c410fe93dp-23",
        "0x1.98ced7adaf3f0p-24",
        "-0x1.4b7c108b5dc9fp-26",
        "0x1.0b7d43afa362bp-29",
        "-0x1.6a86fa944edcbp-34",
    )
)
#: (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 as polynomials in r^2, |r| <= pi / 4.
SIN = tuple(
    float.fromhex(c)
    for c in (
        "-0x1.55555555523c6p-3",
        "0x1.1111110c9ec17p-7",
        "-0x1.a019f9554c402p-13",
        "0x1.71d77a1b5a8bcp-19",
        "-0x1.a965d21d21e0dp-26",
    )
)
COS = tuple(
    float.fromhex(c)
    for c in (
        "0x1.55555555530e6p-5",
        "-0x1.6c16c16767002p-10",
        "0x1.a019faa527418p-16",
        "-0x1.27e0281ed437fp-22",
        "0x1.1bc6fa54a6ddfp-29",
    )
)
TWO_OVER_PI = float.fromhex("0x1.45f306dc9c883p-1")
PI_OVER_2 = float.fromhex("0x1.921fb54442d18p+0")
#: pi / 2 in three parts of at most 33 bits each, so n times a part is exact for |n| < 2^20.
PI_OVER_2_A = float.fromhex("0x1.921fb54400000p+0")
PI_OVER_2_B = float.fromhex("0x1.0b4611a600000p-34")
PI_OVER_2_C = float.fromhex("0x1.3198a2e037073p-69")
#: floor(2 / pi * 2^256), for arguments of 2^20 and more.
TWO_OVER_PI_256 = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561
TWO_TO_20 = 1048576.0


# ---- bits ---------------------------------------------------------------------------------------


def bits_f32(x: float) -> int:
    """Return the 32 bits of a float32 value; every NaN gives 0x7fc00000."""
    if x != x:
        return 0x7FC00000
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


def from_bits_f32(bits: int) -> float:
    """Return the float32 value with these 32 bits; every NaN comes back as the one NaN."""
    value = float(struct.unpack("<f", struct.pack("<I", bits))[0])
    return NAN if value != value else value


def round_f32(x: float) -> float:
    """Round a binary64 value once to float32, ties to even, subnormals kept."""
    if x != x:
        return NAN
    if abs(x) >= F32_MAX_HALF_UP:
        return INF if x > 0 else -INF
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def order_key(x: float) -> int:
    """Map a float32 to an integer in total order: -inf < .. < -0 < +0 < .. < inf < nan."""
    bits = bits_f32(x)
    return bits if bits < 0x80000000 else 0x7FFFFFFF - bits


def _power_of_two(n: int) -> float:
    """Return 2^n for -1022 <= n <= 1023 by building its bits."""
    return float(struct.unpack("<d", struct.pack("<Q", (n + 1023) << 52))[0])


def _bits_f64(x: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", x))[0])


def _from_bits_f64(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def _round_even(v: float) -> float:
    """Round |v| < 2^51 to an integer, ties to even, by two additions."""
    return (v + ROUND) - ROUND


def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """Evaluate by Horner's rule: one multiplication, one addition, each rounded."""
    value = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = value * x + c
    return value


# ---- functions of one float32 -------------------------------------------------------------------


def _reduce_exp(y: float) -> tuple[float, float]:
    """Split y = n ln 2 + r and return (2^n, e^r - 1)."""
    n = _round_even(y * LOG2_E)
    r = (y - n * LN2_HIGH) - n * LN2_LOW
    return _power_of_two(int(n)), r * _polynomial(EXPM1, r)


def exp(x: float) -> float:
    """Return e^x; below -110 it is 0 and above 90 it is inf, as the final rounding says."""
    if x != x:
        return NAN
    y = min(max(x, -110.0), 90.0)
    scale, em1 = _reduce_exp(y)
    return round_f32((em1 + 1.0) * scale)


def log(x: float) -> float:
    """Return the natural logarithm; of +-0 it is -inf, of a negative value NaN."""
    if x != x or x < 0.0:
        return NAN
    if x == 0.0:
        return -INF
    if x == INF:
        return INF
    bits = _bits_f64(x)
    k = (bits - 0x3FE6A09E667F3BCD) >> 52
    f = _from_bits_f64(bits - (k << 52)) - 1.0
    s = f / (f + 2.0)
    z = s * s
    series = s * (z * _polynomial(LOG, z) + 2.0)
    return round_f32(float(k) * LN2 + series)


def tanh(x: float) -> float:
    """Return the hyperbolic tangent, by e^(2|x|) - 1, with the sign of x (also of -0)."""
    if x != x:
        return NAN
    y = min(abs(x), 20.0)
    scale, em1 = _reduce_exp(y + y)
    t = em1 * scale + (scale - 1.0)
    value = round_f32(t / (t + 2.0))
    return -value if _negative(x) else value


def erf(x: float) -> float:
    """Return the error function, as 1 - e^(ln erfc|x|), with the sign of x (also of -0)."""
    if x != x:
        return NAN
    a = min(abs(x), 3.95)
    scale, em1 = _reduce_exp(0.0 - a * _polynomial(ERF, a))
    value = round_f32((1.0 - scale) - em1 * scale)
    return -value if _negative(x) else value


def sin(x: float) -> float:
    """Return the sine; of an infinity it is NaN, and -0 keeps its sign."""
    if x != x or abs(x) == INF:
        return NAN
    if x == 0.0:
        return x
    quadrant, r = _reduce_pi(x)
    return round_f32(_quadrant_value(quadrant, r))


def cos(x: float) -> float:
    """Return the cosine; of an infinity NaN."""
    if x != x or abs(x) == INF:
        return NAN
    quadrant, r = _reduce_pi(x)
    return round_f32(_quadrant_value(quadrant + 1, r))


def _negative(x: float) -> bool:
    return bits_f32(x) >> 31 == 1


def _quadrant_value(quadrant: int, r: float) -> float:
    """Return sin(r + quadrant * pi / 2) for |r| <= pi / 4."""
    z = r * r
    if quadrant & 1:
        value = (1.0 - z * 0.5) + (z * z) * _polynomial(COS, z)
    else:
        value = r + (r * z) * _polynomial(SIN, z)
    return -value if quadrant & 2 else value


def _reduce_pi(x: float) -> tuple[int, float]:
    """Return (quadrant, r) with x = quadrant * pi / 2 + r up to full turns."""
    if abs(x) < TWO_TO_20:
        n = _round_even(x * TWO_OVER_PI)
        r = ((x - n * PI_OVER_2_A) - n * PI_OVER_2_B) - n * PI_OVER_2_C
        return int(n) & 3, r
    bits = bits_f32(abs(x))
    mantissa, k = (bits & 0x7FFFFF) | 0x800000, (bits >> 23) - 150
    # 128 bits of 2 / pi from the weight on that still matters modulo four quadrants
    window = (TWO_OVER_PI_256 >> (130 - k)) & ((1 << 128) - 1)
    turns = (mantissa * window) & ((1 << 128) - 1)
    quadrant, fraction = turns >> 126, (turns >> 62) & ((1 << 64) - 1)
    if fraction >= 1 << 63:
        quadrant, fraction = quadrant + 1, fraction - (1 << 64)
    r = (float(fraction) * _power_of_two(-64)) * PI_OVER_2
    return (quadrant & 3, r) if x > 0 else (-quadrant & 3, -r)


# ---- exact integers -----------------------------------------------------------------------------


def exponent(x: float) -> int:
    """Return the smallest e >= -125 with |x| < 2^e; an infinity or NaN gives 129."""
    return max((bits_f32(x) >> 23) & 0xFF, 1) - 126


def quantise(x: float, e: int, bits: int) -> int:
    """Return x in steps of 2^(e - bits + 1), ties to even, kept within +-2^(bits-1).

    An `e` outside -125..128 (so also the 129 of a group that is not finite) and a NaN give 0.
    """
    if not EXPONENT_MIN <= e <= EXPONENT_MAX or x != x:
        return 0
    limit = _power_of_two(bits - 1)
    v = min(max(x * _power_of_two(bits - 1 - e), -limit), limit)
    return int(_round_even(v))


def rescale(d: int, exponents: tuple[int, ...], shift: int) -> float:
    """Return d * 2^(sum of exponents - shift), rounded once; NaN if an exponent is not valid."""
    if any(not EXPONENT_MIN <= e <= EXPONENT_MAX for e in exponents):
        return NAN
    return round_f32(float(d) * _power_of_two(sum(exponents) - shift))


def cast_f32_i64(x: float) -> int:
    """Round to an integer, ties to even; NaN gives 0 and the result stays within +-2^62."""
    if x != x:
        return 0
    if abs(x) >= float(CAST_LIMIT):
        return CAST_LIMIT if x > 0 else -CAST_LIMIT
    return round(x)


def cast_i64_f32(x: int) -> float:
    """Round an int64 once to float32, ties to even."""
    magnitude = abs(x)
    drop = max(magnitude.bit_length() - 24, 0)
    kept, rest, half = magnitude >> drop, magnitude & ((1 << drop) - 1), (1 << drop) >> 1
    if drop and (rest > half or (rest == half and kept & 1)):
        kept += 1
    value = float(kept << drop)
    return -value if x < 0 else value


# ---- chance -------------------------------------------------------------------------------------

PHILOX_M0, PHILOX_M1 = 0xD2511F53, 0xCD9E8D57
PHILOX_W0, PHILOX_W1 = 0x9E3779B9, 0xBB67AE85
MASK_32 = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the four 32-bit words of Philox4x32-10."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = PHILOX_M0 * c0, PHILOX_M1 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK_32, (p0 >> 32) ^ c3 ^ k1, p0 & MASK_32
        k0, k1 = (k0 + PHILOX_W0) & MASK_32, (k1 + PHILOX_W1) & MASK_32
    return c0, c1, c2, c3


def uniform(seed: int, stream: int, element: int) -> float:
    """Return element `element` of a uniform draw in [0, 1): a multiple of 2^-24."""
    block, word = divmod(element, 4)
    counter = (block & MASK_32, (block >> 32) & MASK_32, stream & MASK_32, 0)
    words = philox(counter, (seed & MASK_32, (seed >> 32) & MASK_32))
    return float(words[word] >> 8) * _power_of_two(-24)
