"""Running one unit: a Program, again and again, on the state that the run before left.

What    `run_unit` runs a `Unit` from a state and returns the state after, and the digests that its
        receipt is made of. `Feed` makes the inputs of each step from the unit alone.
Why     Working, verifying and disputing must run the very same thing, so it is written once.
Rule    Samples of shard s at step t: positions of `dataset.order` over the split that the unit's
        reading names, under the job's seed. Seed of shard s at step t: the word of
        fork("shard", t, s) of the job's seed; a unit without shards has that of fork("init").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from skerry.base.chance import Chance
from skerry.base.errors import JobError
from skerry.commit import segment_bounds, write_transcript
from skerry.commit.transcript import Transcript
from skerry.dataset import BatchPlan, step_samples
from skerry.exact.executable import Executable
from skerry.messages.receipts import DataSlice, Unit
from skerry.messages.rounds import RunConfig
from skerry.node.clocks import Stopwatch
from skerry.node.states import TORCH_DTYPES, State, StateDigests, digest_tensor
from skerry.program import Program


class Samples(Protocol):
    """Where samples come from; `dataset.Dataset` is one."""

    def reader(self, split: str) -> Any:
        """Return a reader with a length and `batch(indices)`."""
        ...


class DataUnfit(JobError):
    """The data do not have the fields that the Programs read."""

    code = "job.data"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, next_step="run `skerry prepare` for this job again")


@dataclass(frozen=True)
class Feed:
    """The inputs of a unit's steps that do not come from its state."""

    config: RunConfig
    samples: Samples | None

    def inputs(self, program: Program, unit: Unit, step: int) -> dict[str, Tensor]:
        """Return the data and chance inputs of the unit's step `step`, counted from its first."""
        at = unit.step_from + step
        shards = unit.data.shards if unit.data else ()
        found: dict[str, Tensor] = {}
        fields = self._fields(program, at, unit.data)
        for port in program.inputs:
            if port.role == "data":
                found[port.name] = fit(port.name, fields, port.type.shape, port.type.dtype)
            elif port.role == "chance":
                root = Chance.from_int(unit.seed)
                words = [root.fork("shard", at, shard).word64() for shard in shards]
                words = words or [root.fork("init").word64()]
                found[port.name] = torch.tensor(words).reshape(port.type.shape)
        return found

    def _fields(self, program: Program, at: int, data: DataSlice | None) -> Mapping[str, Any]:
        if not any(port.role == "data" for port in program.inputs):
            return {}
        if self.samples is None or data is None:
            raise DataUnfit(f"Program {program.name!r} reads data, and the run names none")
        config = self.config
        split = next((name for name, it in config.readings if it == data.reading), None)
        if split is None:
            raise DataUnfit("a unit reads its samples in another way than the job's")
        reader = self.samples.reader(split)
        if split == "heldout":
            first, size = at * config.samples_per_shard, len(reader)
            places = range(first, first + config.samples_per_shard)
            as_they_stand: Mapping[str, Any] = reader.batch([place % size for place in places])
            return as_they_stand
        plan = BatchPlan(
            size=len(reader),
            seed=config.seed,
            shards=config.shards,
            batch=config.samples_per_shard,
        )
        fields: Mapping[str, Any] = reader.batch(step_samples(plan, at, data.shards).ravel())
        return fields

    def heldout(self, program: Program, batches: range) -> Iterator[dict[str, Tensor]]:
        """Yield the data inputs of the evaluation on each of `batches` held-out batches."""
        ports = [port for port in program.inputs if port.role == "data"]
        if not ports or self.samples is None:
            raise DataUnfit("the evaluation reads no data")
        reader, size = self.samples.reader("heldout"), ports[0].type.shape[0]
        for batch in batches:
            fields = reader.batch(range(batch * size, (batch + 1) * size))
            yield {
                port.name: fit(port.name, fields, port.type.shape, port.type.dtype)
                for port in ports
            }


def fit(name: str, fields: Mapping[str, Any], shape: tuple[int, ...], dtype: str) -> Tensor:
    """Return field `name` in the shape that a port asks for.

    Raises:
        DataUnfit: there is no such field, or it is of another size or type.
    """
    if name not in fields:
        raise DataUnfit(f"the data have the fields {sorted(fields)}, a Program reads {name!r}")
    x = torch.from_numpy(fields[name])
    if x.dtype != TORCH_DTYPES[dtype]:  # type: ignore[index]
        raise DataUnfit(f"field {name!r} is {x.dtype}, a Program reads {dtype}")
    try:
        return x.reshape(shape)
    except RuntimeError:
        raise DataUnfit(
            f"field {name!r} has shape {list(x.shape)}, a Program reads {list(shape)}"
        ) from None


@dataclass(frozen=True, slots=True)
class UnitRun:
    """What a run of a unit came to.

    Attributes:
        state: the state after the last step.
        transcript: the digests that a receipt is made of.
        last: values and metrics of the last step.
        metrics: each scalar f32 metric, one number a step.
    """

    state: dict[str, Tensor]
    transcript: Transcript
    last: dict[str, Tensor]
    metrics: dict[str, list[float]]


def run_unit(
    executable: Executable,
    unit: Unit,
    state: State,
    feed: Feed,
    *,
    given: State | None = None,
    digests: StateDigests | None = None,
    watch: Stopwatch | None = None,
    after_step: Callable[[int, State], None] | None = None,
) -> UnitRun:
    """Run `unit` from `state` and return what it came to.

    Args:
        executable: the unit's Program, made ready.
        unit: what to run.
        state: the state before; entries that the Program does not touch are carried over.
        feed: makes each step's data and chance.
        given: the Program's given inputs.
        digests: remembers digests of tensors from before; a fresh one by default.
        watch: is charged "compute" and "commit".
        after_step: is told the number of steps done and the state then.

    Raises:
        NonFiniteState: the training diverged.
    """
    watch = watch or Stopwatch()
    digests = digests or StateDigests()
    program = executable.program
    roles = {output.name: output.role for output in program.outputs}
    outputs: dict[str, list[bytes]] = {name: [] for name, role in roles.items() if role != "state"}
    metrics: dict[str, list[float]] = {}
    watch.turn("commit")
    before, roots = digests.root(state), []
    bounds = set(segment_bounds(unit.steps, unit.segments)[1:])
    now, results = dict(state), dict[str, Tensor]()
    ports = [port.name for port in program.inputs if port.role == "state"]
    for step in range(unit.steps):
        watch.turn("compute")
        inputs = {name: now[name] for name in ports} | feed.inputs(program, unit, step)
        results = executable.run(inputs | dict(given or {}))
        now |= {name: x for name, x in results.items() if roles[name] == "state"}
        watch.turn("commit")
        for name, role in roles.items():
            if role != "state":
                outputs[name].append(digest_tensor(results[name]))
            if role == "metric" and results[name].dim() == 0:
                metrics.setdefault(name, []).append(float(results[name]))
        if step + 1 in bounds:
            roots.append(digests.root(now))
        if after_step is not None:
            after_step(step + 1, now)
    watch.turn("")
    last = {name: x for name, x in results.items() if roles[name] != "state"}
    return UnitRun(now, write_transcript(before, roots, outputs), last, metrics)
