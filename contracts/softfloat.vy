# pragma version 0.4.3
"""
@title  IEEE 754 binary64 and binary32 by integers
@notice An f64 is its 64 bits and an f32 its 32 bits, each in a uint256. Every operation is total
        and rounds once, half to even; subnormals and signed zeros are kept; the one NaN is
        0x7ff8000000000000, and 0x7fc00000 as an f32.
@dev    The exact result is found as m * 2^k with whole m and k, and `_pack` is the only place that
        rounds. Where a result is cut off, the lowest bit of m is set: it only has to break ties.
"""

F64_SIGN: constant(uint256) = 2**63
F64_MAGNITUDE: constant(uint256) = 2**63 - 1
F64_INFINITY: constant(uint256) = 2047 * 2**52
F64_NAN: constant(uint256) = 4095 * 2**51
F64_PLACES: constant(uint256) = 52
F64_HIDDEN: constant(uint256) = 2**52
F64_BIAS: constant(int256) = 1023

F32_SIGN: constant(uint256) = 2**31
F32_MAGNITUDE: constant(uint256) = 2**31 - 1
F32_INFINITY: constant(uint256) = 255 * 2**23
F32_NAN: constant(uint256) = 511 * 2**22
F32_PLACES: constant(uint256) = 23
F32_HIDDEN: constant(uint256) = 2**23
F32_BIAS: constant(int256) = 127

ONE: constant(uint256) = 1


# ---- rounding ------------------------------------------------------------------------------------


@internal
@pure
def _bit_length(x: uint256) -> uint256:
    """
    @notice The number of bits of x; 0 for 0.
    """
    rest: uint256 = x
    bits: uint256 = 0
    if rest >= 2**128:
        rest >>= 128
        bits = 128
    if rest >= 2**64:
        rest >>= 64
        bits = unsafe_add(bits, 64)
    if rest >= 2**32:
        rest >>= 32
        bits = unsafe_add(bits, 32)
    if rest >= 2**16:
        rest >>= 16
        bits = unsafe_add(bits, 16)
    if rest >= 2**8:
        rest >>= 8
        bits = unsafe_add(bits, 8)
    if rest >= 2**4:
        rest >>= 4
        bits = unsafe_add(bits, 4)
    if rest >= 2**2:
        rest >>= 2
        bits = unsafe_add(bits, 2)
    if rest >= 2:
        return unsafe_add(bits, 2)
    return unsafe_add(bits, rest)


@internal
@pure
def _round_shift(m: uint256, places: uint256) -> uint256:
    """
    @notice m / 2^places to the nearest integer, half to even; m is below 2^255.
    """
    if places == 0:
        return m
    if places > 255:
        return 0
    kept: uint256 = m >> places
    rest: uint256 = m - (kept << places)
    half: uint256 = ONE << unsafe_sub(places, 1)
    if rest > half or (rest == half and kept & 1 == 1):
        kept = unsafe_add(kept, 1)
    return kept


@internal
@pure
def _pack(sign: uint256, m: uint256, k: int256, places: uint256, bias: int256) -> uint256:
    """
    @notice The float nearest to m * 2^k, with `places` bits of fraction and this exponent bias.
    @param sign The sign bit where the format has it, or 0.
    """
    if m == 0:
        return sign
    bits: int256 = convert(self._bit_length(m), int256)
    field: int256 = unsafe_sub(unsafe_add(unsafe_add(bits, k), bias), 1)
    # a subnormal keeps fewer bits: its lowest one is worth what the lowest normal's is
    lifted: int256 = max(field, 1)
    drop: int256 = unsafe_sub(bits, convert(places, int256)) - 1 + unsafe_sub(lifted, field)
    kept: uint256 = 0
    if drop <= 0:
        kept = m << convert(unsafe_sub(0, drop), uint256)
    else:
        kept = self._round_shift(m, convert(drop, uint256))
    # the hidden bit, and a carry out of the fraction, count the exponent up by themselves
    packed: uint256 = (convert(unsafe_sub(lifted, 1), uint256) << places) + kept
    return sign | min(packed, convert(unsafe_add(unsafe_mul(2, bias), 1), uint256) << places)


# ---- binary64 ------------------------------------------------------------------------------------


@internal
@pure
def _fraction(magnitude: uint256) -> (uint256, int256):
    """
    @notice (m, e) with m * 2^(e - 1075) = magnitude, a finite f64 without its sign.
    """
    field: uint256 = magnitude >> 52
    if field == 0:
        return magnitude, 1
    return magnitude & (F64_HIDDEN - 1) | F64_HIDDEN, convert(field, int256)


@internal
@pure
def neg(a: uint256) -> uint256:
    """
    @notice -a; for sequences, in which no NaN is turned.
    """
    return a ^ F64_SIGN


@internal
@pure
def add(a: uint256, b: uint256) -> uint256:
    """
    @notice a + b; an exact zero is +0 unless both are -0.
    """
    large: uint256 = a
    small: uint256 = b
    if a & F64_MAGNITUDE < b & F64_MAGNITUDE:
        large = b
        small = a
    high: uint256 = large & F64_MAGNITUDE
    low: uint256 = small & F64_MAGNITUDE
    if high >= F64_INFINITY:
        if high > F64_INFINITY or (low == F64_INFINITY and a != b):
            return F64_NAN
        return large
    if low == 0:
        return a & b if high == 0 else large
    m: uint256 = 0
    n: uint256 = 0
    e: int256 = 0
    f: int256 = 0
    m, e = self._fraction(high)
    n, f = self._fraction(low)
    gap: int256 = unsafe_sub(e, f)
    if gap > 64:
        # too small to do more than break a tie
        gap = 64
        n = 1
    m <<= convert(gap, uint256)
    if (large ^ small) & F64_SIGN == 0:
        m = unsafe_add(m, n)
    else:
        m = unsafe_sub(m, n)
        if m == 0:
            return 0
    k: int256 = unsafe_sub(unsafe_sub(e, gap), 1075)
    return self._pack(large & F64_SIGN, m, k, F64_PLACES, F64_BIAS)


@internal
@pure
def sub(a: uint256, b: uint256) -> uint256:
    """
    @notice a - b.
    """
    return self.add(a, b ^ F64_SIGN)


@internal
@pure
def mul(a: uint256, b: uint256) -> uint256:
    """
    @notice a * b; 0 * inf is NaN.
    """
    sign: uint256 = (a ^ b) & F64_SIGN
    high: uint256 = a & F64_MAGNITUDE
    low: uint256 = b & F64_MAGNITUDE
    if high >= F64_INFINITY or low >= F64_INFINITY:
        if max(high, low) > F64_INFINITY or min(high, low) == 0:
            return F64_NAN
        return sign | F64_INFINITY
    m: uint256 = 0
    n: uint256 = 0
    e: int256 = 0
    f: int256 = 0
    m, e = self._fraction(high)
    n, f = self._fraction(low)
    k: int256 = unsafe_sub(unsafe_add(e, f), 2150)
    return self._pack(sign, unsafe_mul(m, n), k, F64_PLACES, F64_BIAS)


@internal
@pure
def div(a: uint256, b: uint256) -> uint256:
    """
    @notice a / b; 0 / 0 and inf / inf are NaN, x / 0 is an infinity.
    """
    sign: uint256 = (a ^ b) & F64_SIGN
    high: uint256 = a & F64_MAGNITUDE
    low: uint256 = b & F64_MAGNITUDE
    if max(high, low) > F64_INFINITY or (high == low and (high == 0 or high == F64_INFINITY)):
        return F64_NAN
    if high == F64_INFINITY or low == 0:
        return sign | F64_INFINITY
    if low == F64_INFINITY or high == 0:
        return sign
    m: uint256 = 0
    n: uint256 = 0
    e: int256 = 0
    f: int256 = 0
    m, e = self._fraction(high)
    n, f = self._fraction(low)
    # 108 more bits of the dividend leave at least 55 bits of quotient
    m <<= 108
    quotient: uint256 = m // n
    if quotient * n != m:
        quotient |= 1
    k: int256 = unsafe_sub(unsafe_sub(e, f), 108)
    return self._pack(sign, quotient, k, F64_PLACES, F64_BIAS)


@internal
@pure
def sqrt(a: uint256) -> uint256:
    """
    @notice The square root; of -0 it is -0, of a negative value NaN.
    """
    if a & F64_MAGNITUDE == 0:
        return a
    if a > F64_INFINITY:
        return F64_NAN
    if a == F64_INFINITY:
        return a
    m: uint256 = 0
    e: int256 = 0
    m, e = self._fraction(a)
    # 110 or 111 more bits: an even exponent, and at least 55 bits of root
    k: int256 = unsafe_sub(unsafe_sub(e, 1075), 110)
    m <<= 110
    if k & 1 == 1:
        m <<= 1
        k = unsafe_sub(k, 1)
    root: uint256 = isqrt(m)
    if root * root != m:
        root = root << 1 | 1
        k = unsafe_sub(k, 2)
    return self._pack(0, root, k // 2, F64_PLACES, F64_BIAS)


@internal
@pure
def less(a: uint256, b: uint256) -> bool:
    """
    @notice a < b; false if either is NaN, and -0 = +0.
    """
    high: uint256 = a & F64_MAGNITUDE
    low: uint256 = b & F64_MAGNITUDE
    if max(high, low) > F64_INFINITY or high | low == 0:
        return False
    if a & F64_SIGN == 0:
        return b & F64_SIGN == 0 and high < low
    return b & F64_SIGN != 0 and high > low or b & F64_SIGN == 0


@internal
@pure
def power_of_two(n: int256) -> uint256:
    """
    @notice 2^n as an f64, for -1022 <= n <= 1023. A product with it scales exactly.
    """
    return convert(n + F64_BIAS, uint256) << 52


@internal
@pure
def from_integer(n: int256) -> uint256:
    """
    @notice The f64 nearest to an integer below 2^254 in size.
    """
    if n < 0:
        return self._pack(F64_SIGN, convert(unsafe_sub(0, n), uint256), 0, F64_PLACES, F64_BIAS)
    return self._pack(0, convert(n, uint256), 0, F64_PLACES, F64_BIAS)


# ---- binary32 ------------------------------------------------------------------------------------


@internal
@pure
def is_nan32(x: uint256) -> bool:
    """
    @notice Whether an f32 is a NaN, whatever its payload.
    """
    return x & F32_MAGNITUDE > F32_INFINITY


@internal
@pure
def fraction32(magnitude: uint256) -> (uint256, int256):
    """
    @notice (m, k) with m * 2^k = magnitude, a finite f32 without its sign.
    """
    field: uint256 = magnitude >> 23
    if field == 0:
        return magnitude, -149
    return magnitude & (F32_HIDDEN - 1) | F32_HIDDEN, unsafe_sub(convert(field, int256), 150)


@internal
@pure
def scaled32(negative: bool, m: uint256, k: int256) -> uint256:
    """
    @notice The f32 nearest to m * 2^k.
    """
    return self._pack(F32_SIGN if negative else 0, m, k, F32_PLACES, F32_BIAS)


@internal
@pure
def widen(x: uint256) -> uint256:
    """
    @notice The f64 that equals an f32.
    """
    magnitude: uint256 = x & F32_MAGNITUDE
    if magnitude > F32_INFINITY:
        return F64_NAN
    sign: uint256 = (x & F32_SIGN) << 32
    if magnitude == F32_INFINITY:
        return sign | F64_INFINITY
    if magnitude >= F32_HIDDEN:
        # the same fraction, 29 places longer, and a bias that is 896 more
        return sign | ((magnitude << 29) + (896 << 52))
    return self._pack(sign, magnitude, -149, F64_PLACES, F64_BIAS)


@internal
@pure
def narrow(x: uint256) -> uint256:
    """
    @notice The f32 nearest to an f64.
    """
    magnitude: uint256 = x & F64_MAGNITUDE
    if magnitude > F64_INFINITY:
        return F32_NAN
    sign: uint256 = x >> 63 << 31
    if magnitude == F64_INFINITY:
        return sign | F32_INFINITY
    m: uint256 = 0
    e: int256 = 0
    m, e = self._fraction(magnitude)
    return self._pack(sign, m, unsafe_sub(e, 1075), F32_PLACES, F32_BIAS)


@internal
@pure
def order32(x: uint256) -> int256:
    """
    @notice An integer in the total order -inf < .. < -0 < +0 < .. < inf < nan of an f32.
    """
    if x & F32_MAGNITUDE > F32_INFINITY:
        return convert(F32_NAN, int256)
    if x < F32_SIGN:
        return convert(x, int256)
    return unsafe_sub(2147483647, convert(x, int256))


@internal
@pure
def equal32(a: uint256, b: uint256) -> bool:
    """
    @notice a = b; false if either is NaN, and -0 = +0.
    """
    if self.is_nan32(a) or self.is_nan32(b):
        return False
    return a == b or (a | b) & F32_MAGNITUDE == 0


@internal
@pure
def less32(a: uint256, b: uint256) -> bool:
    """
    @notice a < b; false if either is NaN.
    """
    if self.is_nan32(a) or self.is_nan32(b) or (a | b) & F32_MAGNITUDE == 0:
        return False
    return self.order32(a) < self.order32(b)


# ---- to and from integers ------------------------------------------------------------------------


@internal
@pure
def steps32(x: uint256, exponent: int256) -> uint256:
    """
    @notice |x| / 2^exponent to the nearest integer, half to even, but at most 2^63.
    @param x A finite f32.
    """
    m: uint256 = 0
    k: int256 = 0
    m, k = self.fraction32(x & F32_MAGNITUDE)
    places: int256 = exponent - k
    if places >= 0:
        return self._round_shift(m, convert(places, uint256))
    if m == 0:
        return 0
    if places < -63:
        return 2**63
    return min(m << convert(unsafe_sub(0, places), uint256), 2**63)
