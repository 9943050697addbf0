"""The EVM's binary64 is the processor's, subnormals, signed zeros and the one NaN included."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable

import pyrevm
import pytest

from scripts.contracts import compiled
from scripts.evm import SENDER, Contract, deploy
from skerry.arithmetic import scalar

NAN = 0x7FF8 << 48
SPECIAL = (
    0, 1, 2, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, 0x3FF0 << 48, (0x3FF0 << 48) + 1,
    (0x3FF0 << 48) - 1, 0x4330 << 48, 0x4340 << 48, 0x7FEFFFFFFFFFFFFF, 0x7FF0 << 48, NAN,
    0x36A0 << 48, 0x380FFFFFC0000000, 0x380FFFFFE0000000, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000,
)  # fmt: skip
CASES = 1000


def number(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def bits(x: float) -> int:
    return NAN if x != x else int(struct.unpack("<Q", struct.pack("<d", x))[0])


def divided(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def rooted(a: float, b: float) -> float:
    return math.sqrt(a) if a >= 0 else math.nan


OPS: tuple[Callable[[float, float], float], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    divided,
    lambda a, b: a < b,
    rooted,
)


def drawn(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(SPECIAL) | rng.getrandbits(1) << 63
    if kind < 0.3:
        return rng.getrandbits(rng.randint(1, 52)) | rng.getrandbits(1) << 63
    if kind < 0.6:
        return rng.getrandbits(64)
    return rng.getrandbits(53) + rng.randint(1000, 1060) * (1 << 52)


def pair(rng: random.Random) -> tuple[int, int]:
    a, b = drawn(rng), drawn(rng)
    if rng.random() < 0.3:  # cancels, or nearly so
        b = (a ^ 1 << 63) + rng.choice((-1, 0, 0, 1, 2)) & (1 << 64) - 1
    return bits(number(a)), bits(number(b))


@pytest.fixture(scope="module")
def evm() -> Contract:
    machine = pyrevm.EVM(spec_id="CANCUN")
    machine.set_balance(SENDER, 10**24)
    return deploy(machine, compiled("binary64"))


def asked(evm: Contract, op: int, pairs: list[tuple[int, int]]) -> list[int]:
    raw = b"".join(a.to_bytes(8, "big") + b.to_bytes(8, "big") for a, b in pairs)
    return list(evm.call("pairs", op, raw))


@pytest.mark.parametrize("op", range(6))
def test_an_operation_gives_the_bits_that_the_processor_gives(evm: Contract, op: int) -> None:
    rng = random.Random(op)
    pairs = [pair(rng) for _ in range(CASES)]
    want = [OPS[op](number(a), number(b)) for a, b in pairs]
    expected = [int(it) if isinstance(it, bool) else bits(it) for it in want]
    assert asked(evm, op, pairs) == expected


def test_narrowing_rounds_once_and_widening_is_exact(evm: Contract) -> None:
    rng = random.Random(6)
    pairs = [pair(rng) for _ in range(CASES)]
    near = [(0x3690 << 48) + rng.getrandbits(60) for _ in range(CASES)]
    pairs += [(x if x <= 0x7FF0 << 48 else NAN, 0) for x in near]
    rounded = [scalar.bits_f32(scalar.round_f32(number(a))) for a, _ in pairs]
    assert asked(evm, 6, pairs[:1000]) + asked(evm, 6, pairs[1000:]) == rounded
    words = [(0, it) for it in rounded[:1000]]
    assert asked(evm, 7, words) == [bits(scalar.from_bits_f32(it)) for _, it in words]


def test_an_integer_is_rounded_once(evm: Contract) -> None:
    rng = random.Random(8)
    numbers = [rng.getrandbits(rng.randint(1, 64)) for _ in range(CASES)]
    signed = [x - (1 << 64) if x >> 63 else x for x in numbers]
    assert asked(evm, 8, [(x, 0) for x in numbers]) == [bits(float(x)) for x in signed]
