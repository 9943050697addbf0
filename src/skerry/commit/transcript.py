"""The transcript of a unit: the few digests that its whole run hangs on.

What    The root of the state before, the state root after each segment, and one digest per value
        and metric. Roots of single steps, and of the values inside a step, are made on demand by
        whoever is asked, from `trace_root` and the rest of this room.
Why     Committing costs one pass over the state per segment; doubting costs more, and only then.
Rule    Segment s of g covers the steps from s*steps//g up to (s+1)*steps//g. An output's digest is
        the Merkle root over its tensor digests, one per step; for one step it is that digest.
        trace = digest("trace", number of nodes as u32, Merkle root over the nodes' tensor digests).
Pure    No IO.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skerry.base.digests import digest
from skerry.commit.state import state_names
from skerry.commit.trees import quick_root


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a run of a unit comes to, as its receipt says it."""

    state_before: bytes
    segments: tuple[bytes, ...]
    outputs: tuple[tuple[str, bytes], ...]


def segment_bounds(steps: int, segments: int) -> tuple[int, ...]:
    """Return the boundaries of the segments: segment s covers bounds[s] up to bounds[s + 1]."""
    if not 1 <= segments <= steps:
        raise ValueError(f"{steps} steps cannot be cut into {segments} segments")
    return tuple(at * steps // segments for at in range(segments + 1))


def segment_of(steps: int, segments: int, step: int) -> int:
    """Return the segment that `step` belongs to."""
    return bisect_right(segment_bounds(steps, segments), step) - 1


def seal_trace(count: int, root: bytes) -> bytes:
    """Return the digest of the trace whose `count` values have the Merkle root `root`."""
    return digest("trace", count.to_bytes(4, "little"), root)


def trace_root(values: Sequence[bytes]) -> bytes:
    """Return the root over the tensor digests of a step's values, in node order."""
    return seal_trace(len(values), quick_root(values))


def output_root(tensors: Sequence[bytes]) -> bytes:
    """Return the digest of one output from its tensor digests, one per step."""
    return quick_root(tensors)


def write_transcript(
    state_before: bytes, segments: Sequence[bytes], outputs: Mapping[str, Sequence[bytes]]
) -> Transcript:
    """Return the transcript of a run from its state roots and its outputs' digests per step."""
    return Transcript(
        state_before,
        tuple(segments),
        tuple((name, output_root(outputs[name])) for name in state_names(outputs)),
    )
