"""A blob that is still arriving: its parts on the disk, so that a kill costs no part twice.

What    `PartialBlob` writes parts at their place in a file beside the store and notes each in a
        journal; `adopt` checks the whole and moves it into the store under its name.
Why     A fetch may take longer than a process lives. What does not hash to its name must never
        stand where the store looks.
Rule    A part is noted after it was written. A power cut may keep the note and lose the part; then
        the whole is wrong, and the fetch starts anew. A process that finds another one at work on
        the same blob uses a file of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import final

from skerry.messages.blobs import PART_BYTES
from skerry.storage.blobs import BlobStore, digest_file
from skerry.storage.fetching import Held, part_count
from skerry.storage.files import StorageError, make_folder, sync_file, sync_folder

FOLDER = "partial"
_NUMBER_BYTES = 8
_JOURNAL_BYTES_MAX = 1 << 26


@final
class PartialBlob:
    """One unfinished blob; `close` lets it stay for the next fetch, `forget` deletes it."""

    def __init__(self, store: BlobStore, name: bytes) -> None:
        self._store = store
        self._name = name
        folder = store.root / FOLDER
        make_folder(folder)
        self._path = folder / name.hex()
        self._journal = self._open_journal()
        self._size: int | None = None
        self._parts: set[int] = set()
        self._read_journal()

    def _open_journal(self) -> int:
        """Open the journal for this process alone; a new one where another process has it."""
        for path in (self._path, self._path.with_suffix(f".{os.getpid()}-{id(self):x}")):
            notes = path.with_suffix(path.suffix + ".parts")
            try:
                journal = os.open(notes, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                if self._is_ours(journal, notes):
                    self._path, self._notes = path, notes
                    return journal
                os.close(journal)
            except OSError as error:
                raise StorageError(notes, "opening", error) from error
        raise AssertionError("two partial blobs of one process had one name")

    @staticmethod
    def _is_ours(journal: int, notes: Path) -> bool:
        """Lock the journal; return whether that worked and it still stands under its name."""
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(journal), notes.stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def _read_journal(self) -> None:
        data = os.pread(self._journal, _JOURNAL_BYTES_MAX, 0)
        whole = len(data) - len(data) % _NUMBER_BYTES
        os.ftruncate(self._journal, whole)  # a kill may have cut the last note
        numbers = [
            int.from_bytes(data[at : at + _NUMBER_BYTES], "little")
            for at in range(0, whole, _NUMBER_BYTES)
        ]
        if not numbers or not self._path.exists():
            return
        size, *parts = numbers
        if self._path.stat().st_size == size:
            self._size = size
            self._parts = {part for part in parts if part < part_count(size)}

    @property
    def held(self) -> Held | None:
        """What is here of the blob, or None."""
        return None if self._size is None else Held(self._size, frozenset(self._parts))

    def write(self, size: int, part: int, data: bytes) -> None:
        """Write one part of a blob that is to have `size` bytes.

        Raises:
            StorageError: the disk is full or forbids it.
        """
        try:
            if self._size != size:
                self._begin(size)
            with self._path.open("r+b") as file:
                file.seek(part * PART_BYTES)
                file.write(data)
            os.write(self._journal, part.to_bytes(_NUMBER_BYTES, "little"))
        except OSError as error:
            raise StorageError(self._path, "writing", error, len(data)) from error
        self._parts.add(part)

    def _begin(self, size: int) -> None:
        os.ftruncate(self._journal, 0)
        self._path.write_bytes(b"")
        os.truncate(self._path, size)  # takes no room until it is written
        os.write(self._journal, size.to_bytes(_NUMBER_BYTES, "little"))
        self._size, self._parts = size, set()

    def adopt(self, size: int, *, durable: bool = False) -> bool:
        """Move the whole into the store if it has the digest of its name; return whether.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            if self._size != size:
                self._begin(size)  # an empty blob has no parts
            if digest_file(self._path) != self._name:
                return False
            target = self._store.path(self._name)
            make_folder(target.parent)
            if durable:
                sync_file(self._path)
            self._path.rename(target)
            if durable:
                sync_folder(target.parent)
        except OSError as error:
            raise StorageError(self._path, "adopting", error, size) from error
        self.forget()
        return True

    def forget(self) -> None:
        """Let nothing count of what is here."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._journal, 0)
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._size, self._parts = None, set()

    def close(self) -> None:
        """Leave what there is to the next fetch; harmless when closed."""
        if self._journal >= 0:
            if self._size is None:
                with contextlib.suppress(OSError):
                    self._notes.unlink()
            os.close(self._journal)
            self._journal = -1


def has_partial(store: BlobStore, name: bytes) -> bool:
    """Return whether a former fetch left something of a blob."""
    return (store.root / FOLDER / f"{name.hex()}.parts").is_file()


def forget_partials(store: BlobStore) -> int:
    """Delete all unfinished blobs of a store that nobody fetches now; return how many."""
    count = 0
    for notes in (store.root / FOLDER).glob("*.parts"):
        with contextlib.suppress(OSError):
            journal = os.open(notes, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)  # or somebody is at work
                notes.with_suffix("").unlink(missing_ok=True)
                notes.unlink()
                count += 1
            finally:
                os.close(journal)
    return count
