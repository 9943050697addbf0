"""What one party computes in a round: its lanes' units, the merge, the evaluation.

What    `Lanes` holds a run's Programs made ready. `run` is one lane's round, `merge` makes the
        next global state, `evaluate` sums over held-out batches.
Why     A worker, a verifier and a party to a dispute compute the same things; only what they do
        with them differs.
Rule    "local": unit 1 is `local_steps` runs of "step" on the state params + lane state; unit 2,
        where the round ends with a merge, is one run of "encode" on what unit 1 left. Else the lane
        keeps all that unit 1 left, and its next unit goes on from there, whoever runs it.
        "every-step": one unit of one run of "grad" for each shard, on the global state. Whatever of
        a state no Program makes starts as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from msgspec import UNSET, UnsetType
from torch import Tensor

from skerry.base.chance import Chance
from skerry.base.errors import JobError
from skerry.commit.state import state_names
from skerry.exact.executable import Executable
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.rounds import RunConfig
from skerry.messages.signing import Sign, sign
from skerry.node.clocks import Stopwatch
from skerry.node.states import (
    State,
    StateDigests,
    digest_tensor,
    read_state,
    tensor_bytes,
    zero_state,
)
from skerry.node.unit import Feed, UnitRun, run_unit
from skerry.node.updates import UpdateCodec
from skerry.program import Program, TensorType, cost
from skerry.storage import BlobStore

Compile: TypeAlias = Callable[[Program], Executable]

_NEEDED = {
    "local": ("step", "encode", "merge"),
    "every-step": ("grad", "apply"),
}


class ProgramLacking(JobError):
    """A run names no Program for something that it must do."""

    code = "job.lacking"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the run has no Program {name!r}", next_step="start it again with `skerry run`"
        )


@dataclass(frozen=True, slots=True)
class LaneRun:
    """One lane's round.

    Attributes:
        state: the lane's own state afterwards.
        update: what the merge reads, packed; empty where the round ends with none.
        units: each unit that was run, and what it came to.
        loss: the mean of metric "loss" over the steps and shards.
        start: digest of the global parameters, where no receipt names it; see `LaneDone`.
    """

    state: dict[str, Tensor]
    update: bytes
    units: tuple[tuple[Unit, UnitRun], ...]
    loss: float
    start: bytes | UnsetType = UNSET


@dataclass(frozen=True)
class Lanes:
    """A run's Programs, made ready when first needed."""

    config: RunConfig
    programs: Mapping[str, Program]
    compile: Compile
    feed: Feed
    watch: Stopwatch

    def __post_init__(self) -> None:
        for name in _NEEDED[self.config.exchange]:
            if name not in self.programs:
                raise ProgramLacking(name)

    @cached_property
    def _ready(self) -> dict[str, Executable]:
        return {}

    def executable(self, name: str) -> Executable:
        """Return Program `name`, made ready.

        Raises:
            ProgramLacking: the run has none of that name.
        """
        if name not in self._ready:
            if name not in self.programs:
                raise ProgramLacking(name)
            self.watch.turn("compute")
            self._ready[name] = self.compile(self.programs[name])
            self.price(dict(self.config.programs)[name])  # counted once, here and not in a receipt
        return self._ready[name]

    def price(self, program: bytes) -> Cost:
        """Return what one step of the Program of that digest is counted at."""
        if program not in self._prices:
            name = next(name for name, it in self.config.programs if it == program)
            counted = cost(self.programs[name])
            self._prices[program] = Cost(counted.operations, counted.bytes_moved)
        return self._prices[program]

    @cached_property
    def _prices(self) -> dict[bytes, Cost]:
        return {}

    # -- states

    @cached_property
    def job(self) -> bytes:
        """The digest that names the run."""
        return self.config.job

    @cached_property
    def local(self) -> bool:
        """Whether lanes run several steps on their own."""
        return self.config.exchange == "local"

    @cached_property
    def unit_types(self) -> dict[str, TensorType]:
        """The state that a lane's units run on."""
        names = ("step", "encode") if self.local else ("apply",)
        return {
            port.name: port.type
            for name in names
            for port in self.programs[name].inputs
            if port.role == "state"
        }

    @cached_property
    def global_types(self) -> dict[str, TensorType]:
        """The state that all lanes share."""
        if not self.local:
            return self.unit_types
        return {"params": self.unit_types["params"]}

    def state_names(self, name: str) -> tuple[str, ...]:
        """Return the names of the state after a unit of Program `name`, in their order."""
        if name == "init":
            outputs = self.programs[name].outputs
            return state_names(it.name for it in outputs if it.role == "state")
        if name == "evaluate":
            return ("params",)
        return state_names(self.global_types if name == "merge" else self.unit_types)

    @cached_property
    def lane_types(self) -> dict[str, TensorType]:
        """The state that each lane has of its own after a merge."""
        return {k: v for k, v in self.unit_types.items() if k not in self.global_types}

    def own_types(self, at: int) -> dict[str, TensorType]:
        """Return the state that each lane has of its own at the start of round `at`."""
        return self.unit_types if self.config.goes_on(at) else self.lane_types

    def start(self, at: int, globals_: State, own: State) -> dict[str, Tensor]:
        """Return the state that a lane of local steps starts round `at` from."""
        return dict(own) if self.config.goes_on(at) else dict(own) | dict(globals_)

    def initial(self) -> dict[str, Tensor]:
        """Return the global state that Program "init" makes."""
        executable = self.executable("init")
        word = Chance.from_int(self.config.seed).fork("init").word64()
        chance = {
            port.name: torch.tensor(word)
            for port in executable.program.inputs
            if port.role == "chance"
        }
        made = executable.run(chance)
        return self.zero_globals() | {
            name: x for name, x in made.items() if name in self.global_types
        }

    def initial_from(self, blobs: BlobStore) -> dict[str, Tensor]:
        """Return the global state of round 0, given or made."""
        if self.config.initial is None:
            return self.initial()
        params = {"params": self.global_types["params"]}
        return self.zero_globals() | read_state(blobs.get(self.config.initial), params)

    def zero_globals(self) -> dict[str, Tensor]:
        """Return the global state that is zero everywhere."""
        return zero_state(self.global_types)

    def new_lane(self) -> dict[str, Tensor]:
        """Return the state in which every lane starts."""
        return zero_state(self.lane_types)

    # -- units

    def shards_of(self, lane: int) -> range:
        """Return the shards of a lane."""
        first = lane * self.config.shards_per_lane
        return range(first, first + self.config.shards_per_lane)

    def step_unit(self, at: int, lane: int, state: bytes) -> Unit:
        """Return the unit of a lane's block of local steps."""
        config = self.config
        data = self._data(self.shards_of(lane))
        steps, segments = config.local_steps, config.segments
        return self.unit("step", at, lane, state, steps=steps, segments=segments, data=data)

    def encode_unit(self, at: int, lane: int, state: bytes, start: bytes) -> Unit:
        """Return the unit that makes a lane's update; `start` is the digest of global params."""
        return self.unit("encode", at, lane, state, given=(("start", start),))

    def grad_unit(self, at: int, lane: int, shard: int, state: bytes) -> Unit:
        """Return the unit of one shard's gradient."""
        return self.unit("grad", at, lane, state, data=self._data([shard]))

    def unit(self, name: str, at: int, lane: int, state: bytes, **how: object) -> Unit:
        """Return a unit of one run of Program `name`, but for what `how` says otherwise."""
        fixed = {
            "id": UnitId(self.job, at, lane),
            "program": dict(self.config.programs)[name],
            "state": state,
            "step_from": at * self.config.local_steps,
            "steps": 1,
            "segments": 1,
            "seed": self.config.seed,
        }
        return Unit(**{**fixed, **how})  # type: ignore[arg-type]

    def _data(self, shards: Sequence[int]) -> DataSlice:
        return self.slice_of("train", shards)

    def slice_of(self, split: str, shards: Sequence[int]) -> DataSlice:
        """Return the slice of a split's samples that a unit of these shards reads."""
        reading = dict(self.config.readings).get(split, bytes(32))
        return DataSlice(self.config.data or bytes(32), reading, tuple(shards))

    def run(
        self, at: int, lane: int, globals_: State, own: State, digests: StateDigests
    ) -> LaneRun:
        """Run lane `lane` of round `at` from the global state and the lane's own state."""
        run = self._run_local if self.local else self._run_every_step
        return run(at, lane, globals_, own, digests)

    def _run_local(
        self, at: int, lane: int, globals_: State, own: State, digests: StateDigests
    ) -> LaneRun:
        state, goes_on = self.start(at, globals_, own), self.config.goes_on(at)
        block = self.step_unit(at, lane, self._root(state, digests))
        start_digest = digests.of(state)["params"]
        stepped = self._do("step", block, state, digests=digests)
        losses = stepped.metrics.get("loss", [])
        if not self.config.merges(at):
            said = UNSET if goes_on else start_digest
            return LaneRun(stepped.state, b"", ((block, stepped),), _mean(losses), said)
        start = {"start": globals_["params"]}
        if goes_on:
            start_digest = digest_tensor(globals_["params"])
        exchange = self.encode_unit(at, lane, stepped.transcript.segments[-1], start_digest)
        encoded = self._do("encode", exchange, stepped.state, given=start, digests=digests)
        lane_state = {name: encoded.state[name] for name in self.lane_types}
        update = self.codec.pack(encoded.last)
        return LaneRun(lane_state, update, ((block, stepped), (exchange, encoded)), _mean(losses))

    def _run_every_step(
        self, at: int, lane: int, globals_: State, own: State, digests: StateDigests
    ) -> LaneRun:
        root = self._root(globals_, digests)
        units, losses = [], []
        for shard in self.shards_of(lane):
            unit = self.grad_unit(at, lane, shard, root)
            run = self._do("grad", unit, globals_, digests=digests)
            units.append((unit, run))
            losses += run.metrics.get("loss", [])
        update = b"".join(tensor_bytes(run.last["grad"]) for _, run in units)
        return LaneRun({}, update, tuple(units), _mean(losses))

    def _do(
        self,
        name: str,
        unit: Unit,
        state: State,
        *,
        given: State | None = None,
        digests: StateDigests,
    ) -> UnitRun:
        executable = self.executable(name)
        return run_unit(
            executable, unit, state, self.feed, given=given, digests=digests, watch=self.watch
        )

    def _root(self, state: State, digests: StateDigests) -> bytes:
        self.watch.turn("commit")
        return digests.root(state)

    # -- merge and evaluation

    @cached_property
    def codec(self) -> UpdateCodec:
        """How a lane's update becomes bytes and back."""
        return UpdateCodec(self.programs["encode"])

    def merge(self, globals_: State, updates: Sequence[bytes]) -> dict[str, Tensor]:
        """Return the next global state from the updates of all lanes, in lane order.

        Raises:
            UpdateMalformed: an update is not what a lane of this run sends.
        """
        self.watch.turn("compute")
        executable = self.executable("merge" if self.local else "apply")
        results = executable.run({**globals_, **self.given_of(updates)})
        self.watch.turn("")
        return dict(globals_) | {k: x for k, x in results.items() if k in self.global_types}

    def given_of(self, updates: Sequence[bytes]) -> dict[str, Tensor]:
        """Return what a merge is given of the updates of all lanes, in lane order.

        Raises:
            UpdateMalformed: an update is not what a lane of this run sends.
        """
        if self.local:
            return self.codec.stack(updates)
        elements = self.global_types["params"].elements
        return {"grads": self.codec_of_gradients(updates, elements)}

    def codec_of_gradients(self, updates: Sequence[bytes], elements: int) -> Tensor:
        """Return f32 [shards, P] from the updates of an exchange at every step."""
        shape = (self.config.shards_per_lane, elements)
        return torch.cat([UpdateCodec.raw(update, TensorType("f32", shape)) for update in updates])

    def evaluate(
        self, globals_: State, part: int, parts: int
    ) -> tuple[dict[str, float], dict[str, int]]:
        """Return the sums of f32 and of i64 metrics over one part of the held-out batches."""
        executable = self.executable("evaluate")
        total = self.config.eval_batches
        batches = range(total * part // parts, total * (part + 1) // parts)
        floats: dict[str, float] = {}
        counts: dict[str, int] = {}
        self.watch.turn("compute")
        for inputs in self.feed.heldout(executable.program, batches):
            for name, x in executable.run({"params": globals_["params"], **inputs}).items():
                if x.dim() == 0 and x.dtype == torch.float32:
                    floats[name] = floats.get(name, 0.0) + float(x)
                elif x.dim() == 0:
                    counts[name] = counts.get(name, 0) + int(x)
        self.watch.turn("")
        return floats, counts


def receipt_of(unit: Unit, run: UnitRun, price: Cost, key: bytes, by: Sign) -> Receipt:
    """Return the signed receipt of a unit whose one step costs `price`."""
    unsigned = Receipt(
        signer=key,
        unit=unit,
        segments=run.transcript.segments,
        outputs=run.transcript.outputs,
        cost=Cost(price.operations * unit.steps, price.bytes_moved * unit.steps),
    )
    return sign(unsigned, by)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
