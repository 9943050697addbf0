"""The plan of a job on one machine.

What    `plan_local(shape, machine)` gives workers, threads, memory, bytes and seconds.
Why     People want to know what will happen, what it costs and why not, before they wait for it.
Source  Patarasu and Yuan 2009, "Bandwidth optimal all-reduce": 2 (n-1)/n of the vector a node, for
        the comparison with plain data-parallel training.
Units   bytes, seconds, operations; rates per second of one core.
Pure    Arithmetic on counts.
"""

from __future__ import annotations

import msgspec

_INTERPRETER_BYTES = 450 << 20
_F32_BYTES = 4


class JobShape(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to know of a job.

    Attributes:
        parameters: elements of the flat parameter vector.
        lanes: parts of a global batch.
        rounds: rounds of the whole job.
        local_steps: steps of a lane in one of them.
        step_operations: counted operations of one lane step.
        step_bytes_peak: bytes alive in one lane step.
        update_bytes: bytes of one lane's update on the wire.
        merge_rounds: rounds from one merge to the next.
        workers_asked: workers that the job asks for; 0 lets the plan choose.
        memory_bytes_allowed: the job's own limit; 0 is none.
    """

    parameters: int
    lanes: int
    rounds: int
    local_steps: int
    step_operations: int
    step_bytes_peak: int
    update_bytes: int
    merge_rounds: int = 1
    workers_asked: int = 0
    memory_bytes_allowed: int = 0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine can do.

    Attributes:
        cores: processor cores.
        memory_bytes: memory that is free.
        operations_per_second: counted operations that one core does, as measured.
    """

    cores: int
    memory_bytes: int
    operations_per_second: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen.

    Attributes:
        workers: worker processes.
        threads: compute threads of each.
        memory_bytes: of all workers together.
        seconds: expected from first to last round, evaluation apart.
        operations: counted over the whole job.
        units: what is signed and, on a network, paid: one for each lane of each round.
        bytes_sent: all lanes' updates, up to the coordinator and down to the other workers.
        bytes_ring: what float32 ring all-reduce every step among the workers would send.
    """

    workers: int
    threads: int
    memory_bytes: int
    seconds: float
    operations: int
    units: int
    bytes_sent: int
    bytes_ring: int

    @property
    def bytes_ratio(self) -> float:
        """How many times less than the ring this plan sends."""
        return self.bytes_ring / max(self.bytes_sent, 1)


class NoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Why the job fits nobody here, and what would make it fit."""

    reason: str
    change: str


def ring_bytes(parameters: int, nodes: int, steps: int) -> int:
    """Return the bytes that float32 ring all-reduce sends over all nodes and steps."""
    return 2 * (nodes - 1) * _F32_BYTES * parameters * steps


def plan_local(shape: JobShape, machine: Machine) -> Plan | NoPlan:
    """Return the plan of a job on one machine, or why there is none."""
    per_worker = _INTERPRETER_BYTES + shape.step_bytes_peak + 8 * _F32_BYTES * shape.parameters
    allowed = machine.memory_bytes
    if shape.memory_bytes_allowed:
        allowed = min(allowed, shape.memory_bytes_allowed)
    fitting = allowed // per_worker
    if fitting < 1:
        return NoPlan(
            reason=f"one worker needs {per_worker} bytes of memory, {allowed} are there",
            change="make the model or train.per_device_train_batch_size smaller",
        )
    workers = shape.workers_asked or min(shape.lanes, machine.cores, fitting)
    if workers > fitting:
        return NoPlan(
            reason=f"{workers} workers need {workers * per_worker} bytes, {allowed} are there",
            change=f"set resources.workers to {fitting} or fewer",
        )
    threads = max(1, machine.cores // workers)
    lanes_in_turn = -(-shape.lanes // workers)
    cores_each = min(1.0, machine.cores / workers)
    steps = shape.rounds * shape.local_steps
    rate = machine.operations_per_second * cores_each
    seconds = lanes_in_turn * steps * shape.step_operations / rate
    return Plan(
        workers=workers,
        threads=threads,
        memory_bytes=workers * per_worker,
        seconds=seconds,
        operations=steps * shape.lanes * shape.step_operations,
        units=shape.rounds * shape.lanes,
        bytes_sent=shape.rounds // shape.merge_rounds * shape.lanes * shape.update_bytes * workers,
        bytes_ring=ring_bytes(shape.parameters, workers, steps),
    )
