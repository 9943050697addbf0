"""Quantised updates: the Programs against a numpy model, and their bytes against hostile ones."""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skerry.base.chance import Chance
from skerry.program import Layout, check, from_bytes, to_bytes
from skerry.train import (
    Codec,
    LevelShape,
    bytes_expected,
    encode_program,
    merge_program,
    pack_levels,
    unpack_levels,
    update_shape,
    update_types,
)
from skerry.train.levels import CHUNK, LEVEL_MAX
from tests.train.packing import Packing, drawn, run

LAYOUT = Layout.of({"table": (40, 6), "bias": (7,), "square": (9, 9), "one": ()})
CODEC = Codec(kind="quantised", level_width=1.2)
SHAPES = st.builds(LevelShape, st.integers(1, 300), st.integers(1, 30))
PACKING = Packing(pack_levels, unpack_levels)


def model_of_levels(error_P: NDArray[Any]) -> NDArray[Any]:
    """Return the levels of an error by plain numpy in float64."""
    levels = []
    for slot in LAYOUT.slots:
        x = error_P[slot.offset : slot.offset + slot.elements].astype(np.float64)
        width = min(CODEC.level_width * np.sqrt((x * x).mean()), np.abs(x).max())
        sizes = np.minimum(np.floor(np.abs(x) / width + 0.35), LEVEL_MAX)
        levels.append(np.sign(x) * sizes)
    return np.concatenate(levels).astype(np.int64)


def model_of_dense(levels_P: NDArray[Any], scales_S: NDArray[Any]) -> NDArray[Any]:
    """Return the dense update that levels and scales stand for."""
    sizes = [slot.elements for slot in LAYOUT.slots]
    return levels_P.astype(np.float32) * np.repeat(scales_S, sizes).astype(np.float32)


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
def test_encode_equals_the_numpy_model(backend: str) -> None:
    start_P, params_P, residual_P = drawn(3, 3, LAYOUT.elements)
    made = run(
        encode_program(CODEC, LAYOUT), backend, start=start_P, params=params_P, residual=residual_P
    )
    error_P = residual_P * np.float32(CODEC.residual_decay) + (start_P - params_P)
    np.testing.assert_array_equal(made["levels"], model_of_levels(error_P))
    dense_P = model_of_dense(made["levels"], made["scales"])
    np.testing.assert_array_equal(made["residual"], error_P - dense_P)
    assert made["scales"].min() > 0
    assert np.linalg.norm(made["residual"]) < 0.5 * np.linalg.norm(error_P)


def test_backends_agree_to_these_bits() -> None:
    start_P, params_P, residual_P = drawn(5, 3, LAYOUT.elements)
    encode = encode_program(CODEC, LAYOUT)
    made = [
        run(encode, backend, start=start_P, params=params_P, residual=residual_P)
        for backend in ("native", "torch", "reference")
    ]
    for name in made[0]:
        assert len({one[name].tobytes() for one in made}) == 1
    sent = (made[0][name].tobytes() for name in update_types(CODEC, LAYOUT))
    shape = update_shape(CODEC, LAYOUT)
    assert isinstance(shape, LevelShape)
    golden = hashlib.sha256(pack_levels(shape, *sent)).hexdigest()[:12]
    assert golden == "6c541ba056be"


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_merge_applies_what_each_lane_took_off_its_residual(backend: str) -> None:
    start_P, zero_P = drawn(1, LAYOUT.elements), np.zeros(LAYOUT.elements, np.float32)
    encode = encode_program(CODEC, LAYOUT)
    ends = [drawn(lane, LAYOUT.elements) for lane in (7, 8)]
    sent = [run(encode, backend, start=start_P, params=x, residual=zero_P) for x in ends]
    given = {name: np.stack([one[name] for one in sent]) for name in update_types(CODEC, LAYOUT)}
    merged = run(merge_program(CODEC, LAYOUT, 2), backend, params=start_P, **given)
    first_P, second_P = ((start_P - x) - one["residual"] for x, one in zip(ends, sent, strict=True))
    np.testing.assert_allclose(merged["params"], start_P - (first_P + second_P) / 2, atol=1e-5)


def test_what_was_left_out_is_sent_later_also_of_equal_magnitudes() -> None:
    layout = Layout.of({"weight": (30, 4), "signs": (50,), "one": ()})
    codec = Codec(kind="quantised", level_width=3.0, residual_decay=1.0)
    encode, merge = encode_program(codec, layout), merge_program(codec, layout, 1)
    target_P = drawn(5, layout.elements)
    target_P[120:170] = np.sign(target_P[120:170])
    params_P = residual_P = np.zeros(layout.elements, np.float32)
    end_P = target_P
    for _ in range(60):
        made = run(encode, "torch", start=params_P, params=end_P, residual=residual_P)
        residual_P = made["residual"]
        given = {name: made[name][None] for name in update_types(codec, layout)}
        params_P = run(merge, "torch", params=params_P, **given)["params"]
        end_P = params_P  # after the first round the lane stands still
        np.testing.assert_allclose(params_P - target_P, residual_P, atol=1e-5)
    for slot in layout.slots:
        own = slice(slot.offset, slot.offset + slot.elements)
        assert np.linalg.norm(residual_P[own]) < 0.05 * np.linalg.norm(target_P[own])


def test_a_drift_of_nothing_sends_nothing() -> None:
    same_P, zero_P = drawn(3, LAYOUT.elements), np.zeros(LAYOUT.elements, np.float32)
    made = run(encode_program(CODEC, LAYOUT), "torch", start=same_P, params=same_P, residual=zero_P)
    assert not made["levels"].any()
    assert not made["scales"].any()
    assert not made["residual"].any()


def test_programs_are_canonical_and_pass_the_check() -> None:
    for program in (encode_program(CODEC, LAYOUT), merge_program(CODEC, LAYOUT, 3)):
        again = from_bytes(to_bytes(program))
        check(again)
        assert again == program


def test_bytes_are_close_to_the_entropy_and_to_what_a_plan_expects() -> None:
    layout, codec = Layout.of({"weight": (200, 200)}), Codec(kind="quantised")
    start_P, zero_P = drawn(4, layout.elements), np.zeros(layout.elements, np.float32)
    encode = encode_program(codec, layout)
    made = run(encode, "native", start=start_P, params=zero_P, residual=zero_P)
    shape = update_shape(codec, layout)
    assert isinstance(shape, LevelShape)
    size = len(pack_levels(shape, made["levels"].tobytes(), made["scales"].tobytes()))
    shares = np.unique(made["levels"], return_counts=True)[1] / layout.elements
    entropy_bytes = -(shares * np.log2(shares)).sum() * layout.elements / 8
    assert entropy_bytes < size < 1.05 * entropy_bytes
    assert abs(bytes_expected(codec, layout) / size - 1) < 0.05


@st.composite
def updates(draw: st.DrawFn) -> tuple[LevelShape, tuple[bytes, bytes]]:
    shape, spread = draw(SHAPES), draw(st.sampled_from([1, 2, 60, 1140]))
    if draw(st.integers(0, 9)) == 0:
        shape = LevelShape(shape.levels + CHUNK, shape.scales)
    chance = Chance.from_int(draw(st.integers(0, 10**9)))
    among = draw(st.sampled_from([1, 2, 5, 40, 400]))  # the higher, the more levels are 0
    most = draw(st.sampled_from([1, 2, LEVEL_MAX]))
    levels = array("q")
    for at in range(shape.levels):
        size = 1 + chance.fork("size", at).below(most)
        sign = 1 - 2 * chance.fork("sign", at).below(2)
        levels.append(0 if chance.fork("level", at).below(among) else size * sign)
    tops = (900 + chance.fork("scale", at).below(spread) for at in range(shape.scales))
    return shape, (levels.tobytes(), array("I", (top << 20 for top in tops)).tobytes())


@given(updates())
def test_what_is_packed_is_unpacked(case: tuple[LevelShape, tuple[bytes, bytes]]) -> None:
    PACKING.keeps(*case)


@given(updates())
def test_bytes_cut_off_or_added_are_refused(case: tuple[LevelShape, tuple[bytes, bytes]]) -> None:
    PACKING.refuses_more_or_less(*case)


@given(SHAPES, st.binary(max_size=200))
def test_any_bytes_are_refused_or_canonical(shape: LevelShape, data: bytes) -> None:
    PACKING.reads_one_form(shape, data)


@given(updates(), st.data())
def test_mutated_bytes_are_refused_or_are_another_update_in_its_one_form(
    case: tuple[LevelShape, tuple[bytes, bytes]], data: st.DataObject
) -> None:
    PACKING.reads_one_form_mutated(*case, data)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30), st.floats(0.25, 4))
def test_what_encode_sends_survives_the_wire(
    seed: int, rows: int, columns: int, width: float
) -> None:
    layout = Layout.of({"weight": (rows, columns), "bias": (rows,)})
    codec = Codec(kind="quantised", level_width=width)
    start_P, params_P, residual_P = drawn(seed, 3, layout.elements)
    encode = encode_program(codec, layout)
    made = run(encode, "torch", start=start_P, params=params_P, residual=residual_P)
    shape = update_shape(codec, layout)
    assert isinstance(shape, LevelShape)
    sent = (made["levels"].tobytes(), made["scales"].tobytes())
    PACKING.keeps(shape, sent)
