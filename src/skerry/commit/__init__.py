"""Commit: one short digest for a tensor, a state, a step or a unit, and openings of any part.

In      Canonical little-endian bytes of tensors, and digests made from them.
Does    Merkle roots over leaves of at most 512 elements, state roots by name, transcripts of units,
        and how a unit reads its samples.
Out     32-byte digests, and openings that anyone can check without the rest.
Never   Tensors of any library, IO; never decides who is right.
Start   reading at `tensors`, then `state` and `transcript`.
"""

from skerry.commit.state import StateOpening, check_state, open_state, state_root
from skerry.commit.tensors import (
    LEAF_ELEMENTS,
    LeafOpening,
    check_element,
    check_leaf,
    open_element,
    open_leaf,
    tensor_digest,
)
from skerry.commit.transcript import Transcript, segment_bounds, trace_root, write_transcript

__all__ = [
    "LEAF_ELEMENTS",
    "LeafOpening",
    "StateOpening",
    "Transcript",
    "check_element",
    "check_leaf",
    "check_state",
    "open_element",
    "open_leaf",
    "open_state",
    "segment_bounds",
    "state_root",
    "tensor_digest",
    "trace_root",
    "write_transcript",
]
