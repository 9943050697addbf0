"""The folder of one node: its key, its settings, its memory, and who is running it.

What    HOME/
            node.key            the Ed25519 seed, mode 0600; made silently when absent
            node.toml           settings; optional
            memory.sqlite       what must survive: peers, leases
            node.json           address and process while the daemon lives, mode 0600
            log.jsonl           events, for people and `skerry nodes`
            jobs/               one folder for each job that the node has a part in
Why     A node is this folder: copied elsewhere it is the same node, and two processes on one
        folder would be one node that contradicts itself.
Rule    The lock dies with its process. `node.json` is left by a daemon that was killed, so its
        process is looked at before it is believed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import msgspec

from skerry.base.errors import NodeError
from skerry.messages.signing import Sign
from skerry.node.keys import SEED_BYTES, KeyUnsafe, load_key
from skerry.storage import StorageError, append_line, make_folder, read_file, write_file
from skerry.storage.files import sweep_unfinished
from skerry.storage.locks import FileLock

HOME_VARIABLE = "SKERRY_HOME"


class NodeBusy(NodeError):
    """Another process is this node."""

    code = "node.running"

    def __init__(self, home: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} runs the node in {home} already",
            next_step=f"stop it, or choose another folder with --home; `skerry nodes --home {home}`"
            " shows what it sees",
        )


class NodeAbsent(NodeError):
    """No node lives in that folder."""

    code = "node.absent"

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"no node runs in {home}", next_step=f"start one: skerry join --home {home} INVITE"
        )


class Presence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A daemon that lives: its address, its invite, its key in hexadecimal, and its process."""

    address: str
    invite: str
    key: str
    pid: int


def default_home() -> Path:
    """Return the folder of this user's node: $SKERRY_HOME, or ~/.skerry."""
    given = os.environ.get(HOME_VARIABLE, "")
    return Path(given).expanduser() if given else Path.home() / ".skerry"


class NodeHome:
    """Paths and small records of one node."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = FileLock(root / "node.lock")

    @property
    def key_file(self) -> Path:
        """The seed of the node's key."""
        return self.root / "node.key"

    @property
    def settings(self) -> Path:
        """The owner's settings."""
        return self.root / "node.toml"

    @property
    def memory(self) -> Path:
        """What must survive."""
        return self.root / "memory.sqlite"

    @property
    def log(self) -> Path:
        """Events."""
        return self.root / "log.jsonl"

    # -- who runs it

    def lock(self) -> None:
        """Become the only process of this node; sweep what a killed one left.

        Raises:
            NodeBusy: another process is it.
            StorageError: the disk refuses.
        """
        make_folder(self.root)
        if not self._lock.take():
            there = self.presence()
            raise NodeBusy(self.root, there.pid if there else None)
        sweep_unfinished(self.root)

    def unlock(self) -> None:
        """Let another process be this node; harmless when this one is not."""
        self._lock.free()

    def appear(self, presence: Presence) -> None:
        """Say to the other programs of this user that the daemon lives."""
        path = self.root / "node.json"
        write_file(path, msgspec.json.encode(presence), mode=0o600, durable=False)

    def vanish(self) -> None:
        """Take that back."""
        with contextlib.suppress(OSError):
            (self.root / "node.json").unlink()

    def presence(self) -> Presence | None:
        """Return where the daemon of this folder is, or None where none lives."""
        path = self.root / "node.json"
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Presence)
            os.kill(found.pid, 0)
        except (OSError, msgspec.DecodeError):
            return None
        return found

    def jobs(self) -> list[Path]:
        """Return the folders of the jobs that the node has a part in."""
        return sorted(it for it in (self.root / "jobs").glob("*") if it.is_dir())

    # -- its key

    def key(self) -> tuple[bytes, Sign]:
        """Return the public key and what signs with it; both are made when absent."""
        make_folder(self.root)
        return load_key(self.key_file)

    def seed(self) -> bytes:
        """Return the seed of the key, for a transport that proves it.

        Raises:
            KeyUnsafe: there is none, or it is damaged.
        """
        seed = read_file(self.key_file)
        if len(seed) != SEED_BYTES:
            raise KeyUnsafe(self.key_file, f"has {len(seed)} bytes", "restore it from its export")
        return seed

    def export_key(self) -> str:
        """Return the seed of the key in hexadecimal, to keep elsewhere.

        Raises:
            NodeAbsent: no node was ever here.
            KeyUnsafe: others can read the file, or it is damaged.
        """
        if not self.key_file.exists():
            raise NodeAbsent(self.root)
        self.key()
        return self.seed().hex()

    def import_key(self, text: str) -> bytes:
        """Write an exported seed into a folder that has no key; return the public key.

        Raises:
            KeyUnsafe: the text is no export, or there is a key already.
        """
        try:
            seed = bytes.fromhex(text.strip())
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise KeyUnsafe(
                self.key_file, "was not written: that is no exported key", "give its 64 digits"
            )
        if self.key_file.exists():
            raise KeyUnsafe(self.key_file, "is there already", "choose another folder with --home")
        make_folder(self.root)
        write_file(self.key_file, seed, mode=0o600)
        return self.key()[0]

    @property
    def key_mode(self) -> int | None:
        """The mode of the key file, or None where there is none."""
        try:
            return stat.S_IMODE(self.key_file.stat().st_mode)
        except OSError:
            return None

    # -- what happened

    def tell(self, kind: str, facts: dict[str, object]) -> None:
        """Write one event to the log; a full disk does not stop a node from answering."""
        with contextlib.suppress(StorageError):
            append_line(self.log, {"type": kind, **facts})
