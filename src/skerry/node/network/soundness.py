"""Soundness: whether what a node keeps of its jobs is what was written to its disk.

What    `look_at_job(folder)` reads everything that a job's folder names and says what of it is
        damaged. Nothing is changed.
Why     A node mends what it can fetch again and says so in passing; an owner wants to know whether
        it is the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from skerry.base.digests import DIGEST_BYTES, digest
from skerry.base.errors import NodeError
from skerry.messages.leased import COMMITTED_BYTES_MAX, Chair, Closed, Committed
from skerry.messages.rounds import RunConfig
from skerry.messages.wire import Message
from skerry.node.network.stocking import read_assignment
from skerry.storage import BlobStore, FileDamaged, StorageError, read_file, read_kept
from skerry.storage.blobs import digest_file

_KINDS: tuple[tuple[str, type[Message]], ...] = (
    ("run.config", RunConfig),
    ("chair", Chair),
    ("closed", Closed),
)
_SEALED = (("checkpoints", "checkpoint"), ("rounds", "round"))
_FETCHED = "start the node, or leave it running: it is fetched again; then look closer at this disk"


class JobDamaged(NodeError):
    """Files of a job are damaged on a node's disk."""

    code = "node.job"

    def __init__(self, root: Path, found: list[FileDamaged]) -> None:
        first = found[0]
        more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
        super().__init__(f"{first.message}{more}, in {root}", next_step=first.next_step)


def damaged(root: Path) -> Iterator[FileDamaged]:
    """Yield what is damaged in a job's folder.

    Raises:
        StorageError: the disk refuses to read.
    """
    if (root / "assignment").is_file():
        try:
            read_assignment(root / "assignment")
        except FileDamaged as error:  # without it a node does not know that it has a part
            yield error
    for name, kind in _KINDS:
        if (root / name).is_file():
            yield from _kept(kind, root / name)
    for path in sorted((root / "committed").glob("*.committed")):
        yield from _kept(Committed, path)
    for folder, domain in _SEALED:
        for path in sorted((root / folder).glob(f"*.{domain}")):
            content = read_file(path)
            if digest(domain, content[DIGEST_BYTES:]) != content[:DIGEST_BYTES]:
                yield FileDamaged(path, "it does not have its own digest", _FETCHED)
    if (root / "blobs").is_dir():
        yield from _blobs(BlobStore(root / "blobs"))


def _blobs(store: BlobStore) -> Iterator[FileDamaged]:
    for blob in store.names():
        path = store.path(blob)
        try:
            if path.is_file() and digest_file(path) != blob:
                yield FileDamaged(path, "its bytes are not those of its digest", _FETCHED)
        except OSError as error:
            raise StorageError(path, "reading", error) from error


def _kept(kind: type[Message], path: Path) -> Iterator[FileDamaged]:
    own = "" if kind is RunConfig else _FETCHED
    try:
        read_kept(kind, path, bytes_max=COMMITTED_BYTES_MAX, next_step=own)
    except FileDamaged as error:
        yield error


def look_at_job(root: Path) -> str:
    """Return that a job's folder is sound.

    Raises:
        JobDamaged: it is not.
        StorageError: the disk refuses to read.
    """
    found = list(damaged(root))
    if found:
        raise JobDamaged(root, found)
    return f"{root.name}: {'over' if (root / 'closed').is_file() else 'under way'}, sound"
