"""Mending: what a part in a job does about its own machine: a full disk, a file that rotted.

What    `Mending.watch(work)` ends a part's work when something says that this machine is unfit;
        `look` finds out whether a worker's trouble is the machine's; `until_fit` waits until the
        disk takes what it refused.
Why     What one machine cannot do is no word about the job: others go on with it, nobody is
        blamed, and the node comes back by itself when its owner has made room.
Rule    A damaged blob is dropped, so that it is fetched again under the digest of its bytes;
        nothing else is deleted. While a machine is unfit it takes no task.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from skerry.base.errors import NodeError
from skerry.messages.leased import Assignment
from skerry.messages.rounds import Trouble
from skerry.node.life import RunBlocked
from skerry.storage import BlobMissing, FileDamaged, RunFolder, StorageError, write_file
from skerry.storage.blobs import digest_file

_LOOK_SECONDS = 1.0
_PAUSE_SECONDS_MAX = 60.0
_PROBE_BYTES = 1 << 16
_AGAIN = "wait: it is fetched again from other nodes; if that happens often, check this disk"

Result = TypeVar("Result")


def probe(folder: Path, size: int = 0) -> None:
    """Make sure that a disk takes something, and has room for `size` bytes.

    Raises:
        StorageError: it does not.
    """
    path = folder / "room"
    try:
        write_file(path, bytes(_PROBE_BYTES), durable=False)
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    if shutil.disk_usage(folder).free < size:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise StorageError(folder, "writing to", full, size)


def damaged_stock(folder: RunFolder, assignment: Assignment) -> Iterator[tuple[Path, bytes]]:
    """Yield what a job names and this disk holds otherwise: each file, and the name of its blob."""
    for name, blob in assignment.files:
        path = folder.root / "data" / name
        if path.is_file() and not _is_whole(path, blob):
            yield path, blob
    for blob in {blob for _, blob in (*assignment.files, *assignment.programs)}:
        path = folder.blobs.path(blob)
        if path.is_file() and not _is_whole(path, blob):
            yield path, blob


def _is_whole(path: Path, blob: bytes) -> bool:
    try:
        return digest_file(path) == blob
    except OSError:
        return False


class Mending:
    """What keeps this machine from doing its part in one job, if anything does.

    Args:
        folder: the job's folder.
        assignment: the job.
    """

    def __init__(self, folder: RunFolder, assignment: Assignment) -> None:
        self._folder = folder
        self._assignment = assignment
        self._wrong: NodeError | None = None
        self._found = asyncio.Event()
        self._pause = _LOOK_SECONDS

    def note(self, error: object) -> None:
        """Take note of an error; one of this machine's disk ends the part's work for now."""
        ours = isinstance(error, StorageError | RunBlocked | FileDamaged)
        if ours and self._wrong is None:
            assert isinstance(error, NodeError)
            self._wrong = error
            self._found.set()

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Take note of what the disk refuses in between, where nobody waits for it."""
        try:
            yield
        except StorageError as error:
            self.note(error)

    async def look(self, said: Trouble) -> None:
        """Find out whether what a worker of this node could not do is this machine's fault.

        Raises:
            RunBlocked: the disk refused.
            FileDamaged: a file of the job was damaged; what was is gone, to be fetched again.
        """
        if said.code == StorageError.code:
            raise RunBlocked(said.message, next_step=said.next_step)
        if said.code != BlobMissing.code:
            await asyncio.to_thread(self._drop_damaged)

    def _drop_damaged(self) -> None:
        found = list(damaged_stock(self._folder, self._assignment))
        for path, blob in found:
            with contextlib.suppress(OSError):
                path.unlink()
            self._folder.blobs.drop(blob)
        if found:
            raise FileDamaged(found[0][0], "its bytes are not those of its digest", _AGAIN)

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do a part's work until this machine turns out to be unfit for it.

        Raises:
            NodeError: what is wrong with it; see `note`.
        """
        self._wrong = None
        self._found.clear()
        doing, found = asyncio.ensure_future(work), asyncio.ensure_future(self._found.wait())
        try:
            await asyncio.wait({doing, found}, return_when=asyncio.FIRST_COMPLETED)
            if self._wrong is not None:
                raise self._wrong
            return await doing
        finally:
            for task in (doing, found):
                task.cancel()
            await asyncio.gather(doing, found, return_exceptions=True)

    async def until_fit(self, error: NodeError, *, moved: bool) -> None:
        """Wait until the disk takes something again, longer each time where nothing moved since."""
        self._pause = _LOOK_SECONDS if moved else min(2 * self._pause, _PAUSE_SECONDS_MAX)
        size = error.size if isinstance(error, StorageError) else 0
        while True:
            await asyncio.sleep(self._pause)
            with contextlib.suppress(StorageError):
                await asyncio.to_thread(probe, self._folder.root, size)
                return
