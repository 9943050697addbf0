"""What a run tells while it goes on: frozen events for a log and for live views.

What    `RunEvent` is one of the structs below; each has a `type` tag in the log's JSON lines.
Why     The command line, a dashboard and `skerry ps` show the same facts and none of them asks.
Units   Seconds are of the coordinator's clock since the run was started or resumed; bytes are
        counted both ways, framing and control included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec


class RunStarted(msgspec.Struct, frozen=True, tag="started"):
    """The run starts, or goes on at a round after the first."""

    job: str
    round: int
    rounds: int
    lanes: int
    workers: int
    parameters: int


class WorkerUp(msgspec.Struct, frozen=True, tag="worker_up"):
    """A worker has joined."""

    worker: str
    pid: int
    workers: int


class WorkerDown(msgspec.Struct, frozen=True, tag="worker_down"):
    """A worker is gone, and why."""

    worker: str
    detail: str
    workers: int


class LaneFinished(msgspec.Struct, frozen=True, tag="lane"):
    """A lane's unit of a round counts."""

    round: int
    lane: int
    worker: str
    loss: float
    compute_seconds: float
    commit_seconds: float
    storage_seconds: float


class RoundFinished(msgspec.Struct, frozen=True, tag="round"):
    """All lanes were merged.

    Attributes:
        round: the round, from 0.
        steps: optimizer steps of each lane so far.
        loss: mean over lanes of the mean training loss.
        root: root of the state after, in hexadecimal.
        seconds: since the start.
        bytes_sent: bytes so far, by kind: updates, receipts, programs, control.
        ring_bytes: what a float32 ring all-reduce at every step would have sent by now.
    """

    round: int
    steps: int
    loss: float
    root: str
    seconds: float
    bytes_sent: Mapping[str, int]
    ring_bytes: int


class EvaluationFinished(msgspec.Struct, frozen=True, tag="evaluation"):
    """The state of `round` was evaluated on held-out data: sums by metric."""

    round: int
    steps: int
    sums: Mapping[str, float]


class CheckpointWritten(msgspec.Struct, frozen=True, tag="checkpoint"):
    """The state of `round` is safe."""

    round: int
    root: str


class RunEnded(msgspec.Struct, frozen=True, tag="ended"):
    """The run is over: finished, asked, failed, crashing or conflict."""

    kind: str
    detail: str


RunEvent: TypeAlias = (
    RunStarted
    | WorkerUp
    | WorkerDown
    | LaneFinished
    | RoundFinished
    | EvaluationFinished
    | CheckpointWritten
    | RunEnded
)


def ring_bytes(parameters: int, workers: int, steps: int) -> int:
    """Return what `steps` float32 ring all-reduces among `workers` send in all.

    Each worker sends 2 (n - 1) / n of the gradient's bytes in each step.
    """
    return steps * 2 * max(workers - 1, 0) * 4 * parameters
