"""A unit of work and the receipt that its worker signs.

What    `Unit` says what to compute, by digests alone. `Receipt` says what came out.
Why     Everything paid for is a unit: audit, dispute and pay read these two and nothing else.
Rule    The receipt holds its whole unit, so the Program and the state it started from cannot be
        misquoted. An output's digest is the Merkle root over its tensor digests step by step; of
        a unit of one step it is the tensor digest itself.
Units   A step is one run of the Program. Segment s covers the steps from s*steps//segments up to
        (s+1)*steps//segments.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from skerry.messages.fields import (
    Count,
    Digest,
    Int64,
    NamedDigests,
    SignedMessage,
    require_ascending,
)

STEPS_MAX = 1 << 20
SEGMENTS_MAX = 4096
SHARDS_MAX = 4096


class UnitId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a unit belongs: which job, which round, which lane."""

    job: Digest
    round: Count
    lane: Count


class DataSlice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples a unit reads.

    Attributes:
        manifest: digest of the manifest that names the data.
        reading: digest of how the samples are read (`commit.reading`).
        shards: the shards of each step's batch that the unit covers, ascending.
    """

    manifest: Digest
    reading: Digest
    shards: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=SHARDS_MAX)]

    def __post_init__(self) -> None:
        """Hold the shards in one order."""
        require_ascending("shards", self.shards)


class Unit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="unit/1"):
    """What to compute, told by digests.

    Attributes:
        id: where the unit belongs.
        program: digest of the Program.
        state: root of the state that the first step starts from.
        step_from: the job's index of the first step; names data and chance.
        steps: how often the Program runs, each time on the state that the run before left.
        segments: into how many stretches of steps the receipt cuts the unit.
        seed: the job's seed, from which each step's chance is derived.
        data: the samples to read, or None where the Program reads none.
        given: tensor digests of the Program's "given" ports, ascending by name.
    """

    id: UnitId
    program: Digest
    state: Digest
    step_from: Count
    steps: Annotated[int, Meta(ge=1, le=STEPS_MAX)]
    segments: Annotated[int, Meta(ge=1, le=SEGMENTS_MAX)]
    seed: Int64
    data: DataSlice | None = None
    given: NamedDigests = ()

    def __post_init__(self) -> None:
        """Refuse a unit that cannot be cut as it says."""
        if self.segments > self.steps:
            raise ValueError("a unit cannot have more segments than steps")
        require_ascending("given", [name.encode() for name, _ in self.given])


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The counted price of a unit: integer operations, and bytes read and written."""

    operations: Count
    bytes_moved: Count


class Receipt(SignedMessage, frozen=True, kw_only=True, tag="receipt/1"):
    """What a worker answers for.

    Attributes:
        unit: the unit that was run.
        segments: the state root after each segment, in order.
        outputs: the digest of every value and metric of the Program, ascending by name.
        cost: what the unit is counted at.
    """

    unit: Unit
    segments: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=SEGMENTS_MAX)]
    outputs: NamedDigests
    cost: Cost

    def __post_init__(self) -> None:
        """Refuse a receipt that does not answer its unit."""
        if len(self.segments) != self.unit.segments:
            raise ValueError("a receipt needs one state root for each segment of its unit")
        require_ascending("outputs", [name.encode() for name, _ in self.outputs])

    @property
    def state_before(self) -> bytes:
        """The root of the state that the unit started from."""
        return self.unit.state

    @property
    def state_after(self) -> bytes:
        """The root of the state that the unit left."""
        return self.segments[-1]
