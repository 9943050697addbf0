"""What a node must not forget when it is killed: leases, fences, facts, and whom it knew.

What    `NodeMemory(path)` opens the database, which is made when absent, and writes each fact
        before the call returns.
Why     A node that forgets a fence may act for a job that another has taken over, and a node that
        forgets its peers needs an invite again.
Rule    SQLite with a write-ahead log, flushed at each write: after `kill -9` or a power cut a fact
        is there whole or not at all. A database that is damaged, or of another version, is refused
        and never repaired in silence: what it held cannot be guessed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skerry.base.errors import NodeError, PeerError
from skerry.membership import LeaseBook
from skerry.membership.leases import Holding
from skerry.messages.membership import Announcement, Lease
from skerry.messages.wire import decode_as, encode

SCHEMA = 1
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE peers (node BLOB PRIMARY KEY, announcement BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE leases (job BLOB PRIMARY KEY, lease BLOB NOT NULL, fence INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE days (day INTEGER PRIMARY KEY, seconds INTEGER NOT NULL);
"""


class MemoryDamaged(NodeError):
    """A node's database is damaged, or of another version, so what it says cannot be trusted."""

    code = "node.memory"

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"the node's memory {path} cannot be used: {why}",
            next_step=f"restore it from a copy, or move it away (mv {path} {path}.bad): the node"
            " keeps its key and its jobs, and goes by its seeds until it knows its peers again",
        )


class MemoryUnwritable(NodeError):
    """The disk does not take what a node must remember."""

    code = "node.memory.write"

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"the node's memory {path} cannot be written: {why}",
            next_step="free some space on that disk, or give yourself permission; then start the"
            " node again: what it had kept is safe",
        )


class NodeMemory:
    """The database of one node; used by one process, which holds the node's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        new = not path.exists()
        try:
            self._base = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        except sqlite3.Error as error:
            raise MemoryUnwritable(path, str(error)) from None
        try:
            with self._translated():
                self._open(new)
        except BaseException:
            self._base.close()
            raise
        path.chmod(0o600)

    def _open(self, new: bool) -> None:
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        (found,) = self._base.execute("PRAGMA user_version").fetchone()
        tables = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found == 0 and tables == 0:
            self._base.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={SCHEMA};COMMIT;")
            return
        if found != SCHEMA:
            raise MemoryDamaged(self.path, f"it is of version {found}, this program's is {SCHEMA}")
        (sound,) = self._base.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise MemoryDamaged(self.path, str(sound))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the database's refusals into errors that name the next step."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise MemoryUnwritable(self.path, str(error)) from None
        except sqlite3.DatabaseError as error:
            raise MemoryDamaged(self.path, str(error)) from None

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self._translated():
            self._base.execute(statement, values)

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._translated():
            return list(self._base.execute(statement, values).fetchall())

    def close(self) -> None:
        """Close the database."""
        self._base.close()

    # -- single numbers

    def fact(self, name: str) -> int:
        """Return a number that was kept, or 0."""
        rows = self._rows("SELECT value FROM facts WHERE name=?", (name,))
        return int(rows[0][0]) if rows else 0

    def keep_fact(self, name: str, value: int) -> None:
        """Keep a number."""
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def next_sequence(self, floor: int) -> int:
        """Return a number above every one that was returned before, and at least `floor`."""
        number = max(self.fact("sequence") + 1, floor)
        self.keep_fact("sequence", number)
        return number

    # -- who was there

    def peers(self) -> list[Announcement]:
        """Return the announcements that were kept; what no longer decodes is passed over."""
        found = []
        for (data,) in self._rows("SELECT announcement FROM peers ORDER BY node"):
            with contextlib.suppress(PeerError):
                found.append(decode_as(Announcement, bytes(data)))
        return found

    def keep_peers(self, announcements: tuple[Announcement, ...]) -> None:
        """Keep these announcements and no others."""
        with self._translated():
            self._base.execute("BEGIN")
            try:
                self._base.execute("DELETE FROM peers")
                self._base.executemany(
                    "INSERT INTO peers VALUES (?, ?)",
                    [(it.signer, encode(it)) for it in announcements],
                )
                self._base.execute("COMMIT")
            except sqlite3.Error:
                with contextlib.suppress(sqlite3.Error):
                    self._base.execute("ROLLBACK")
                raise

    # -- who may act

    def leases(self, me: bytes) -> LeaseBook:
        """Return the leases of the node `me`.

        Raises:
            MemoryDamaged: one does not decode.
        """
        holdings = {}
        for job, data, fence in self._rows("SELECT job, lease, fence FROM leases ORDER BY job"):
            try:
                lease = decode_as(Lease, bytes(data))
            except PeerError as error:
                raise MemoryDamaged(self.path, error.message) from None
            holdings[bytes(job)] = Holding(lease, int(fence))
        return LeaseBook(me, holdings)

    def keep_lease(self, holding: Holding) -> None:
        """Keep a lease and the highest fence of its job."""
        lease = holding.lease
        self._write(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?)",
            (lease.job, encode(lease), holding.fence),
        )

    def drop_lease(self, job: bytes) -> None:
        """Forget a lease that is over."""
        self._write("DELETE FROM leases WHERE job=?", (job,))

    # -- how long it computed

    def computed_seconds(self, day: int) -> int:
        """Return for how long workers ran on a day."""
        rows = self._rows("SELECT seconds FROM days WHERE day=?", (day,))
        return int(rows[0][0]) if rows else 0

    def add_computed(self, day: int, seconds: int) -> None:
        """Add to a day's computing, and forget the days before yesterday."""
        total = self.computed_seconds(day) + seconds
        self._write("INSERT OR REPLACE INTO days VALUES (?, ?)", (day, total))
        self._write("DELETE FROM days WHERE day < ?", (day - 1,))
