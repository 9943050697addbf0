"""Going back: a run's folder as it was when so many rounds were done.

What    `copy_rounds` gives another folder the first rounds of a run; `cut_rounds` takes the later
        ones out of a folder. `keeps` and `keeps_line` say what belongs to the first rounds.
Why     What was built on a false unit is done again, and what is older must not be.
Rule    Files that are named by a round go with it; a checkpoint of round n comes of the n rounds
        before it. Blobs are named by their content, so none is wrong anywhere. Either may be killed
        and called again.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from skerry.storage.files import StorageError, make_folder, read_file, write_file
from skerry.storage.log import read_lines

BY_ROUND = ("rounds", "receipts", "committed", "checkpoints")
LOG_NAME = "log.jsonl"
_NUMBER = re.compile(r"(\d{8})[-.]")
_STATES = ("checkpoint", "evaluation")  # lines of a state, as checkpoints are


def keeps(kind: str, name: str, rounds: int) -> bool:
    """Return whether a file of folder `kind` belongs to the first `rounds` rounds."""
    number = _NUMBER.match(name)
    if number is None:
        return False
    return int(number[1]) < rounds + (kind == "checkpoints")


def keeps_line(line: Mapping[str, Any], rounds: int) -> bool:
    """Return whether a line of the log belongs to the first `rounds` rounds."""
    kind, at = line.get("type"), line.get("round", 0)
    if kind == "ended" or not isinstance(at, int):
        return False
    return at < rounds or (at == rounds and kind in _STATES) or kind == "started"


def copy_rounds(source: Path, target: Path, rounds: int, *, blobs: bool) -> None:
    """Give `target` the first `rounds` rounds of the run in `source`, by links where it can.

    Args:
        source: a run's folder.
        target: another folder; what it has already is left as it is.
        rounds: how many rounds.
        blobs: whether the store's blobs come too.

    Raises:
        StorageError: the disk is full or forbids it.
    """
    names = ["run.config", *(f"programs/{it.name}" for it in (source / "programs").glob("*.skp"))]
    for kind in BY_ROUND:
        found = (it.name for it in sorted((source / kind).glob("*")))
        names += [f"{kind}/{it}" for it in found if keeps(kind, it, rounds)]
    if blobs:
        stored = source.glob("blobs/[0-9a-f][0-9a-f]/[0-9a-f]*")
        names += [str(it.relative_to(source)) for it in stored]
    for name in names:
        _link(source / name, target / name)
    if not (target / LOG_NAME).exists():
        _write_log(source, target, rounds)


def cut_rounds(root: Path, rounds: int) -> None:
    """Take out of a run's folder what does not belong to its first `rounds` rounds.

    Raises:
        StorageError: the disk forbids it.
    """
    for kind in BY_ROUND:
        for path in sorted((root / kind).glob("*"), reverse=True):
            if not keeps(kind, path.name, rounds):
                _drop(path)
    _write_log(root, root, rounds)


def _write_log(source: Path, target: Path, rounds: int) -> None:
    lines = [it for it in read_lines(source / LOG_NAME) if keeps_line(it, rounds)]
    write_file(target / LOG_NAME, b"".join(msgspec.json.encode(it) + b"\n" for it in lines))


def _link(source: Path, target: Path) -> None:
    if target.exists() or not source.is_file():
        return
    make_folder(target.parent)
    try:
        os.link(source, target)
    except OSError:
        write_file(target, read_file(source), durable=False)


def _drop(path: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    except OSError as error:
        raise StorageError(path, "deleting", error) from error
