"""The wire form of an update: lossless, one form for each update, hostile bytes refused."""

from __future__ import annotations

from array import array
from math import comb, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.chance import Chance
from skerry.train import UpdateError, UpdateShape, pack_update, unpack_update
from tests.train.packing import Packing

Update = tuple[bytes, bytes, bytes]

PACKING = Packing(pack_update, unpack_update)
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 70)).flatmap(
    lambda size: st.builds(UpdateShape, st.just(size[0]), st.just(size[1]), st.integers(1, size[1]))
)


def update_of(shape: UpdateShape, chance: Chance, spread: int = 60) -> Update:
    indices, codes, scales = array("q"), array("q"), array("I")
    for chunk in range(shape.chunks):
        keys = [(chance.fork(chunk, at).word64(), at) for at in range(shape.width)]
        indices.extend(sorted(at for _, at in sorted(keys)[: shape.kept]))
        codes.extend(1 - 2 * chance.fork("sign", chunk, at).below(2) for at in range(shape.kept))
        scales.append((900 + chance.fork("scale", chunk).below(spread)) << 20)
    return indices.tobytes(), codes.tobytes(), scales.tobytes()


@st.composite
def updates(draw: st.DrawFn) -> tuple[UpdateShape, Update]:
    shape = draw(SHAPES)
    spread = draw(st.sampled_from([1, 2, 60, 1140]))
    return shape, update_of(shape, Chance.from_int(draw(st.integers(0, 10**9))), spread)


@given(updates())
def test_what_is_packed_is_unpacked(case: tuple[UpdateShape, Update]) -> None:
    PACKING.keeps(*case)


@given(updates())
def test_bytes_cut_off_or_added_are_refused(case: tuple[UpdateShape, Update]) -> None:
    PACKING.refuses_more_or_less(*case)


@given(SHAPES, st.binary(max_size=200))
def test_any_bytes_are_refused_or_canonical(shape: UpdateShape, data: bytes) -> None:
    PACKING.reads_one_form(shape, data)


@given(updates(), st.data())
def test_mutated_bytes_are_refused_or_are_another_update_in_its_one_form(
    case: tuple[UpdateShape, Update], data: st.DataObject
) -> None:
    PACKING.reads_one_form_mutated(*case, data)


def test_a_scale_that_is_not_finite_is_refused() -> None:
    shape = UpdateShape(1, 1, 1)
    least = 255 << 3
    bits = f"{least:011b}" + "0000" + "0"
    with pytest.raises(UpdateError, match="not finite"):
        unpack_update(shape, int(bits, 2).to_bytes(2, "big"))


def test_scales_written_wider_than_needed_are_refused() -> None:
    shape = UpdateShape(1, 1, 1)
    bits = f"{900:011b}" + "0001" + "0" + "0" + "0" * 7
    with pytest.raises(UpdateError, match="shortest"):
        unpack_update(shape, int(bits, 2).to_bytes(3, "big"))


def test_a_run_of_ones_cannot_claim_more_than_its_length() -> None:
    shape = UpdateShape(1, 1 << 16, 1)
    with pytest.raises(UpdateError):
        unpack_update(shape, bytes([0, 0]) + b"\xff" * (shape.bytes_max - 2))


@pytest.mark.parametrize(("width", "kept"), [(4096, 64), (4096, 128), (1024, 64), (4096, 16)])
def test_scattered_indices_cost_within_two_percent_of_their_entropy(width: int, kept: int) -> None:
    shape = UpdateShape(4, width, kept)
    packed = pack_update(shape, *update_of(shape, Chance.from_int(kept)))
    entropy_bits = shape.chunks * (kept + log2(comb(width, kept)))
    scale_bits = 15 + 11 * shape.chunks
    assert 8 * len(packed) - scale_bits - 7 < 1.02 * entropy_bits
