"""Append-only logs of one JSON object a line.

What    `append_line` adds one record; `read_lines` returns the whole ones.
Why     A log is for people and `skerry ps`; a kill in the middle of a line must not spoil it.
Rule    A line counts when it ends in a newline and parses. A new record first ends a torn line.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from skerry.storage.files import StorageError


def append_line(path: Path, record: object) -> None:
    """Append one record to the log at `path`, which is made when absent.

    Raises:
        StorageError: the disk is full or forbids it.
    """
    append_lines(path, [msgspec.json.encode(record)])


def append_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Append records that are lines already.

    Raises:
        StorageError: the disk is full or forbids it.
    """
    if not lines:
        return
    text = b"".join(line + b"\n" for line in lines)
    try:
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    text = b"\n" + text
            file.write(text)
    except OSError as error:
        raise StorageError(path, "appending to", error) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole records of a log, oldest first; of an absent log none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(path, "reading", error) from error
    records = []
    for line in content.split(b"\n")[:-1]:
        try:
            record = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
