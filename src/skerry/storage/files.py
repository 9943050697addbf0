"""Files that are there whole or not at all.

What    `write_file` writes beside the target, flushes, and renames; `read_file` reads. Both turn
        the machine's refusals into errors that name the next step.
Why     A process may be killed between any two instructions, and a disk may fill at any byte.
Rule    A name that starts with ".writing-" is unfinished and nobody reads it. With durable=True
        the bytes are on the disk before the name appears; without, a power cut may lose them, and
        whoever reads by digest notices.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from skerry.base.errors import NodeError
from skerry.base.units import format_bytes

UNFINISHED = ".writing-"
Chunk: TypeAlias = bytes | bytearray | memoryview

_turn = itertools.count()

_NEXT_STEPS = {
    errno.ENOSPC: "free some space on that disk, then run the same command again",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`), then run the same command again",
    errno.EDQUOT: "free some of your quota, then run the same command again",
    errno.EACCES: "give yourself permission on that path, then run the same command again",
    errno.EPERM: "give yourself permission on that path, then run the same command again",
    errno.EROFS: "choose a folder on a writable disk, then run the same command again",
    errno.EIO: "check the disk; copy the run folder elsewhere and run the same command there",
    errno.ENOENT: "restore the file or start the run in a fresh folder",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), then run the same command again",
}


class StorageError(NodeError):
    """The disk does not take or give what it should: full, forbidden, absent or broken."""

    code = "node.storage"

    def __init__(self, path: Path, doing: str, error: OSError, size: int = 0) -> None:
        self.path = path
        self.number = error.errno
        self.size = size
        what = f"{doing} {path}" + (f" ({format_bytes(size)})" if size else "")
        super().__init__(
            f"{what} failed: {error.strerror or error}",
            next_step=_NEXT_STEPS.get(error.errno or 0, "repair it, then run the same command"),
        )


def write_file(path: Path, *chunks: Chunk, durable: bool = True, mode: int = 0o644) -> None:
    """Write `chunks` to `path` as a whole, replacing what was there.

    Raises:
        StorageError: the disk is full, the path is forbidden, and so on; nothing has changed.
    """
    size = sum(len(chunk) for chunk in chunks)
    unfinished = path.parent / f"{UNFINISHED}{os.getpid()}-{next(_turn)}-{path.name}"
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            _write_all(descriptor, chunks)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.rename(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise StorageError(path, "writing", error, size) from error


def _write_all(descriptor: int, chunks: Iterable[Chunk]) -> None:
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            view = view[os.write(descriptor, view) :]


def read_file(path: Path) -> bytes:
    """Return the bytes of `path`.

    Raises:
        StorageError: it is absent, forbidden or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(path, "reading", error) from error


def sync_file(path: Path) -> None:
    """Bring a file that was written without durability, and its name, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(path, "flushing", error) from error


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    sync_file(path)


def make_folder(path: Path) -> None:
    """Make a folder and the ones above it, unless they are there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(path, "making", error) from error


def sweep_unfinished(folder: Path) -> int:
    """Delete what killed processes left unfinished below `folder`; return how many files."""
    count = 0
    for path in folder.rglob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):
            path.unlink()
            count += 1
    return count
