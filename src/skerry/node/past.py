"""A run's past: the state before any of its units, from what the folder still holds.

What    `PastRun.open(folder)` reads a run; `replay(unit)` runs one of its units again and returns
        the transcript; `before(unit)` returns the state that it started from.
Why     A receipt can be checked long after, also where blobs were pruned or lost.
Rule    Whatever is held is taken (its bytes have the digest that a record names); whatever is not
        is computed: global states from the nearest checkpoint by the merges since, a lane's state
        by running its rounds again, an update by running its lane. Bits never depend on which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from skerry.base.errors import FaultError, JobError
from skerry.base.ids import short
from skerry.commit.transcript import Transcript
from skerry.messages.receipts import Receipt, Unit
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.messages.wire import decode_as
from skerry.node.duties import Duty, NoSuchDuty, duty_unit, program_name
from skerry.node.lane import LaneRun, Lanes
from skerry.node.states import StateDigests, digest_tensor, read_state
from skerry.node.tasks import open_lanes
from skerry.node.unit import run_unit
from skerry.program import Program, check, from_bytes, program_digest
from skerry.storage import RunFolder, read_file, read_kept
from skerry.verify import Verdict, verify

OF_LANES = ("step", "encode", "grad")
OF_COORDINATORS = {"init": "init", "merge": "merge", "apply": "merge", "evaluate": "evaluate"}


class NotOfThisRun(JobError):
    """A receipt is about another run than the one in the folder."""

    code = "job.receipt"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the receipt does not belong to this run: {reason}",
            next_step="give a receipt from the receipts folder of this run",
        )


class NoSuchRun(JobError):
    """There is no run in a folder."""

    code = "job.norun"

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"there is no run in {root}", next_step="give the folder of a run, such as runs/NAME"
        )


class UnitAltered(FaultError):
    """A receipt's unit is not the one that the job asks for: other steps, samples or seed."""

    code = "fault.unit"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"the receipt is about another unit than the job's: its {what} differs")


def load_run(folder: RunFolder) -> tuple[RunConfig, dict[str, Program]]:
    """Return the terms and the Programs of the run in a folder.

    Raises:
        NotOfThisRun: a Program in the folder is not the one that the terms name.
    """
    config = read_kept(RunConfig, folder.root / "run.config")
    programs = {}
    for name, due in config.programs:
        program = from_bytes(read_file(folder.root / "programs" / f"{name}.skp"))
        if program_digest(program) != due:
            raise NotOfThisRun(f"its Program {name!r} was changed")
        check(program)
        programs[name] = program
    return config, programs


@dataclass(frozen=True, slots=True)
class Before:
    """What a unit starts from."""

    state: dict[str, Tensor]
    given: dict[str, Tensor]


@dataclass
class PastRun:
    """A run that can be run again, anywhere in it."""

    folder: RunFolder
    lanes: Lanes
    _globals: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @classmethod
    def open(cls, run: Path, data: Path | None = None, backend: str = "native") -> PastRun:
        """Return the run in folder `run`, whose data are in folder `data`.

        Raises:
            NoSuchRun: there is none.
        """
        if not (run / "run.config").is_file():
            raise NoSuchRun(run)
        folder = RunFolder(run)
        config, programs = load_run(folder)
        return cls(folder, open_lanes(config, programs, data, backend))

    @property
    def config(self) -> RunConfig:
        """The run's terms."""
        return self.lanes.config

    # -- states

    def _record(self, number: int) -> RoundRecord | None:
        data = self.folder.read_round(number)
        record = decode_as(RoundRecord, data) if data is not None else None
        return record if record and record.job == self.lanes.job else None

    def globals_at(self, number: int) -> dict[str, Tensor]:
        """Return the global state of round `number`."""
        at, state = self._nearest(number)
        for here in filter(self.config.merges, range(at, number)):
            state = self.lanes.merge(state, self._updates(here, state))
        self._globals = {number: state}
        return state

    def _updates(self, number: int, globals_: Mapping[str, Tensor]) -> list[bytes]:
        return [self._update(number, lane, globals_) for lane in self._all]

    @property
    def _all(self) -> range:
        return range(self.config.lanes)

    def _nearest(self, number: int) -> tuple[int, dict[str, Tensor]]:
        """Return the latest state at or before round `number` that is at hand."""
        known = max((at for at in self._globals if at <= number), default=-1)
        if known == number:
            return known, self._globals[known]
        for it in reversed(self.folder.checkpoints()):
            if (
                known < it.round <= number
                and it.job == self.lanes.job
                and self.folder.blobs.holds(it.state)
            ):
                blob = self.folder.blobs.get(it.state)
                return it.round, read_state(blob, self.lanes.global_types)
        if known >= 0:
            return known, self._globals[known]
        return 0, self.lanes.initial_from(self.folder.blobs)

    def _update(self, number: int, lane: int, globals_: Mapping[str, Tensor]) -> bytes:
        record = self._record(number)
        name = record.lanes[lane].update if record else None
        if name is not None and self.folder.blobs.holds(name):
            return self.folder.blobs.get(name)
        return self._run_lane(number, lane, globals_, self.own_at(number, lane)).update

    def own_at(self, number: int, lane: int) -> dict[str, Tensor]:
        """Return a lane's own state at the start of round `number`."""
        start, state = 0, self.lanes.new_lane()
        if not state:
            return state
        for at in range(number, 0, -1):
            record = self._record(at - 1)
            name = record.lanes[lane].state if record else None
            if name is not None and self.folder.blobs.holds(name):
                blob = self.folder.blobs.get(name)
                start, state = at, read_state(blob, self.lanes.own_types(at))
                break
        for at in range(start, number):
            state = self._run_lane(at, lane, self.globals_at(at), state).state
        return state

    def held_before(self, number: int, lane: int) -> list[bytes]:
        """Return the blobs that a unit of that round and lane starts from, as records name them."""
        records = [self._record(at) for at in range(number)]
        merged = [it for it in records if it and self.config.merges(it.round)]
        names = [it.update for record in merged for it in record.lanes]
        last = records[-1] if records else None
        state = last.lanes[lane].state if last else None
        return names if state is None else [state, *names]

    def _run_lane(
        self, number: int, lane: int, globals_: Mapping[str, Tensor], own: Mapping[str, Tensor]
    ) -> LaneRun:
        return self.lanes.run(number, lane, globals_, own, StateDigests())

    # -- units

    def name_of(self, unit: Unit) -> str:
        """Return what the unit's Program is for.

        Raises:
            NotOfThisRun: the unit is of another run.
        """
        if unit.id.job != self.lanes.job:
            raise NotOfThisRun(
                f"it names run {short(unit.id.job)}, this is {short(self.lanes.job)}"
            )
        if unit.id.lane >= self.config.lanes or unit.id.round >= self.config.rounds:
            raise NotOfThisRun("the run has no such round and lane")
        for name, program in self.config.programs:
            if program == unit.program and name in (*OF_LANES, *OF_COORDINATORS):
                return name
        raise NotOfThisRun("its Program is none of the run's units")

    def before(self, unit: Unit) -> Before:
        """Return what `unit` starts from, computed without trusting it.

        Raises:
            NotOfThisRun: the unit is of another run.
            UnitAltered: it asks for something else than the job does.
        """
        name, at, lane = self.name_of(unit), unit.id.round, unit.id.lane
        if name in OF_COORDINATORS:
            due, before = self.duty(Duty(OF_COORDINATORS[name], at))
            _compare(due, unit)
            return before
        globals_ = self.globals_at(at)
        if name == "grad":
            shard = unit.data.shards[0] if unit.data and len(unit.data.shards) == 1 else -1
            if shard not in self.lanes.shards_of(lane):
                raise UnitAltered("shards")
            _compare(self.lanes.grad_unit(at, lane, shard, unit.state), unit)
            return Before(globals_, {})
        if name == "encode" and not self.config.merges(at):
            raise UnitAltered("program")
        state = self.lanes.start(at, globals_, self.own_at(at, lane))
        block = self.lanes.step_unit(at, lane, StateDigests().root(state))
        if name == "step":
            _compare(block, unit)
            return Before(state, {})
        stepped = run_unit(self.lanes.executable("step"), block, state, self.lanes.feed)
        start = globals_["params"]
        exchange = self.lanes.encode_unit(at, lane, unit.state, digest_tensor(start))
        _compare(exchange, unit)
        return Before(stepped.state, {"start": start})

    def duty(self, duty: Duty) -> tuple[Unit, Before]:
        """Return a unit of the run's coordinator, and what it starts from.

        Raises:
            NoSuchDuty: the run has no such unit.
        """
        at, given = duty.round, dict[str, Tensor]()
        program_name(self.lanes, duty)
        if at >= self.config.rounds:
            raise NoSuchDuty(f"the run has {self.config.rounds} rounds")
        if duty.kind == "init":
            state = dict[str, Tensor]()
        elif duty.kind == "evaluate":
            state = {"params": self.globals_at(at + 1)["params"]}
        else:
            state = dict(self.globals_at(at))
            given = self.lanes.given_of(self._updates(at, state))
        return duty_unit(self.lanes, duty, state, given), Before(state, given)

    def replay(self, unit: Unit) -> Transcript:
        """Run `unit` again and return what it comes to; a `verify.Replay`."""
        before = self.before(unit)
        executable = self.lanes.executable(self.name_of(unit))
        run = run_unit(executable, unit, before.state, self.lanes.feed, given=before.given)
        return run.transcript

    def verify(self, receipt: Receipt) -> Verdict:
        """Return whether `receipt` is true."""
        return verify(receipt, self.replay)


def _compare(due: Unit, unit: Unit) -> None:
    """Refuse a unit that differs from what the job asks for; its state is compared elsewhere."""
    for what in due.__struct_fields__:
        if what != "state" and getattr(due, what) != getattr(unit, what):
            raise UnitAltered(what)
