"""Low-rank updates: the Programs against a numpy model, and their bytes against hostile ones."""

from __future__ import annotations

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
    Factored,
    FactorShape,
    encode_program,
    merge_program,
    pack_factors,
    unpack_factors,
    update_shape,
    update_types,
)
from skerry.train.lowrank import factored
from tests.train.packing import Packing, drawn, run

LAYOUT = Layout.of({"table": (40, 6), "bias": (7,), "square": (9, 9), "other": (9, 9), "one": ()})
CODEC = Codec(kind="lowrank", rank=1.5)
SHAPES = st.builds(FactorShape, st.integers(1, 300), st.integers(1, 30))
PACKING = Packing(pack_factors, unpack_factors)


def model_of_rebuild(codes: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """Return the dense update that codes and scales stand for, by plain numpy."""
    levels, factors, dense_P = list(2 * codes - 3), list(scales), np.zeros(LAYOUT.elements)

    def next_levels(count: int) -> NDArray[Any]:
        taken, levels[:count] = np.array(levels[:count]), []
        return taken

    matrices = factored(LAYOUT, CODEC.rank)
    for shape in sorted({(it.rows, it.columns, it.terms) for it in matrices}):
        same = [it for it in matrices if (it.rows, it.columns, it.terms) == shape]
        for _ in range(shape[2]):
            rows = [next_levels(it.rows) for it in same]
            columns = [next_levels(it.columns) if it.columns > 1 else np.ones(1) for it in same]
            for it, row, column in zip(same, rows, columns, strict=True):
                term = float(factors.pop(0)) * np.outer(row, column)
                dense_P[it.offset : it.offset + it.elements] += term.ravel()
    assert not levels
    assert not factors
    return dense_P


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
def test_the_residual_is_what_the_codes_left_of_the_drift(backend: str) -> None:
    start_P, params_P, residual_P = drawn(3, 3, LAYOUT.elements)
    made = run(
        encode_program(CODEC, LAYOUT), backend, start=start_P, params=params_P, residual=residual_P
    )
    assert {name: made[name].shape for name in ("codes", "scales")} == {
        name: kind.shape for name, kind in update_types(CODEC, LAYOUT).items()
    }
    assert made["codes"].min() >= 0
    assert made["codes"].max() <= 3
    assert made["scales"].min() >= 0
    error_P = residual_P * np.float32(CODEC.residual_decay) + (start_P - params_P)
    dense_P = model_of_rebuild(made["codes"], made["scales"])
    np.testing.assert_allclose(made["residual"], error_P - dense_P, atol=1e-5)
    assert np.linalg.norm(made["residual"]) < 0.8 * np.linalg.norm(error_P)


def test_backends_agree_to_the_bit() -> None:
    start_P, params_P, residual_P = drawn(5, 3, LAYOUT.elements)
    encode = encode_program(CODEC, LAYOUT)
    made = [
        run(encode, backend, start=start_P, params=params_P, residual=residual_P)
        for backend in ("native", "torch", "reference")
    ]
    for name in made[0]:
        assert len({one[name].tobytes() for one in made}) == 1


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_merge_applies_what_each_lane_took_off_its_residual(backend: str) -> None:
    start_P, zero_P = drawn(1, LAYOUT.elements), np.zeros(LAYOUT.elements, np.float32)
    encode = encode_program(CODEC, LAYOUT)
    sent = [
        run(encode, backend, start=start_P, params=drawn(lane, LAYOUT.elements), residual=zero_P)
        for lane in (7, 8)
    ]
    given = {name: np.stack([one[name] for one in sent]) for name in update_types(CODEC, LAYOUT)}
    merged = run(merge_program(CODEC, LAYOUT, 2), backend, params=start_P, **given)
    removed = [(start_P - drawn(lane, LAYOUT.elements)) - one["residual"] for lane, one in
               zip((7, 8), sent, strict=True)]  # fmt: skip
    expected_P = start_P - (removed[0] + removed[1]) / 2
    np.testing.assert_allclose(merged["params"], expected_P, atol=1e-5)


def test_one_outer_product_of_levels_is_sent_without_loss() -> None:
    layout = Layout.of({"weight": (8, 5)})
    rows = np.array([1, -1, 3, -3, 1, 1, -1, 3], np.float32)
    drift = 0.5 * np.outer(rows, np.array([3, 1, -1, -3, 1], np.float32))
    zero_P = np.zeros(40, np.float32)
    made = run(
        encode_program(Codec(kind="lowrank", rank=0.5), layout), "torch",
        start=drift.ravel().astype(np.float32), params=zero_P, residual=zero_P,
    )  # fmt: skip
    assert np.linalg.norm(made["residual"]) < 0.35 * np.linalg.norm(drift)


def test_a_drift_of_nothing_sends_nothing() -> None:
    same_P, zero_P = drawn(3, LAYOUT.elements), np.zeros(LAYOUT.elements, np.float32)
    encode = encode_program(CODEC, LAYOUT)
    made = run(encode, "torch", start=same_P, params=same_P, residual=zero_P)
    assert not made["scales"].any()
    assert not made["residual"].any()


def test_longer_matrices_get_more_terms_and_none_more_than_half_its_shorter_side() -> None:
    due = {(96, 96): 1, (1024, 96): 11, (96, 256): 3, (64, 32, 3, 3): 4, (16, 1, 3, 3): 2}
    due |= {(96,): 1, (): 1}
    assert {shape: Factored.of(0, shape, 1.0).terms for shape in due} == due


def test_programs_are_canonical_and_pass_the_check() -> None:
    for program in (encode_program(CODEC, LAYOUT), merge_program(CODEC, LAYOUT, 3)):
        again = from_bytes(to_bytes(program))
        check(again)
        assert again == program


@st.composite
def updates(draw: st.DrawFn) -> tuple[FactorShape, tuple[bytes, bytes]]:
    shape, spread = draw(SHAPES), draw(st.sampled_from([1, 2, 60, 1140]))
    chance = Chance.from_int(draw(st.integers(0, 10**9)))
    codes = array("q", (chance.fork("code", at).below(4) for at in range(shape.codes)))
    tops = (900 + chance.fork("scale", at).below(spread) for at in range(shape.terms))
    return shape, (codes.tobytes(), array("I", (top << 20 for top in tops)).tobytes())


@given(updates())
def test_what_is_packed_is_unpacked(case: tuple[FactorShape, tuple[bytes, bytes]]) -> None:
    PACKING.keeps(*case)


@given(updates())
def test_bytes_cut_off_or_added_are_refused(case: tuple[FactorShape, tuple[bytes, bytes]]) -> None:
    PACKING.refuses_more_or_less(*case)


@given(SHAPES, st.binary(max_size=200))
def test_any_bytes_are_refused_or_canonical(shape: FactorShape, data: bytes) -> None:
    PACKING.reads_one_form(shape, data)


@given(updates(), st.data())
def test_mutated_bytes_are_refused_or_are_another_update_in_its_one_form(
    case: tuple[FactorShape, tuple[bytes, bytes]], data: st.DataObject
) -> None:
    PACKING.reads_one_form_mutated(*case, data)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_what_encode_sends_survives_the_wire(seed: int, rows: int, columns: int) -> None:
    layout = Layout.of({"weight": (rows, columns), "bias": (rows,)})
    start_P, params_P, residual_P = drawn(seed, 3, layout.elements)
    encode = encode_program(CODEC, layout)
    made = run(encode, "torch", start=start_P, params=params_P, residual=residual_P)
    shape = update_shape(CODEC, layout)
    assert isinstance(shape, FactorShape)
    sent = (made["codes"].tobytes(), made["scales"].tobytes())
    PACKING.keeps(shape, sent)
