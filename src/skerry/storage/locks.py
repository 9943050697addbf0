"""Locks: one process at a time has a folder, and a killed one has it no more.

What    `FileLock` holds a file for this process until it is freed or the process ends.
Why     Two processes that write to one folder would each undo what the other did.
Rule    It is the kernel's lock on an open file, so nothing is left behind that must be cleared.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from skerry.storage.files import StorageError


class FileLock:
    """A lock on one file, not taken yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    def take(self) -> bool:
        """Take it; return whether no other process holds it.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            held = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(self.path, "locking", error) from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(held)
            return False
        self._held = held
        return True

    def free(self) -> None:
        """Let another process take it; harmless when this one does not hold it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
