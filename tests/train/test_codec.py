"""The codec Programs against a numpy model, and what must be conserved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skerry.exact import compile_program
from skerry.program import Layout, check, from_bytes, to_bytes
from skerry.train import (
    Codec,
    InvalidCodec,
    UpdateShape,
    encode_program,
    lane_memory_types,
    merge_program,
    pack_update,
    unpack_update,
    update_types,
)

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


def flat(elements: int) -> Layout:
    return Layout.of({"weight": (elements,)})


def run(program: object, backend: str, **given: NDArray[Any]) -> Arrays:
    executable = compile_program(program, backend)  # type: ignore[arg-type]
    made = executable.run({name: torch.from_numpy(x.copy()) for name, x in given.items()})
    return {name: x.numpy() for name, x in made.items()}


def rounded_scale(mean: float) -> np.float32:
    fraction, e = np.frexp(mean)
    return np.float32(np.rint(fraction * 16) * 2.0 ** (int(e) - 4))


def model_of_encode(codec: Codec, error_P: Floats) -> tuple[Arrays, Floats]:
    """Return the values sent and the dense update they stand for, by plain numpy."""
    shape = codec.shape(error_P.size)
    padded = np.zeros(shape.chunks * shape.width, np.float32)
    padded[: error_P.size] = error_P
    error_CW = padded.reshape(shape.chunks, shape.width)
    order = np.argsort(-np.abs(error_CW), axis=1, kind="stable")[:, : shape.kept]
    indices = np.sort(order, axis=1)
    kept = np.take_along_axis(error_CW, indices, axis=1)
    codes = np.where(kept < 0, -1, 1).astype(np.int64)
    # The exact sum in the Program rounds its terms to a grid, far below the scale's four bits.
    means = np.abs(kept).astype(np.float64).mean(axis=1)
    scales = np.array([rounded_scale(float(mean)) for mean in means], np.float32)
    dense = np.zeros_like(error_CW)
    np.put_along_axis(dense, indices, codes.astype(np.float32) * scales[:, None], axis=1)
    sent: Arrays = {"indices": indices, "codes": codes, "scales": scales}
    return sent, dense.reshape(-1)[: error_P.size]


def drawn(seed: int, *shape: int) -> Floats:
    draw = np.random.default_rng(seed).standard_normal(shape) ** 3
    return draw.astype(np.float32)


CASES = [(1000, 128, 8), (37, 64, 8), (130, 64, 64), (5, 4096, 64), (1, 16, 1)]


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
@pytest.mark.parametrize(("elements", "chunk", "topk"), CASES)
def test_encode_equals_the_numpy_model(elements: int, chunk: int, topk: int, backend: str) -> None:
    codec = Codec(chunk=chunk, topk=topk)
    start_P, params_P, residual_P = drawn(elements, 3, elements)
    made = run(
        encode_program(codec, flat(elements)), backend, start=start_P, params=params_P,
        residual=residual_P,
    )  # fmt: skip
    error_P = residual_P * np.float32(0.95) + (start_P - params_P)
    sent, dense_P = model_of_encode(codec, error_P)
    for name, expected in sent.items():
        np.testing.assert_array_equal(made[name], expected)
    np.testing.assert_array_equal(made["residual"], error_P - dense_P)


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_merge_subtracts_the_mean_of_what_each_lane_took_off_its_residual(
    lanes: int, backend: str
) -> None:
    codec, elements = Codec(chunk=64, topk=8, outer_learning_rate=0.7), 300
    start_P = drawn(1, elements)
    encode = encode_program(codec, flat(elements))
    zero_P = np.zeros(elements, np.float32)
    sent, removed = [], []
    for lane in range(lanes):
        params_P = drawn(10 + lane, elements)
        made = run(encode, backend, start=start_P, params=params_P, residual=zero_P)
        error_P = start_P - params_P
        untouched = model_of_encode(codec, error_P)[1] == 0
        np.testing.assert_array_equal(made["residual"][untouched], error_P[untouched])
        sent.append(made)
        removed.append(model_of_encode(codec, error_P)[1])
    given = {
        name: np.stack([one[name] for one in sent]) for name in update_types(codec, flat(elements))
    }
    merged = run(merge_program(codec, flat(elements), lanes), backend, params=start_P, **given)
    total_P = removed[0]
    for update_P in removed[1:]:
        total_P = total_P + update_P
    expected_P = start_P - total_P * np.float32(0.7 / lanes)
    np.testing.assert_array_equal(merged["params"], expected_P)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 64), st.integers(1, 64))
def test_what_encode_sends_survives_the_wire(
    seed: int, elements: int, chunk: int, topk: int
) -> None:
    codec = Codec(chunk=chunk, topk=min(topk, chunk))
    encode = encode_program(codec, flat(elements))
    start_P, params_P, residual_P = drawn(seed, 3, elements)
    made = run(encode, "torch", start=start_P, params=params_P, residual=residual_P)
    shape = UpdateShape.of(encode)
    assert shape == codec.shape(elements)
    sent = tuple(made[name].tobytes() for name in shape.types)
    data = pack_update(shape, *sent)
    assert unpack_update(shape, data) == sent


def test_a_drift_of_nothing_sends_nothing() -> None:
    codec, elements = Codec(chunk=32, topk=4), 100
    same_P, zero_P = drawn(3, elements), np.zeros(elements, np.float32)
    made = run(
        encode_program(codec, flat(elements)), "torch", start=same_P, params=same_P, residual=zero_P
    )
    assert not made["scales"].any()
    assert not made["residual"].any()


def test_what_was_left_out_is_sent_later() -> None:
    codec, elements = Codec(chunk=32, topk=8, residual_decay=1.0), 64
    start_P, target_P = drawn(5, 2, elements)
    encode, merge = encode_program(codec, flat(elements)), merge_program(codec, flat(elements), 1)
    params_P, end_P, residual_P = start_P, target_P, np.zeros(elements, np.float32)
    for _ in range(40):
        made = run(encode, "torch", start=params_P, params=end_P, residual=residual_P)
        given = {name: made[name][None] for name in update_types(codec, flat(elements))}
        residual_P = made["residual"].astype(np.float32)
        params_P = run(merge, "torch", params=params_P, **given)["params"].astype(np.float32)
        end_P = params_P  # after the first round the lane stands still
        np.testing.assert_allclose(params_P - target_P, residual_P, atol=1e-5)
    assert np.linalg.norm(residual_P) < 0.05 * np.linalg.norm(start_P - target_P)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_dense_kind_is_the_mean_of_the_drifts_with_nesterov_momentum(backend: str) -> None:
    codec, elements = Codec(kind="none", outer_learning_rate=0.7, outer_momentum=0.9), 50
    start_P, one_P, two_P = drawn(9, 3, elements)
    encode = encode_program(codec, flat(elements))
    drifts = [run(encode, backend, start=start_P, params=x)["drift"] for x in (one_P, two_P)]
    parameter = torch.nn.Parameter(torch.from_numpy(start_P.copy()))
    outer = torch.optim.SGD([parameter], lr=0.7, momentum=0.9, nesterov=True)
    merge = merge_program(codec, flat(elements), 2)
    state: Arrays = {"params": start_P, "outer": np.zeros(elements, np.float32)}
    for _ in range(3):
        state = run(merge, backend, **state, drift=np.stack(drifts))
        parameter.grad = torch.from_numpy(np.stack(drifts).mean(0))
        outer.step()
    np.testing.assert_allclose(state["params"], parameter.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert lane_memory_types(codec, elements) == {}


def test_codec_programs_are_canonical_and_pass_the_check() -> None:
    codec = Codec()
    for program in (
        encode_program(codec, flat(10_000)),
        merge_program(codec, flat(10_000), 3),
    ):
        again = from_bytes(to_bytes(program))
        check(again)
        assert again == program


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk": 0},
        {"level_width": 0.2},
        {"topk": 0},
        {"topk": 65, "chunk": 64},
        {"residual_decay": 1.5},
        {"outer_learning_rate": 0.0},
        {"outer_learning_rate": float("inf")},
        {"outer_momentum": 0.5},
        {"kind": "none", "outer_momentum": 1.0},
    ],
)
def test_a_codec_out_of_range_names_the_key(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidCodec) as caught:
        Codec(**wrong)  # type: ignore[arg-type]
    assert caught.value.name in wrong
