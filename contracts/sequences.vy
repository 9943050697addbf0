# pragma version 0.4.3
"""
@title  exp, log, tanh, erf, sin and cos of an f32
@notice Fixed sequences of binary64 add, subtract, multiply and divide, each rounded, and one
        rounding to f32 at the end: `skerry.arithmetic.scalar`, line by line.
@dev    A constant is the 8 bytes of an f64; what it stands for is said where scalar.py says it.
"""

from . import softfloat

F32_SIGN: constant(uint256) = 2**31
F32_MAGNITUDE: constant(uint256) = 2**31 - 1
F32_INFINITY: constant(uint256) = 255 * 2**23
F32_NAN: constant(uint256) = 511 * 2**22
F32_TWO_TO_20: constant(uint256) = 147 * 2**23

ZERO: constant(uint256) = 0
ONE: constant(uint256) = 1023 * 2**52
TWO: constant(uint256) = 1024 * 2**52
HALF: constant(uint256) = 1022 * 2**52
ROUND: constant(uint256) = 2151 * 2**51  # 1.5 * 2^52

LOG2_E: constant(bytes8) = 0x3ff71547652b82fe
LN2: constant(bytes8) = 0x3fe62e42fefa39ef
LN2_HIGH: constant(bytes8) = 0x3fe62e42fee00000
LN2_LOW: constant(bytes8) = 0x3dea39ef35793c76
TWO_OVER_PI: constant(bytes8) = 0x3fe45f306dc9c883
PI_OVER_2: constant(bytes8) = 0x3ff921fb54442d18
PI_OVER_2_A: constant(bytes8) = 0x3ff921fb54400000
PI_OVER_2_B: constant(bytes8) = 0x3dd0b4611a600000
PI_OVER_2_C: constant(bytes8) = 0x3ba3198a2e037073
MINUS_110: constant(bytes8) = 0xc05b800000000000  # -110.0
PLUS_90: constant(bytes8) = 0x4056800000000000  # 90.0
PLUS_20: constant(bytes8) = 0x4034000000000000  # 20.0
ERF_LIMIT: constant(bytes8) = 0x400f99999999999a  # 3.95
# EXPM1, from the highest degree but one down; the highest stands alone
EXPM1_LAST: constant(bytes8) = 0x3e927e4faa28896a
EXPM1: constant(bytes8[9]) = [
    0x3ec72e0b23e91318,
    0x3efa01a7374b1704,
    0x3f2a019951c1ebe2,
    0x3f56c16c13570404,
    0x3f811111123a5692,
    0x3fa5555555565b97,
    0x3fc5555555550e29,
    0x3fdfffffffffffb0,
    0x3ff0000000000005,
]
# LOG, from the highest degree but one down; the highest stands alone
LOG_LAST: constant(bytes8) = 0x3fc58791ce4c0b4b
LOG: constant(bytes8[5]) = [
    0x3fc732c04fd8b167,
    0x3fcc72279087203e,
    0x3fd249241761e7a8,
    0x3fd999999a295c33,
    0x3fe555555555395c,
]
# ERF, from the highest degree but one down; the highest stands alone
ERF_LAST: constant(bytes8) = 0xbdd6a86fa944edcb
ERF: constant(bytes8[16]) = [
    0x3e20b7d43afa362b,
    0xbe54b7c108b5dc9f,
    0x3e798ced7adaf3f0,
    0xbe81707c410fe93d,
    0xbeb6c8131b6ff8a6,
    0x3ee6157e6ac0ec05,
    0xbf041a48a851961a,
    0x3f12e4a5101cd8f5,
    0x3ef61358360598a8,
    0xbf4344077bf595da,
    0x3f5bc7909656a4dc,
    0xbf2b66d17a36599c,
    0xbf9396697566ea29,
    0x3fba4f4e2e8f3837,
    0x3fe45f306dc64dbe,
    0x3ff20dd750429d33,
]
# SIN, from the highest degree but one down; the highest stands alone
SIN_LAST: constant(bytes8) = 0xbe5a965d21d21e0d
SIN: constant(bytes8[4]) = [
    0x3ec71d77a1b5a8bc,
    0xbf2a019f9554c402,
    0x3f81111110c9ec17,
    0xbfc55555555523c6,
]
# COS, from the highest degree but one down; the highest stands alone
COS_LAST: constant(bytes8) = 0x3e21bc6fa54a6ddf
COS: constant(bytes8[4]) = [
    0xbe927e0281ed437f,
    0x3efa019faa527418,
    0xbf56c16c16767002,
    0x3fa55555555530e6,
]

# the bits of sqrt(1/2), the lower end of the interval that the logarithm's argument is moved to
SQRT_HALF: constant(int256) = 4604544271217802189
# floor(2 / pi * 2^256)
TWO_OVER_PI_256: constant(uint256) = 73715533492226901901836098385759174607297965327747686705228263945774433027425


@internal
@pure
def _of(constant_: bytes8) -> uint256:
    """
    @notice The f64 that 8 bytes spell.
    """
    return convert(constant_, uint256)


@internal
@pure
def _clamped(a: uint256, limit: uint256) -> uint256:
    """
    @notice min(a, limit) of two f64 that are not negative.
    """
    return min(a, limit)


@internal
@pure
def _whole(y: uint256, factor: bytes8) -> (uint256, int256):
    """
    @notice The integer nearest to y * factor, as an f64 and as an integer.
    """
    # beside 1.5 * 2^52 the lowest place of an f64 is worth 1
    shifted: uint256 = softfloat.add(softfloat.mul(y, self._of(factor)), ROUND)
    n: int256 = unsafe_sub(convert(shifted, int256), convert(ROUND, int256))
    return softfloat.sub(shifted, ROUND), n


@internal
@pure
def _reduced_exp(y: uint256) -> (uint256, uint256):
    """
    @notice (2^n, e^r - 1) with y = n ln 2 + r.
    """
    whole: uint256 = 0
    n: int256 = 0
    whole, n = self._whole(y, LOG2_E)
    r: uint256 = softfloat.sub(
        softfloat.sub(y, softfloat.mul(whole, self._of(LN2_HIGH))),
        softfloat.mul(whole, self._of(LN2_LOW)),
    )
    value: uint256 = self._of(EXPM1_LAST)
    for c: bytes8 in EXPM1:
        value = softfloat.add(softfloat.mul(value, r), self._of(c))
    return softfloat.power_of_two(n), softfloat.mul(r, value)


@internal
@pure
def exp(x: uint256) -> uint256:
    """
    @notice e^x.
    """
    if softfloat.is_nan32(x):
        return F32_NAN
    y: uint256 = softfloat.widen(x)
    # min(max(y, -110), 90): the bits of two f64 of one sign stand in the order of their sizes
    if x >= F32_SIGN:
        y = min(y, self._of(MINUS_110))
    else:
        y = min(y, self._of(PLUS_90))
    scale: uint256 = 0
    em1: uint256 = 0
    scale, em1 = self._reduced_exp(y)
    return softfloat.narrow(softfloat.mul(softfloat.add(em1, ONE), scale))


@internal
@pure
def ln(x: uint256) -> uint256:
    """
    @notice The natural logarithm; of +-0 it is -inf, of a negative value NaN.
    """
    if x & F32_MAGNITUDE == 0:
        return F32_SIGN | F32_INFINITY
    if x > F32_INFINITY:
        return F32_NAN
    if x == F32_INFINITY:
        return x
    bits: uint256 = softfloat.widen(x)
    k: int256 = unsafe_sub(convert(bits, int256), SQRT_HALF) >> 52
    shifted: uint256 = convert(unsafe_sub(convert(bits, int256), k << 52), uint256)
    f: uint256 = softfloat.sub(shifted, ONE)
    s: uint256 = softfloat.div(f, softfloat.add(f, TWO))
    z: uint256 = softfloat.mul(s, s)
    value: uint256 = self._of(LOG_LAST)
    for c: bytes8 in LOG:
        value = softfloat.add(softfloat.mul(value, z), self._of(c))
    series: uint256 = softfloat.mul(s, softfloat.add(softfloat.mul(z, value), TWO))
    turns: uint256 = softfloat.mul(softfloat.from_integer(k), self._of(LN2))
    return softfloat.narrow(softfloat.add(turns, series))


@internal
@pure
def tanh(x: uint256) -> uint256:
    """
    @notice The hyperbolic tangent.
    """
    if softfloat.is_nan32(x):
        return F32_NAN
    y: uint256 = self._clamped(softfloat.widen(x & F32_MAGNITUDE), self._of(PLUS_20))
    scale: uint256 = 0
    em1: uint256 = 0
    scale, em1 = self._reduced_exp(softfloat.add(y, y))
    t: uint256 = softfloat.add(softfloat.mul(em1, scale), softfloat.sub(scale, ONE))
    return softfloat.narrow(softfloat.div(t, softfloat.add(t, TWO))) | x & F32_SIGN


@internal
@pure
def erf(x: uint256) -> uint256:
    """
    @notice The error function.
    """
    if softfloat.is_nan32(x):
        return F32_NAN
    a: uint256 = self._clamped(softfloat.widen(x & F32_MAGNITUDE), self._of(ERF_LIMIT))
    value: uint256 = self._of(ERF_LAST)
    for c: bytes8 in ERF:
        value = softfloat.add(softfloat.mul(value, a), self._of(c))
    scale: uint256 = 0
    em1: uint256 = 0
    scale, em1 = self._reduced_exp(softfloat.sub(ZERO, softfloat.mul(a, value)))
    value = softfloat.sub(softfloat.sub(ONE, scale), softfloat.mul(em1, scale))
    return softfloat.narrow(value) | x & F32_SIGN


@internal
@pure
def sin(x: uint256) -> uint256:
    """
    @notice The sine; of an infinity it is NaN, and -0 keeps its sign.
    """
    if x & F32_MAGNITUDE >= F32_INFINITY:
        return F32_NAN
    if x & F32_MAGNITUDE == 0:
        return x
    quadrant: uint256 = 0
    r: uint256 = 0
    quadrant, r = self._reduced_turn(x)
    return softfloat.narrow(self._quadrant_value(quadrant, r))


@internal
@pure
def cos(x: uint256) -> uint256:
    """
    @notice The cosine; of an infinity NaN.
    """
    if x & F32_MAGNITUDE >= F32_INFINITY:
        return F32_NAN
    quadrant: uint256 = 0
    r: uint256 = 0
    quadrant, r = self._reduced_turn(x)
    return softfloat.narrow(self._quadrant_value(quadrant + 1, r))


@internal
@pure
def _quadrant_value(quadrant: uint256, r: uint256) -> uint256:
    """
    @notice sin(r + quadrant * pi / 2) for |r| <= pi / 4.
    """
    z: uint256 = softfloat.mul(r, r)
    value: uint256 = 0
    if quadrant & 1 == 1:
        value = self._of(COS_LAST)
        for c: bytes8 in COS:
            value = softfloat.add(softfloat.mul(value, z), self._of(c))
        value = softfloat.add(
            softfloat.sub(ONE, softfloat.mul(z, HALF)),
            softfloat.mul(softfloat.mul(z, z), value),
        )
    else:
        value = self._of(SIN_LAST)
        for c: bytes8 in SIN:
            value = softfloat.add(softfloat.mul(value, z), self._of(c))
        value = softfloat.add(r, softfloat.mul(softfloat.mul(r, z), value))
    return softfloat.neg(value) if quadrant & 2 == 2 else value


@internal
@pure
def _reduced_turn(x: uint256) -> (uint256, uint256):
    """
    @notice (quadrant, r) with x = quadrant * pi / 2 + r up to full turns; x is finite.
    """
    magnitude: uint256 = x & F32_MAGNITUDE
    if magnitude < F32_TWO_TO_20:
        whole: uint256 = 0
        n: int256 = 0
        r: uint256 = softfloat.widen(x)
        whole, n = self._whole(r, TWO_OVER_PI)
        r = softfloat.sub(r, softfloat.mul(whole, self._of(PI_OVER_2_A)))
        r = softfloat.sub(r, softfloat.mul(whole, self._of(PI_OVER_2_B)))
        r = softfloat.sub(r, softfloat.mul(whole, self._of(PI_OVER_2_C)))
        return convert(n & 3, uint256), r
    mantissa: uint256 = magnitude & (2**23 - 1) | 2**23
    # 128 bits of 2 / pi from the weight on that still matters modulo four quadrants
    window: uint256 = (TWO_OVER_PI_256 >> (280 - (magnitude >> 23))) & (2**128 - 1)
    turns: uint256 = mantissa * window & (2**128 - 1)
    quadrant: uint256 = turns >> 126
    fraction: int256 = convert(turns >> 62 & (2**64 - 1), int256)
    if fraction >= 2**63:
        quadrant += 1
        fraction -= 2**64
    scaled: uint256 = softfloat.mul(softfloat.from_integer(fraction), softfloat.power_of_two(-64))
    angle: uint256 = softfloat.mul(scaled, self._of(PI_OVER_2))
    if x < F32_SIGN:
        return quadrant & 3, angle
    return (8 - quadrant) & 3, softfloat.neg(angle)
