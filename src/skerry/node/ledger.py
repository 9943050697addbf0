"""What a run has come to, on disk: kept in such an order that any kill leaves a sound past.

What    `pick_up` finds where to go on; `keep_lane`, `keep_round` and `keep_state` write what was
        accepted; `order_to_join` tells a worker how to reach a state from the store.
Why     The coordinator may be killed between any two writes.
Rule    Blobs first, then the record that names them. A round counts when its record and all its
        blobs are whole and it follows on a counted round or checkpoint; the rest is done again.
        Of an exchange at every step only the updates since the checkpoint before last are kept;
        lanes' own states beyond `STATE_BYTES_KEPT` go, oldest first, but for checkpoints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base.errors import JobError
from skerry.base.ids import short
from skerry.messages.rounds import Join, LaneDone, LaneRecord, RoundRecord, RunConfig
from skerry.messages.signing import signed_digest
from skerry.messages.wire import decode_as, encode
from skerry.storage import Checkpoint, RunFolder, read_kept, write_file

Holds: TypeAlias = Literal["all", "updates", "records"]

STATE_BYTES_KEPT = 1 << 29
UNIT_KINDS = {"local": ("step", "encode"), "every-step": ("grad",)}


class AnotherRun(JobError):
    """The folder holds a run of other terms."""

    code = "job.folder"

    def __init__(self, root: object, there: bytes, asked: bytes) -> None:
        super().__init__(
            f"{root} holds run {short(there)}, and this job is run {short(asked)}: its Programs, "
            "data, seed or rounds differ",
            next_step="choose another output_dir, or delete that folder",
        )


def receipt_kind(exchange: str, place: int) -> str:
    """Return what the receipt at `place` among those of its lane is called."""
    kinds = UNIT_KINDS[exchange]
    return kinds[place] if len(kinds) > 1 else f"{kinds[0]}{place}"


def read_record(folder: RunFolder, job: bytes, number: int) -> RoundRecord | None:
    """Return the record of a round of `job` in a folder, or None."""
    data = folder.read_round(number)
    if data is None:
        return None
    record = decode_as(RoundRecord, data)
    return record if record.job == job else None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run goes on."""

    round: int = 0
    root: bytes = b""
    saved: int = -1


class Ledger:
    """The records of one run and the blobs that they name.

    Args:
        folder: where they are kept.
        config: the run's terms.
        holds: what must be here for a round to count: all blobs; its updates, where lanes' own
            states may be with other nodes; or its record alone, where nothing is run.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, *, holds: Holds = "all") -> None:
        self.folder = folder
        self.config = config
        self._holds = holds
        self._alone = holds == "all"
        self.job = config.job
        if config.between_merges > 1:
            folder.blobs.put(b"")  # the update of a round that ends with no merge
        self.receipts = 0
        self._round = 0
        self._root = b""
        self._left: tuple[int, tuple[dict[str, bytes], ...]] | None = None
        self._lane_states: tuple[bytes | None, ...] = (None,) * config.lanes
        self._fresh: dict[int, LaneRecord] = {}
        self._updates: dict[int, tuple[bytes, ...]] = {}  # blobs, by round, since `_base`
        self._packed: dict[int, bytes] = {}  # the updates of this round, at hand
        self._checkpoints: list[Checkpoint] = []
        self._old_states: deque[bytes] = deque()
        self._old_bytes = 0

    # -- where to go on

    def pick_up(self) -> Start:
        """Return where to go on, after what is whole on the disk.

        Raises:
            AnotherRun: the folder belongs to a run of other terms.
            FileDamaged: it does not say whose it is.
        """
        path = self.folder.root / "run.config"
        if path.is_file():
            there = read_kept(RunConfig, path).job
            if there != self.job:
                raise AnotherRun(self.folder.root, there, self.job)
        else:
            write_file(path, encode(self.config))
        last = self.folder.last_checkpoint(lanes_too=self._alone)
        self._checkpoints = [
            it for it in self.folder.checkpoints() if last is not None and it.round <= last.round
        ]
        if last is None:
            self._fast_forward()
            return Start(self._round, self._root)
        self._round, self._root = last.round, last.root
        if last.lanes:
            self._lane_states = last.lanes
        self._fast_forward()
        return Start(self._round, self._root, last.round if self._round == last.round else -1)

    def _fast_forward(self) -> None:
        """Take over the rounds after the checkpoint whose records and blobs are all whole."""
        while record := self.read_round(self._round):
            if self._root not in (b"", record.state_before):
                return
            if not all(self.folder.blobs.holds(name) for name in self._needed(record)):
                return
            self._advance(record)

    def _needed(self, record: RoundRecord) -> list[bytes]:
        """Return the blobs without which a round does not count here."""
        states = [lane.state for lane in record.lanes if lane.state] if self._alone else []
        updates = [lane.update for lane in record.lanes] if self._holds != "records" else []
        return updates + states

    def read_round(self, number: int) -> RoundRecord | None:
        """Return the record of a round of this run, or None."""
        return read_record(self.folder, self.job, number)

    def _advance(self, record: RoundRecord) -> None:
        self._updates[record.round] = tuple(lane.update for lane in record.lanes)
        self._retire(self._lane_states)
        self._lane_states = tuple(lane.state for lane in record.lanes)
        self._round, self._root = record.round + 1, record.state_after

    @property
    def round(self) -> int:
        """The present round: all before it are merged."""
        return self._round

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The latest checkpoint."""
        return self._checkpoints[-1] if self._checkpoints else None

    # -- what workers ask

    def order_to_join(self, at: int) -> Join:
        """Return how to reach the state of round `at`, which is the present one or before."""
        base = next((it for it in reversed(self._checkpoints) if it.round <= at), None)
        start = base.round if base else 0
        rows = tuple(self._updates[number] for number in range(start, at))
        return Join(at, start, base.state if base else None, rows)

    def lane_state(self, lane: int) -> bytes | None:
        """Return the blob of a lane's own state at the present round."""
        return self._lane_states[lane]

    def updates(self, at: int) -> list[bytes]:
        """Return the updates of all lanes of round `at`, which is the present one or before."""
        if at == self._round:
            return [self._packed[lane] for lane in range(self.config.lanes)]
        return [self.folder.blobs.get(name) for name in self._updates[at]]

    # -- what is kept

    def keep_lane(self, done: LaneDone) -> None:
        """Keep an accepted lane: update, receipts."""
        update = self.folder.blobs.put(done.update)
        names = []
        for at, receipt in enumerate(done.receipts):
            kind = receipt_kind(self.config.exchange, at)
            path = self.folder.receipt_path(done.round, done.lane, kind)
            write_file(path, encode(receipt), durable=False)
            names.append(signed_digest(receipt))
        self.receipts += len(names)
        self._packed[done.lane] = done.update
        record = LaneRecord(tuple(names), update, done.state, done.left, done.start)
        self._fresh[done.lane] = record

    def left(self, at: int, lane: int) -> dict[str, bytes] | None:
        """Return what a lane left in the round before `at`; None where that is not known."""
        if self._left is None or self._left[0] != at:
            record = self.read_round(at - 1) if at else None
            self._left = at, () if record is None else tuple(dict(it.left) for it in record.lanes)
        return self._left[1][lane] if self._left[1] else None

    def keep_round(self, root: bytes, root_before: bytes) -> None:
        """Write the record of the present round, which led to `root`."""
        record = RoundRecord(
            job=self.job,
            round=self._round,
            state_before=root_before,
            lanes=tuple(self._fresh[lane] for lane in range(self.config.lanes)),
            state_after=root,
        )
        self.keep_record(record)
        self._fresh.clear()
        self._packed.clear()

    def keep_record(self, record: RoundRecord) -> None:
        """Write a record of the present round, which somebody may have made elsewhere."""
        self.folder.write_round(record.round, encode(record))
        self._advance(record)

    def keep_state(self, state: bytes, root: bytes) -> None:
        """Write a checkpoint of the present round, whose global state is blob `state`."""
        lanes = tuple(name for name in self._lane_states if name is not None)
        checkpoint = Checkpoint(self.job, self._round, root, state, lanes)
        self.folder.write_checkpoint(checkpoint, lanes_too=self._alone)
        self._checkpoints.append(checkpoint)
        if self.config.exchange == "every-step" and len(self._checkpoints) > 1:
            self._forget_updates(self._checkpoints[-2].round)
        while 0 < self.config.save_limit < len(self._checkpoints) - 1:
            dropped = self._checkpoints.pop(1)
            self.folder.drop_checkpoint(dropped.round)
            self._drop_blobs(dropped.blobs)

    # -- what goes

    def _forget_updates(self, before: int) -> None:
        for number in [it for it in self._updates if it < before]:
            self._drop_blobs(self._updates.pop(number))

    def _retire(self, names: Sequence[bytes | None]) -> None:
        """Note lanes' states of the round before; drop the oldest when there are too many."""
        for name in names:
            if name is not None:
                self._old_states.append(name)
                self._old_bytes += self.folder.blobs.size(name)
        while self._old_bytes > STATE_BYTES_KEPT and len(self._old_states) > self.config.lanes:
            name = self._old_states.popleft()
            self._old_bytes -= self.folder.blobs.size(name)
            self._drop_blobs([name])

    def _drop_blobs(self, names: Sequence[bytes]) -> None:
        kept = {name for it in self._checkpoints for name in it.blobs}
        kept.update(name for name in self._lane_states if name is not None)
        for name in names:
            if name not in kept:
                self.folder.blobs.drop(name)
