"""What a worker does for each message: join, run a lane, merge, evaluate, save.

What    `Tasks.do(message)` returns the answer. It holds the global state and remembers each lane's
        state that it made itself.
Why     Everything between a message and its answer is plain synchronous code on one thread.
Rule    A lane's state is in the store before its digest is told to anyone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from torch import Tensor

from skerry.base.errors import NodeError
from skerry.dataset import Dataset
from skerry.exact.executable import Backend, compile_program
from skerry.messages.rounds import (
    Evaluate,
    Evaluated,
    FromCoordinator,
    FromWorker,
    Join,
    LaneDone,
    Merge,
    RunConfig,
    RunLane,
    Save,
    Saved,
    Spent,
    Standing,
)
from skerry.messages.signing import Sign
from skerry.messages.wire import MessageUnexpected
from skerry.node.bits import float_bits
from skerry.node.clocks import Stopwatch
from skerry.node.lane import Lanes, receipt_of
from skerry.node.readings import check_readings
from skerry.node.states import StateDigests, read_state, state_bytes
from skerry.node.unit import Feed
from skerry.program import Program
from skerry.storage import BlobStore


class OutOfStep(NodeError):
    """A worker was asked for a round whose state it does not hold."""

    code = "node.step"

    def __init__(self, at: int, holds: int) -> None:
        super().__init__(
            f"asked for round {at} while holding the state of round {holds}",
            next_step="run the same command again",
        )


def open_lanes(
    config: RunConfig,
    programs: Mapping[str, Program],
    data: Path | None,
    backend: str,
    watch: Stopwatch | None = None,
) -> Lanes:
    """Return what a party needs to compute any part of a run.

    Raises:
        DataUnfit: the run reads the data otherwise than its own terms say.
    """
    samples = None
    if config.data is not None and data is not None:
        samples = Dataset.open(data, expected=config.data)
        check_readings(config, samples.manifest)
    chosen = "fast" if config.arithmetic == "fast" else cast(Backend, backend)
    ready = partial(compile_program, backend=chosen)
    return Lanes(config, programs, ready, Feed(config, samples), watch or Stopwatch())


@dataclass
class Tasks:
    """One worker's part in a run."""

    lanes: Lanes
    blobs: BlobStore
    key: bytes
    sign: Sign
    round: int = -1
    state: dict[str, Tensor] = field(default_factory=dict)
    own: dict[int, tuple[bytes | None, dict[str, Tensor], StateDigests]] = field(
        default_factory=dict
    )
    updates: dict[tuple[int, int], bytes] = field(default_factory=dict)
    digests: StateDigests = field(default_factory=StateDigests)

    @classmethod
    def make(
        cls,
        config: RunConfig,
        programs: Mapping[str, Program],
        run: Path,
        data: Path | None,
        backend: str,
        identity: tuple[bytes, Sign],
    ) -> Tasks:
        """Return a worker's part in the run in folder `run`."""
        lanes = open_lanes(config, programs, data, backend)
        return cls(lanes, BlobStore(run / "blobs"), *identity)

    @property
    def _watch(self) -> Stopwatch:
        return self.lanes.watch

    def do(self, message: FromCoordinator) -> FromWorker:
        """Do what `message` asks and return the answer."""
        match message:
            case Join():
                return self._join(message)
            case Merge(at, updates):
                self._expect(at)
                whole = [
                    update or self.updates.get((at, lane), b"")
                    for lane, update in enumerate(updates)
                ]
                return self._merge(whole)
            case RunLane(at, lane, state):
                self._expect(at)
                return self._run_lane(at, lane, state)
            case Evaluate(at, part, parts):
                self._expect(at)
                floats, counts = self.lanes.evaluate(self.state, part, parts)
                bits = tuple((name, float_bits(x)) for name, x in sorted(floats.items()))
                return Evaluated(at, part, bits, tuple(sorted(counts.items())), self._spent())
            case Save(at):
                self._expect(at)
                return Saved(at, self.blobs.put(state_bytes(self.state), durable=True))
            case _:
                raise MessageUnexpected(f"a {type(message).__name__} is no task")

    def _expect(self, at: int) -> None:
        if at != self.round:
            raise OutOfStep(at, self.round)

    def _join(self, order: Join) -> Standing:
        if order.state is None:
            self.state = self.lanes.initial_from(self.blobs)
        else:
            self.state = read_state(self.blobs.get(order.state), self.lanes.global_types)
        self.round = order.state_round
        for names in order.updates:
            self._merge([self.blobs.get(name) for name in names])
        return self._standing()

    def _standing(self) -> Standing:
        self._watch.turn("commit")
        root = self.digests.root(self.state)
        self._watch.turn("")
        return Standing(self.round, root)

    def _merge(self, updates: Sequence[bytes]) -> Standing:
        if self.lanes.config.merges(self.round):
            self.state = self.lanes.merge(self.state, updates)
        ran = {lane for _, lane in self.updates}
        self.own = {lane: held for lane, held in self.own.items() if lane in ran}
        self.updates.clear()
        self.round += 1
        return self._standing()

    def _run_lane(self, at: int, lane: int, name: bytes | None) -> LaneDone:
        watch = self._watch
        watch.turn("storage")
        held, own, digests = self.own.get(lane, (b"", {}, StateDigests()))
        if held != name or not own:
            digests = StateDigests()
            own = self.lanes.new_lane()
            if name is not None:
                own = read_state(self.blobs.get(name), self.lanes.own_types(at))
        if not self.lanes.config.goes_on(at):
            digests.learn(self.digests)
        run = self.lanes.run(at, lane, self.state, own, digests)
        watch.turn("storage")
        kept = self.blobs.put(state_bytes(run.state)) if run.state else None
        watch.turn("commit")
        receipts = tuple(
            receipt_of(unit, result, self.lanes.price(unit.program), self.key, self.sign)
            for unit, result in run.units
        )
        watch.turn("")
        self.own[lane] = kept, run.state, digests
        self.updates[at, lane] = run.update
        loss = float_bits(run.loss)
        left = digests.of(run.units[-1][1].state) if run.state else {}
        named = tuple(sorted(left.items()))
        spent = self._spent()
        return LaneDone(at, lane, run.update, kept, receipts, loss, spent, named, run.start)

    def _spent(self) -> Spent:
        """Return where the time went since this was last told, merges included."""
        spent = Spent(*(self._watch.microseconds(it) for it in ("compute", "commit", "storage")))
        self._watch.seconds.clear()
        return spent
