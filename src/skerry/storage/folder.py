"""The folder of one run: where everything is, who may write, and which checkpoint counts.

What    runs/NAME/
            job.toml            the job as it was started (written by the command line)
            run.config          the run's terms, as canonical bytes
            programs/NAME.skp   canonical bytes of each Program
            blobs/              states and updates by digest: the data store of the run
            checkpoints/        one small file each, naming blobs
            rounds/             one record a round
            receipts/           one signed receipt a file
            keys/               one Ed25519 seed per worker, mode 0600
            log.jsonl           events, for people and `skerry ps`
            session.json        address and secret while a coordinator is alive, mode 0600
            model/              the trained model
Why     One command must be able to go on from whatever a kill left.
Rule    A checkpoint or round record counts when its file is whole (it carries a digest of
        itself). Two coordinators never share a folder: the lock dies with its process.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from skerry.base.digests import DIGEST_BYTES, digest
from skerry.base.errors import NodeError
from skerry.storage.blobs import BlobStore
from skerry.storage.files import (
    make_folder,
    read_file,
    sweep_unfinished,
    write_file,
)
from skerry.storage.locks import FileLock

_FOLDERS = ("programs", "blobs", "checkpoints", "rounds", "receipts", "keys")


class RunBusy(NodeError):
    """Another process is running this run."""

    code = "node.busy"

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"another process is running {root}",
            next_step="wait for it or stop it; `skerry ps` shows it",
        )


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A state of the run to go on from.

    Attributes:
        job: digest of the run's terms.
        round: the round that starts from this state.
        root: the state's root.
        state: blob of the global state.
        lanes: blob of each lane's own state, in lane order; empty where lanes start afresh.
    """

    job: bytes
    round: int
    root: bytes
    state: bytes
    lanes: tuple[bytes, ...]

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """Every blob that this checkpoint needs."""
        return (self.state, *self.lanes)


class RunFolder:
    """Paths and small records of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in _FOLDERS:
            make_folder(root / name)
        self.blobs = BlobStore(root / "blobs")
        self._lock = FileLock(root / "run.lock")

    # -- who may write

    def lock(self) -> None:
        """Become the only coordinator of this folder and sweep what a killed one left.

        Raises:
            RunBusy: another process is it.
        """
        if not self._lock.take():
            raise RunBusy(self.root)
        sweep_unfinished(self.root)

    def unlock(self) -> None:
        """Let another process be the coordinator; harmless when this one is not."""
        self._lock.free()

    # -- records by round

    def _record(self, kind: str, number: int) -> Path:
        return self.root / kind / f"{number:08d}.{kind[:-1]}"

    def write_checkpoint(self, checkpoint: Checkpoint, *, lanes_too: bool = True) -> None:
        """Write a checkpoint whose blobs are in the store; both are on the disk afterwards.

        Args:
            checkpoint: the checkpoint.
            lanes_too: whether the lanes' own states are in this store and must be safe as well.
        """
        self.blobs.secure(checkpoint.blobs if lanes_too else [checkpoint.state])
        body = msgspec.msgpack.encode(checkpoint)
        path = self._record("checkpoints", checkpoint.round)
        write_file(path, digest("checkpoint", body), body)

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints whose file is whole, oldest first."""
        found = []
        for path in sorted((self.root / "checkpoints").glob("*.checkpoint")):
            content = read_file(path)
            name, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            with contextlib.suppress(msgspec.DecodeError):
                if digest("checkpoint", body) == name:
                    found.append(msgspec.msgpack.decode(body, type=Checkpoint))
        return found

    def last_checkpoint(self, *, lanes_too: bool = True) -> Checkpoint | None:
        """Return the latest checkpoint whose file and blobs are all whole, or None.

        Args:
            lanes_too: whether the lanes' own states must be in this store.
        """
        for checkpoint in reversed(self.checkpoints()):
            needed = checkpoint.blobs if lanes_too else (checkpoint.state,)
            if all(self.blobs.holds(name) for name in needed):
                return checkpoint
        return None

    def drop_checkpoint(self, number: int) -> None:
        """Delete the checkpoint file of a round; its blobs are pruned apart."""
        with contextlib.suppress(OSError):
            self._record("checkpoints", number).unlink()

    def write_round(self, number: int, record: bytes) -> None:
        """Write the record of a finished round."""
        path = self._record("rounds", number)
        write_file(path, digest("round", record), record, durable=False)

    def read_round(self, number: int) -> bytes | None:
        """Return the record of a round, or None when there is none that is whole."""
        path = self._record("rounds", number)
        if not path.is_file():
            return None
        content = read_file(path)
        name, record = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return record if digest("round", record) == name else None

    # -- receipts

    def receipt_path(self, number: int, lane: int, kind: str) -> Path:
        """Return where the receipt of one unit is kept."""
        return self.root / "receipts" / f"{number:08d}-{lane:04d}-{kind}.receipt"

    def receipts(self) -> list[Path]:
        """Return all receipt files, in order of round, lane and kind."""
        return sorted((self.root / "receipts").glob("*.receipt"))

    # -- single files

    @property
    def log(self) -> Path:
        """The log of events."""
        return self.root / "log.jsonl"

    @property
    def session(self) -> Path:
        """Address and secret of the live coordinator."""
        return self.root / "session.json"

    @property
    def model(self) -> Path:
        """The folder of the trained model."""
        return self.root / "model"
