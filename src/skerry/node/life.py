"""The life of a run, in one function.

What    `run_job(job, folder, ...)` runs a job over worker processes of this machine, from wherever
        its folder has come to, and returns what it came to.
Why     A reader should find the whole sentence in one place: lock, pick up, listen, staff, run,
        say farewell, answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skerry.base.errors import FaultError, JobError, NodeError
from skerry.messages.rounds import RunConfig, Trouble
from skerry.node.clocks import RealClock
from skerry.node.coordinator import FRAME_BYTES_MAX, Coordinator
from skerry.node.events import (
    LaneFinished,
    RoundFinished,
    RunEnded,
    RunEvent,
    RunStarted,
    WorkerDown,
)
from skerry.node.ledger import Ledger
from skerry.node.processes import Crew, CrewTerms
from skerry.node.session import SECRET_BYTES, Session, write_session
from skerry.node.telling import Telling, Watch
from skerry.program import Program, program_digest, to_bytes
from skerry.storage import RunFolder, read_lines, write_file
from skerry.train.rounds import End
from skerry.transport import TcpTransport


class RunCrashing(NodeError):
    """Workers die again and again over the same task."""

    code = "node.crashing"


class RunBlocked(NodeError):
    """A worker found that this machine does not let it do a task: the disk is full, for example."""

    code = "node.blocked"


class RunConflict(FaultError):
    """Two workers computed different states from the same updates."""

    code = "fault.merge"


class RunFailed(JobError):
    """A worker found that a task cannot be done: the numbers or the data forbid it."""

    code = "job.run"


@dataclass(frozen=True, slots=True)
class RunJob:
    """A job, ready to run.

    Attributes:
        config: the terms; `config.programs` are the digests of `programs`.
        programs: Programs by what they are for.
    """

    config: RunConfig
    programs: Mapping[str, Program]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        finished: whether all rounds were done; otherwise it was asked to stop and can go on.
        folder: the run's folder.
        round: the round whose state is the last one saved.
        root: root of that state.
        state: file of that state: safetensors with "params" among its tensors.
        losses: mean training loss by round, of this session.
        evaluations: sums of metrics over the held-out data by round, of this session.
        bytes_sent: bytes of the whole run by kind, framing and control included.
        ring_bytes: what a float32 ring all-reduce at every step would have sent.
        receipts: how many receipts were kept, in this session.
        deaths: how many workers were lost, in this session.
        seconds: where workers' time went: compute, commit, storage; and wall.
    """

    finished: bool
    folder: Path
    round: int
    root: bytes
    state: Path
    losses: Mapping[int, float]
    evaluations: Mapping[int, Mapping[str, float]]
    bytes_sent: Mapping[str, int]
    ring_bytes: int
    receipts: int
    deaths: int
    seconds: Mapping[str, float]

    @property
    def bytes_ratio(self) -> float:
        """How many times less was sent than by a ring all-reduce at every step."""
        return self.ring_bytes / max(1, sum(self.bytes_sent.values()))

    @property
    def commit_share(self) -> float:
        """The share of workers' time spent on digests, receipts and signing."""
        spent = self.seconds["compute"] + self.seconds["commit"]
        return self.seconds["commit"] / spent if spent else 0.0


@dataclass
class _Tally:
    """Adds up what events tell, and passes them on."""

    watch: Watch
    seconds: dict[str, float] = field(
        default_factory=lambda: {"compute": 0.0, "commit": 0.0, "storage": 0.0}
    )
    deaths: int = 0
    ring_bytes: int = 0

    def __call__(self, event: RunEvent) -> None:
        match event:
            case LaneFinished():
                self.seconds["compute"] += event.compute_seconds
                self.seconds["commit"] += event.commit_seconds
                self.seconds["storage"] += event.storage_seconds
            case WorkerDown():
                self.deaths += 1
            case RoundFinished(ring_bytes=plain):
                self.ring_bytes = plain
            case _:
                pass
        self.watch(event)


def run_job(
    job: RunJob, folder: Path, crew: CrewTerms, *, watch: Watch = lambda event: None
) -> RunResult:
    """Run `job` in `folder` with worker processes, or go on with it there.

    Args:
        job: the terms and the Programs.
        folder: where the run keeps everything; the same job goes on from what is there.
        crew: how many workers, and how they are started.
        watch: is told each event as it happens.

    Raises:
        AnotherRun: the folder holds another job.
        RunFailed, RunBlocked, RunCrashing, RunConflict: the run had to stop; its last checkpoint
            is intact.
        StorageError: the disk refuses.
    """
    return asyncio.run(life_of_a_run(job, RunFolder(folder), crew, watch))


async def life_of_a_run(
    job: RunJob, folder: RunFolder, crew_terms: CrewTerms, watch: Watch
) -> RunResult:
    """Run a job from wherever its folder has come to; see `run_job`."""
    clock, tally = RealClock(), _Tally(watch)
    began = clock.now()
    folder.lock()
    try:
        ledger = Ledger(folder, job.config)
        start = ledger.pick_up()
        programs = keep_programs(job, folder)
        parameters = parameter_count(job)
        workers = min(max(crew_terms.workers, 1), job.config.lanes)
        telling = Telling(
            job.config, parameters, workers, folder.log, tally, clock, sent_before(folder)
        )
        secret = os.urandom(SECRET_BYTES)
        transport = TcpTransport(secret, frame_bytes_max=FRAME_BYTES_MAX)
        crew = Crew(
            crew_terms, folder.root, lambda pid, words: coordinator.process_ended(pid, words)
        )
        coordinator = Coordinator(job.config, programs, ledger, start, clock, telling, hands=crew)
        try:
            address = await transport.listen(coordinator.serve)
            write_session(folder.root, Session(address, secret.hex(), os.getpid()))
            telling.tell(_started(job, start.round, crew_terms, parameters))
            await crew.start(address, secret)
            with _stops_on_interrupt(coordinator):
                end, trouble = await coordinator.run()
            telling.tell(RunEnded(end.kind, end.detail))
            await coordinator.farewell(end.kind)
        finally:
            await crew.dismiss()
            await transport.close()
            folder.session.unlink(missing_ok=True)
        raise_unless_fine(end, trouble, folder)
        tally.seconds["wall"] = clock.now() - began
        return _result(end, folder, ledger, telling, tally)
    finally:
        folder.unlock()


def keep_programs(job: RunJob, folder: RunFolder) -> dict[bytes, bytes]:
    """Write a run's Programs to its folder and return their bytes by digest."""
    named = dict(job.config.programs)
    kept = {}
    for name, program in job.programs.items():
        assert program_digest(program) == named[name], f"the terms name another Program {name!r}"
        kept[named[name]] = to_bytes(program)
        path = folder.root / "programs" / f"{name}.skp"
        if not path.is_file():
            write_file(path, kept[named[name]])
    return kept


def parameter_count(job: RunJob) -> int:
    """Return how many parameters the job trains."""
    for name in ("apply", "step", "grad"):
        if name in job.programs:
            return job.programs[name].port("params").type.elements
    return 0


def _started(job: RunJob, at: int, crew: CrewTerms, parameters: int) -> RunStarted:
    config = job.config
    return RunStarted(config.job.hex(), at, config.rounds, config.lanes, crew.workers, parameters)


def sent_before(folder: RunFolder) -> dict[str, int]:
    """Return the bytes that earlier sessions of the run counted."""
    sent: dict[str, int] = {}
    for line in read_lines(folder.log):
        if line.get("type") == "round" and isinstance(line.get("bytes_sent"), dict):
            sent = line["bytes_sent"]
    return sent


@contextlib.contextmanager
def _stops_on_interrupt(coordinator: Coordinator) -> Iterator[None]:
    """Turn Ctrl-C and a polite kill into a stop that leaves a run to go on with."""
    loop = asyncio.get_running_loop()
    signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in signals:
            loop.add_signal_handler(number, coordinator.stop, number.name)
    except (RuntimeError, ValueError):  # not the main thread: whoever runs us stops us
        signals = ()
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def raise_unless_fine(end: End, trouble: Trouble | None, folder: RunFolder) -> None:
    """Raise what a run's end is as an error, unless it finished or was asked to stop.

    Raises:
        RunFailed, RunBlocked, RunCrashing, RunConflict: see `run_job`.
    """
    again = "run the same command again: it goes on from what is kept in " + str(folder.root)
    fine = end.kind in ("finished", "asked")
    last = None if fine else folder.last_checkpoint(lanes_too=False)
    good = f"; its last good state, of round {last.round}, is kept there" if last else ""
    match end.kind:
        case "failed":
            next_step = ((trouble.next_step if trouble else "") or again) + good
            if trouble and trouble.code.partition(".")[0] == NodeError.code:
                raise RunBlocked(end.detail, next_step=next_step)
            raise RunFailed(end.detail, next_step=next_step)
        case "crashing":
            raise RunCrashing(
                end.detail, next_step=f"read {folder.root / 'logs'}; then {again}{good}"
            )
        case "conflict":
            raise RunConflict(end.detail, next_step="run `skerry doctor --bits` on this machine")
        case "finished" | "asked":
            return


def _result(
    end: End, folder: RunFolder, ledger: Ledger, telling: Telling, tally: _Tally
) -> RunResult:
    last = ledger.last_checkpoint
    return RunResult(
        finished=end.kind == "finished",
        folder=folder.root,
        round=last.round if last else 0,
        root=last.root if last else b"",
        state=folder.blobs.path(last.state) if last else folder.root,
        losses=telling.losses,
        evaluations=telling.evaluations,
        bytes_sent=telling.bytes_sent,
        ring_bytes=tally.ring_bytes,
        receipts=ledger.receipts,
        deaths=tally.deaths,
        seconds=tally.seconds,
    )


__all__ = [
    "RunBlocked",
    "RunConflict",
    "RunCrashing",
    "RunFailed",
    "RunJob",
    "RunResult",
    "keep_programs",
    "life_of_a_run",
    "parameter_count",
    "raise_unless_fine",
    "run_job",
    "sent_before",
]
