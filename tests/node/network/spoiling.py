"""What a disk, or who has access to it, can do to a node's files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

ENOUGH = 8192  # bytes of a file: words and small records, but no state


def flip(path: Path) -> None:
    """Change one byte of a file where it is, for everybody who has it open too."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def cut(path: Path) -> None:
    """Cut a file short."""
    os.truncate(path, path.stat().st_size // 2)


def blobs(job: Path) -> Iterator[Path]:
    """Yield all blobs of a job's folder, its data among them."""
    yield from sorted(job.glob("blobs/[0-9a-f][0-9a-f]/[0-9a-f]*"))


def records(job: Path) -> Iterator[Path]:
    """Yield what a job's folder has beside blobs, but for what says that there is a job."""
    for kind in ("checkpoints", "rounds", "committed", "receipts"):
        yield from sorted((job / kind).glob("[0-9]*"))
    yield from (it for it in (job / "chair", job / "closed") if it.is_file())


def spoil(node: Path) -> None:
    """Flip a byte of every blob of a node's jobs, and cut every other of its records short."""
    for job in sorted((node / "jobs").iterdir()):
        for path in blobs(job):
            flip(path)
        for at, path in enumerate(records(job)):
            (flip if at % 2 else cut)(path)


def limit_files(pid: int, size: int | None = ENOUGH) -> None:
    """Let a process and its children write no longer files, as on a full disk; None: any again."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        _, most = resource.prlimit(each, resource.RLIMIT_FSIZE)
        resource.prlimit(each, resource.RLIMIT_FSIZE, (most if size is None else size, most))
