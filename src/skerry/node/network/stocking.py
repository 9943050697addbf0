"""Stocking: from the blobs of an assignment to files and Programs that a worker reads.

What    `unpack(folder, assignment)` puts the data's files in place and returns the job;
        `read_assignment` reads one that is kept.
Why     A node keeps what it was sent as blobs, and a worker reads a folder.
Rule    A Program is the one that the terms name, or nothing is begun.
"""

from __future__ import annotations

import os
from pathlib import Path

from skerry.base.errors import NodeError, PeerError
from skerry.messages.leased import COMMITTED_BYTES_MAX, Assignment
from skerry.messages.signing import check_signature
from skerry.node.life import RunJob
from skerry.program import from_bytes, program_digest
from skerry.storage import FileDamaged, RunFolder, read_kept


class NotStocked(NodeError):
    """Something that a job needs cannot be had from anybody."""

    code = "node.stock"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} cannot be had from the submitter or any node",
            next_step="submit the job again with `skerry run`",
        )


def unpack(folder: RunFolder, assignment: Assignment) -> RunJob:
    """Put the data's files where the worker reads them, and read the Programs.

    Raises:
        NotStocked: a Program is not the one that the terms name.
        BlobMissing: something has not been brought.
    """
    data = folder.root / "data"
    data.mkdir(exist_ok=True)
    for name, blob in assignment.files:
        if not (data / name).is_file():
            folder.blobs.get(blob)  # whole, or it is an error here and now
            os.link(folder.blobs.path(blob), data / name)
    named = dict(assignment.config.programs)
    programs = {}
    for name, blob in assignment.programs:
        program = from_bytes(folder.blobs.get(blob))
        if named.get(name) != program_digest(program):
            raise NotStocked(f"Program {name!r} as the terms name it")
        programs[name] = program
    return RunJob(assignment.config, programs)


def read_assignment(path: Path, next_step: str = "") -> Assignment:
    """Return the assignment in a file, as its submitter signed it.

    Raises:
        FileDamaged: it is none, or another.
        StorageError: it cannot be read.
    """
    found = read_kept(Assignment, path, bytes_max=COMMITTED_BYTES_MAX, next_step=next_step)
    try:
        check_signature(found)
    except PeerError as error:
        raise FileDamaged(path, error.message, next_step) from None
    return found
