"""A unit's run comes to a few digests."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import digest, merkle_root
from skerry.commit import Transcript, segment_bounds, trace_root, write_transcript
from skerry.commit.transcript import output_root, segment_of

CUTS = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(CUTS)
def test_segments_tile_the_steps_and_none_is_empty(cut: tuple[int, int]) -> None:
    steps, segments = cut
    bounds = segment_bounds(steps, segments)
    lengths = [stop - start for start, stop in pairwise(bounds)]
    assert (bounds[0], bounds[-1], len(lengths)) == (0, steps, segments)
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1
    for step in range(steps):
        segment = segment_of(steps, segments, step)
        assert bounds[segment] <= step < bounds[segment + 1]


@pytest.mark.parametrize(("steps", "segments"), [(3, 4), (3, 0), (0, 0)])
def test_a_cut_that_leaves_a_segment_empty_is_refused(steps: int, segments: int) -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        segment_bounds(steps, segments)


def test_an_output_of_one_step_is_its_tensor() -> None:
    tensor = sha256(b"loss").digest()
    assert output_root([tensor]) == tensor
    assert output_root([tensor, tensor]) == merkle_root([tensor, tensor])


def test_a_trace_binds_its_length() -> None:
    values = [sha256(bytes([at])).digest() for at in range(3)]
    assert trace_root(values) == digest("trace", b"\x03\0\0\0", merkle_root(values))
    assert trace_root(values) != trace_root([*values, bytes(32)])


def test_outputs_ascend_by_name() -> None:
    a, b = sha256(b"a").digest(), sha256(b"b").digest()
    written = write_transcript(a, [b], {"z": [a], "loss": [a, b]})
    assert written == Transcript(a, (b,), (("loss", merkle_root([a, b])), ("z", a)))
