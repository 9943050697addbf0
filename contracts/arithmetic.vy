# pragma version 0.4.3
"""
@title  The value of one element of every op that works element by element
@notice An element is 64 bits: an f32 its 32 bits, an i64 its two's complement, a bool 0 or 1.
        `element` is total: it has a value for whatever bits it is given.
@dev    Stateless. The specification is `skerry.arithmetic`; the two are held equal by tests.
"""

from . import ops
from . import sequences
from . import softfloat

F32: constant(uint256) = 1
I64: constant(uint256) = 2
BOOL: constant(uint256) = 3

SIGN: constant(uint256) = 2**31
MAGNITUDE: constant(uint256) = 2**31 - 1
INFINITY: constant(uint256) = 255 * 2**23
NAN: constant(uint256) = 511 * 2**22
WORD: constant(uint256) = 2**64 - 1
ONE: constant(uint256) = 1

CAST_LIMIT: constant(uint256) = 2**62
EXPONENT_MIN: constant(int256) = -125
EXPONENT_MAX: constant(int256) = 128

PHILOX_M0: constant(uint256) = 3528531795
PHILOX_M1: constant(uint256) = 3449720151
PHILOX_W0: constant(uint256) = 2654435769
PHILOX_W1: constant(uint256) = 3144134277
MASK_32: constant(uint256) = 2**32 - 1


@external
@pure
def element(
    op: bytes12, dtype: uint256, a: uint256, b: uint256, c: uint256, attr: int256
) -> uint256:
    """
    @notice The value that `op` gives for one element of each operand.
    @param op The op's name.
    @param dtype Of the last operand: 1 f32, 2 i64, 3 bool.
    @param a The first operand's element.
    @param b The second's, or 0.
    @param c The third's, or 0; of a `rescale` with two operands an i64 that is 0.
    @param attr The `to` of a cast, counted from 0, `bits` of a quantise, `shift` of a rescale.
    """
    if op == ops.OP_SELECT:
        return b if a == 1 else c
    if op == ops.OP_CAST:
        return self._cast(dtype, convert(attr, uint256) + 1, a)
    if op == ops.OP_QUANTISE:
        return self._word(self._quantise(a, self._signed(b), attr))
    if op == ops.OP_RESCALE:
        return self._rescale(self._signed(a), self._signed(b), self._signed(c), attr)
    if dtype == F32:
        return self._real(op, a, b)
    if dtype == I64:
        return self._whole(op, a, b)
    if op == ops.OP_AND:
        return a & b
    if op == ops.OP_OR:
        return a | b
    if op == ops.OP_NOT:
        return a ^ 1
    if op == ops.OP_EQ:
        return convert(a == b, uint256)
    raise "op"


@external
@pure
def uniform(seed: uint256, stream: uint256, index: uint256) -> uint256:
    """
    @notice Element `index` of a draw in [0, 1), an f32 that is a multiple of 2^-24.
    """
    group: uint256 = index // 4
    words: uint256[4] = self._philox(
        [group & MASK_32, group >> 32 & MASK_32, stream & MASK_32, 0],
        seed & MASK_32, seed >> 32 & MASK_32,
    )
    return softfloat.scaled32(False, words[index % 4] >> 8, -24)


@external
@pure
def permuted(index: uint256, size: uint256, key: uint256) -> uint256:
    """
    @notice Where `index` goes in the permutation of range(size) that a 64-bit key names: four
            Feistel rounds over an even number of bits, walked until they fall inside.
    @dev The walk is bounded: it leaves the range with a chance below 3/4 each time. A walk of
         more than 256 passes does not occur below any key that anybody can find.
    """
    assert index < size
    half: uint256 = 1
    for bits: uint256 in range(1, 33):
        if ONE << (2 * half) < size:
            half += 1
    mask: uint256 = (ONE << half) - 1
    at: uint256 = index
    for walk: uint256 in range(256):
        left: uint256 = at >> half
        right: uint256 = at & mask
        for turn: uint256 in range(4):
            word: uint256 = self._philox(
                [right, turn, 0, 0], key & MASK_32, key >> 32 & MASK_32
            )[0]
            swapped: uint256 = left ^ (word & mask)
            left = right
            right = swapped
        at = left << half | right
        if at < size:
            return at
    raise "walk"


# ---- f32 -----------------------------------------------------------------------------------------


@internal
@pure
def _real(op: bytes12, a: uint256, b: uint256) -> uint256:
    """
    @notice An op on f32. A binary64 operation rounded to f32 is the f32 operation, rounded once:
            53 bits are more than twice 24, and two.
    """
    if op == ops.OP_ADD:
        return softfloat.narrow(softfloat.add(softfloat.widen(a), softfloat.widen(b)))
    if op == ops.OP_SUB:
        return softfloat.narrow(softfloat.sub(softfloat.widen(a), softfloat.widen(b)))
    if op == ops.OP_MUL:
        return softfloat.narrow(softfloat.mul(softfloat.widen(a), softfloat.widen(b)))
    if op == ops.OP_DIV:
        return softfloat.narrow(softfloat.div(softfloat.widen(a), softfloat.widen(b)))
    if op == ops.OP_LT:
        return convert(softfloat.less32(a, b), uint256)
    if op == ops.OP_LE:
        return convert(softfloat.less32(a, b) or softfloat.equal32(a, b), uint256)
    if op == ops.OP_EQ:
        return convert(softfloat.equal32(a, b), uint256)
    if op == ops.OP_MAX:
        return b if softfloat.order32(b) > softfloat.order32(a) else a
    if op == ops.OP_MIN:
        if softfloat.is_nan32(a) or softfloat.is_nan32(b):
            return NAN
        return b if softfloat.order32(b) < softfloat.order32(a) else a
    if op == ops.OP_SQRT:
        return softfloat.narrow(softfloat.sqrt(softfloat.widen(a)))
    if op == ops.OP_NEG:
        return NAN if softfloat.is_nan32(a) else a ^ SIGN
    if op == ops.OP_ABS:
        return NAN if softfloat.is_nan32(a) else a & MAGNITUDE
    if op == ops.OP_EXP:
        return sequences.exp(a)
    if op == ops.OP_LOG:
        return sequences.ln(a)
    if op == ops.OP_TANH:
        return sequences.tanh(a)
    if op == ops.OP_ERF:
        return sequences.erf(a)
    if op == ops.OP_SIN:
        return sequences.sin(a)
    if op == ops.OP_COS:
        return sequences.cos(a)
    raise "op"


@internal
@pure
def _quantise(x: uint256, e: int256, bits: int256) -> int256:
    """
    @notice x / 2^(e - bits + 1) to the nearest integer, half to even, within +-2^(bits - 1);
            an e outside -125..128 and a NaN give 0.
    """
    if e < EXPONENT_MIN or e > EXPONENT_MAX or softfloat.is_nan32(x):
        return 0
    limit: uint256 = ONE << convert(bits - 1, uint256)
    steps: uint256 = limit
    if x & MAGNITUDE != INFINITY:
        steps = min(softfloat.steps32(x, e - bits + 1), limit)
    return -convert(steps, int256) if x >= SIGN else convert(steps, int256)


@internal
@pure
def _rescale(d: int256, e1: int256, e2: int256, drop: int256) -> uint256:
    """
    @notice d * 2^(e1 + e2 - shift), rounded once; NaN if an exponent is outside -125..128.
    """
    if min(e1, e2) < EXPONENT_MIN or max(e1, e2) > EXPONENT_MAX:
        return NAN
    return softfloat.scaled32(d < 0, convert(abs(d), uint256), e1 + e2 - drop)


@internal
@pure
def _cast(source: uint256, target: uint256, x: uint256) -> uint256:
    """
    @notice x, an element of dtype `source`, as one of dtype `target`.
    """
    if source == target:
        return x
    if target == BOOL:
        return convert((x & MAGNITUDE if source == F32 else x) != 0, uint256)
    if source == F32:
        if softfloat.is_nan32(x):
            return 0
        steps: uint256 = CAST_LIMIT
        if x & MAGNITUDE != INFINITY:
            steps = min(softfloat.steps32(x, 0), CAST_LIMIT)
        return self._word(-convert(steps, int256) if x >= SIGN else convert(steps, int256))
    if source == BOOL and target == I64:
        return x
    n: int256 = self._signed(x)
    return softfloat.scaled32(n < 0, convert(abs(n), uint256), 0)


# ---- i64 -----------------------------------------------------------------------------------------


@internal
@pure
def _signed(x: uint256) -> int256:
    """
    @notice The integer whose two's complement is the 64 bits x.
    """
    return convert(x, int256) - (2**64 if x >= 2**63 else 0)


@internal
@pure
def _word(n: int256) -> uint256:
    """
    @notice The two's complement of n in 64 bits; n is taken modulo 2^64.
    """
    return convert(n & convert(WORD, int256), uint256)


@internal
@pure
def _whole(op: bytes12, a: uint256, b: uint256) -> uint256:
    """
    @notice An op on i64, modulo 2^64.
    """
    n: int256 = self._signed(a)
    m: int256 = self._signed(b)
    if op == ops.OP_ADD:
        return self._word(n + m)
    if op == ops.OP_SUB:
        return self._word(n - m)
    if op == ops.OP_MUL:
        return self._word(n * m)
    if op == ops.OP_MAX:
        return a if n >= m else b
    if op == ops.OP_MIN:
        return a if n <= m else b
    if op == ops.OP_LT:
        return convert(n < m, uint256)
    if op == ops.OP_LE:
        return convert(n <= m, uint256)
    if op == ops.OP_EQ:
        return convert(n == m, uint256)
    if op == ops.OP_NEG:
        return self._word(-n)
    if op == ops.OP_ABS:
        return self._word(abs(n))
    if op == ops.OP_FLOORDIV or op == ops.OP_REM:
        if m == 0:
            return 0
        # the EVM cuts towards zero
        quotient: int256 = n // m
        rest: int256 = n - quotient * m
        if rest != 0 and (rest < 0) != (m < 0):
            quotient -= 1
            rest += m
        return self._word(quotient if op == ops.OP_FLOORDIV else rest)
    raise "op"


# ---- chance --------------------------------------------------------------------------------------


@internal
@pure
def _philox(counter: uint256[4], k0: uint256, k1: uint256) -> uint256[4]:
    """
    @notice The four words of Philox4x32-10 at `counter` under the key (k0, k1).
    """
    c0: uint256 = counter[0]
    c1: uint256 = counter[1]
    c2: uint256 = counter[2]
    c3: uint256 = counter[3]
    key0: uint256 = k0
    key1: uint256 = k1
    for turn: uint256 in range(10):
        p0: uint256 = unsafe_mul(PHILOX_M0, c0)
        p1: uint256 = unsafe_mul(PHILOX_M1, c2)
        c0 = p1 >> 32 ^ c1 ^ key0
        c1 = p1 & MASK_32
        c2 = p0 >> 32 ^ c3 ^ key1
        c3 = p0 & MASK_32
        key0 = unsafe_add(key0, PHILOX_W0) & MASK_32
        key1 = unsafe_add(key1, PHILOX_W1) & MASK_32
    return [c0, c1, c2, c3]
