"""A store of byte strings, each under the digest of its content.

What    `put` returns the digest, `get` returns the bytes or says that they are not there whole.
Why     Processes that share nothing else can hand each other states and updates by 32 bytes, and
        no reader ever depends on a writer having finished.
Rule    name = digest("blob", bytes). What does not hash to its name counts as absent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from skerry.base.digests import DIGEST_BYTES, digest, digest_all
from skerry.base.errors import NodeError
from skerry.base.ids import short
from skerry.storage.files import (
    Chunk,
    StorageError,
    make_folder,
    read_file,
    sync_file,
    sync_folder,
    write_file,
)


class BlobMissing(NodeError):
    """A blob is not in the store, or its bytes are no longer those of its name."""

    code = "node.blob"

    def __init__(self, name: bytes, root: Path, why: str) -> None:
        self.name = name
        super().__init__(
            f"blob {short(name)} in {root} {why}",
            next_step="run the same command again: it goes on from an older checkpoint",
        )


def blob_digest(*chunks: Chunk) -> bytes:
    """Return the name under which the joined chunks are stored."""
    return digest("blob", *(memoryview(chunk).cast("B") for chunk in chunks))


def digest_file(path: Path) -> bytes:
    """Return the name under which the content of a file is stored; reads it piece by piece.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return digest_all("blob", iter(lambda: file.read(1 << 20), b""))


class BlobStore:
    """A folder of blobs; any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_folder(root)

    def path(self, name: bytes) -> Path:
        """Return where the blob of that name is or would be."""
        text = name.hex()
        return self.root / text[:2] / text[2:]

    def has(self, name: bytes) -> bool:
        """Return whether there is a blob of that name; its bytes are checked only by `get`."""
        return self.path(name).is_file()

    def size(self, name: bytes) -> int:
        """Return the size of a blob in bytes, 0 when it is absent."""
        try:
            return self.path(name).stat().st_size
        except OSError:
            return 0

    def put(self, *chunks: Chunk, durable: bool = False) -> bytes:
        """Store the joined chunks and return their name.

        Raises:
            StorageError: the disk is full or forbids it.
        """
        name = blob_digest(*chunks)
        path = self.path(name)
        length = sum(memoryview(chunk).nbytes for chunk in chunks)
        if not self.has(name) or self.size(name) != length:
            make_folder(path.parent)
            write_file(path, *chunks, durable=durable)
        elif durable:
            self.secure([name])
        return name

    def get(self, name: bytes) -> bytes:
        """Return the bytes of that name.

        Raises:
            BlobMissing: it is absent or damaged.
            StorageError: the disk refuses to read.
        """
        path = self.path(name)
        if not path.is_file():
            raise BlobMissing(name, self.root, "is not there")
        content = read_file(path)
        if blob_digest(content) != name:
            self.drop(name)  # so that whoever makes the bytes again can put them
            raise BlobMissing(name, self.root, "is damaged")
        return content

    def part(self, name: bytes, start: int, length: int) -> bytes:
        """Return a stretch of a blob, unchecked: whoever has the whole checks it.

        Raises:
            BlobMissing: it is absent or ends before.
            StorageError: the disk refuses to read.
        """
        path = self.path(name)
        try:
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(length)
        except FileNotFoundError:
            raise BlobMissing(name, self.root, "is not there") from None
        except OSError as error:
            raise StorageError(path, "reading", error) from error
        if len(data) != length:
            raise BlobMissing(name, self.root, "is shorter than that")
        return data

    def holds(self, name: bytes) -> bool:
        """Return whether the blob is there with the bytes of its name; reads all of it."""
        try:
            self.get(name)
        except NodeError:
            return False
        return True

    def secure(self, names: Iterable[bytes]) -> None:
        """Bring blobs that were put without durability to the disk."""
        folders = set()
        for name in names:
            path = self.path(name)
            sync_file(path)
            folders.add(path.parent)
        for folder in folders:
            sync_folder(folder)

    def drop(self, name: bytes) -> None:
        """Delete a blob; harmless when it is absent."""
        with contextlib.suppress(OSError):
            self.path(name).unlink()

    def names(self) -> Iterator[bytes]:
        """Yield the names of all blobs, in no order."""
        for path in self.root.glob("[0-9a-f][0-9a-f]/*"):
            text = path.parent.name + path.name
            if len(text) == 2 * DIGEST_BYTES and not path.name.startswith("."):
                with contextlib.suppress(ValueError):
                    yield bytes.fromhex(text)
