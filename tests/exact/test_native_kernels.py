"""Every kernel gives the bits of the specification, on every CPU level that runs here."""

import math
import struct
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skerry.arithmetic import scalar
from skerry.exact import kernels as k

LEVELS = k.native().levels() if k.available() else []
SPECIAL = (
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000,
    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x3F000000, 0x40200000,
    0x42B17218, 0xC2CFF1B5, 0x497FFFFF, 0x49800000, 0x7E000001, 0x4B000001, 0x33800000, 0xC0E00000,
)  # fmt: skip
f32_bits = st.one_of(
    st.sampled_from(SPECIAL),
    st.integers(0, 2**32 - 1),
    st.floats(-110, 110, width=32).map(lambda x: struct.unpack("<I", struct.pack("<f", x))[0]),
)
rows = st.lists(f32_bits, min_size=2, max_size=80)


def tensor(bits: list[int]) -> Tensor:
    signed = [b - (1 << 32) if b >> 31 else b for b in bits]
    return torch.tensor(signed, dtype=torch.int32).view(torch.float32).reshape(1, -1)


def bits(x: Tensor) -> list[int]:
    return [scalar.bits_f32(value) for value in x.flatten().tolist()]


def at_level(level: str, run: Callable[[], Tensor]) -> Tensor:
    native = k.native()
    before = native.level()
    native.set_level(level)
    try:
        return run()
    finally:
        native.set_level(before)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "sin", "cos"])
@settings(max_examples=60, deadline=None)
@given(row=rows)
def test_a_fixed_sequence_gives_the_bits_of_its_specification(
    level: str, name: str, row: list[int]
) -> None:
    x = tensor(row)
    got = at_level(level, lambda: k.apply(f"{name}_f4", torch.empty_like(x), x))
    want = [getattr(scalar, name)(value) for value in x.flatten().tolist()]
    assert bits(got) == [scalar.bits_f32(value) for value in want]


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(f32_bits, f32_bits), min_size=2, max_size=60))
def test_max_and_min_follow_the_total_order(level: str, pairs: list[tuple[int, int]]) -> None:
    x, y = tensor([a for a, _ in pairs]), tensor([b for _, b in pairs])
    both = list(zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))
    most = at_level(level, lambda: k.apply("max_f4", torch.empty_like(x), x, y))
    least = at_level(level, lambda: k.apply("min_f4", torch.empty_like(x), x, y))
    assert bits(most) == [scalar.bits_f32(max(ab, key=scalar.order_key)) for ab in both]
    assert bits(least) == [
        scalar.bits_f32(math.nan if any(map(math.isnan, ab)) else min(ab, key=scalar.order_key))
        for ab in both
    ]


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=80, deadline=None)
@given(row=rows, width=st.integers(2, 41), e=st.integers(-140, 140))
def test_quantise_clamps_and_rounds_half_to_even_for_any_exponent(
    level: str, row: list[int], width: int, e: int
) -> None:
    x = tensor(row)
    grid = torch.tensor([[e]])
    scale = k.apply("scale_of_i8", torch.empty(1, 1, dtype=torch.float64), grid)
    out = torch.empty(x.shape, dtype=torch.float64)
    got = at_level(level, lambda: k.apply("quantise", out, x, scale, imm=width))
    want = [scalar.quantise(value, e, width) for value in x.flatten().tolist()]
    assert got.flatten().tolist() == want


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=80, deadline=None)
@given(row=rows, width=st.integers(2, 31))
def test_a_row_is_summed_on_the_grid_of_its_own_exponent(
    level: str, row: list[int], width: int
) -> None:
    x = tensor(row)
    values = x.flatten().tolist()

    def run() -> Tensor:
        e = k.apply("row_exponent", torch.empty(1, 1, dtype=torch.float64), x)
        total = torch.empty(1, 1, dtype=torch.float64)
        k.apply("row_sum_f4", total, x, e, imm=width)
        return k.apply("rescale1", torch.empty(1, 1), total, e, imm=width - 1)

    e = max(map(scalar.exponent, values))
    total = sum(scalar.quantise(value, e, width) for value in values)
    assert bits(at_level(level, run)) == [scalar.bits_f32(scalar.rescale(total, (e,), width - 1))]


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 40), st.integers(2, 31),
    st.lists(f32_bits, min_size=200, max_size=200),
)  # fmt: skip
def test_columns_are_summed_like_rows(
    level: str, terms: int, cols: int, width: int, pool: list[int]
) -> None:
    x = tensor(pool[: terms * cols]).reshape(terms, cols)
    out = torch.empty(cols)
    words = k.reduce_step(
        k.MODE_SUM_F32, k.Place(0, 0), k.F4, [(cols, 1)], [(terms, cols)], k.Place(1, 0),
        bits=width, shift=width - 1,
    )  # fmt: skip

    def run() -> Tensor:
        k.run_words(words, (x, out), k.REDUCE_SCRATCH)
        return out

    want = []
    for column in x.t().tolist():
        e = max(map(scalar.exponent, column))
        total = sum(scalar.quantise(value, e, width) for value in column)
        want.append(scalar.bits_f32(scalar.rescale(total, (e,), width - 1)))
    assert bits(at_level(level, run)) == want


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("m", "n", "terms"), [(1, 1, 1), (7, 5, 3), (6, 16, 2), (13, 33, 1001), (97, 17, 481)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_product_of_int16_is_that_of_integers_at_the_bound(
    level: str, m: int, n: int, terms: int, turned: bool
) -> None:
    draw = torch.Generator().manual_seed(m + n + terms)
    a = torch.randint(0, 2, (2, m, terms), generator=draw, dtype=torch.int16) * 4096 - 2048
    b = torch.randint(-2048, 2049, (2, n, terms), generator=draw, dtype=torch.int16)
    b[:, 0] = 2048
    c = torch.empty(2, m, n, dtype=torch.float64)
    left = a.transpose(1, 2).contiguous() if turned else a
    words = k.product_step(
        k.H2, k.Place(0, 0), k.Place(1, 0), k.Place(2, 0), (2, m * terms, n * terms), (m, n, terms),
        (1, m) if turned else (terms, 1), (terms, 1),
    )  # fmt: skip

    def run() -> Tensor:
        k.run_words(words, (left, b, c), k.product_scratch(k.H2, n))
        return c

    assert torch.equal(at_level(level, run).long(), a.long() @ b.long().transpose(1, 2))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("m", "n", "terms"), [(1, 1, 1), (7, 5, 3), (6, 8, 2), (13, 33, 600), (97, 17, 257)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_product_of_wide_integers_is_exact_at_the_bound(
    level: str, m: int, n: int, terms: int, turned: bool
) -> None:
    draw = torch.Generator().manual_seed(m + n + terms)
    bound = 1 << (52 - terms.bit_length()) // 2  # so that every partial sum stays below 2^53
    a = torch.randint(0, 2, (2, m, terms), generator=draw) * 2 * bound - bound
    b = torch.randint(-bound, bound + 1, (2, n, terms), generator=draw)
    b[:, 0] = bound
    c = torch.empty(2, m, n, dtype=torch.float64)
    left = (a.transpose(1, 2) if turned else a).double().contiguous()
    right = b.transpose(1, 2).double().contiguous() if turned else b.double()
    words = k.product_step(
        k.F8, k.Place(0, 0), k.Place(1, 0), k.Place(2, 0), (2, m * terms, n * terms),
        (m, n, terms), (1, m) if turned else (terms, 1), (1, n) if turned else (terms, 1),
    )  # fmt: skip

    def run() -> Tensor:
        k.run_words(words, (left, right, c), k.product_scratch(k.F8, n))
        return c

    assert torch.equal(at_level(level, run).long(), a @ b.transpose(1, 2))


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=60, deadline=None)
@given(row=rows, data=st.data())
def test_topk_gives_the_greatest_first_and_the_lowest_index_of_equals(
    level: str, row: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(row)))
    x, out = tensor(row), torch.empty(count, dtype=torch.int64)
    words = k.topk_step(k.Place(0, 0), k.Place(1, 0), 1, len(row), count)

    def run() -> Tensor:
        k.run_words(words, (x, out), 8 * len(row))
        return out

    keys = [scalar.order_key(value) for value in x.flatten().tolist()]
    ranked = sorted(range(len(row)), key=lambda i: (-keys[i], i))
    assert at_level(level, run).tolist() == ranked[:count]


@pytest.mark.parametrize("level", LEVELS)
@given(seed=st.integers(-(2**63), 2**63 - 1), stream=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_uniform_draws_are_those_of_philox(level: str, seed: int, stream: int) -> None:
    out, key = torch.empty(1, 1101), torch.tensor(seed)
    got = at_level(level, lambda: k.apply("uniform", out, key, imm=stream))
    assert got.flatten().tolist() == [scalar.uniform(seed, stream, i) for i in range(1101)]


def test_a_level_that_is_not_here_is_refused_by_name() -> None:
    if not k.available():
        with pytest.raises(k.NoNativeKernels, match="not built"):
            k.native()
        return
    with pytest.raises(ValueError, match="unknown CPU level"):
        k.native().set_level("sse9")
