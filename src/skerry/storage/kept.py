"""Messages that are kept as files: read back whole, or refused by the file's name.

What    `read_kept` returns the message in a file, `read_noted` a small record in JSON.
Why     A file that rots or is meddled with is no peer's fault: what is wrong is on this machine,
        and its owner must hear which file it is.
Rule    Nothing is repaired or deleted here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from skerry.base.errors import NodeError
from skerry.messages.wire import MESSAGE_BYTES_MAX, AnyMessage, MessageError, decode_as
from skerry.storage.files import read_file

Noted = TypeVar("Noted")


class FileDamaged(NodeError):
    """A file of this machine does not hold what was written to it."""

    code = "node.file"

    def __init__(self, path: Path, why: str, next_step: str = "") -> None:
        self.path = path
        super().__init__(
            f"{path} is damaged: {why}",
            next_step=next_step
            or f"restore it from a copy, or move it away (mv {path} {path}.bad); then run the same"
            " command again",
        )


def read_kept(
    kind: type[AnyMessage],
    path: Path,
    *,
    bytes_max: int = MESSAGE_BYTES_MAX,
    next_step: str = "",
) -> AnyMessage:
    """Return the message of `kind` that a file holds.

    Raises:
        FileDamaged: it holds something else.
        StorageError: it cannot be read.
    """
    try:
        return decode_as(kind, read_file(path), bytes_max=bytes_max)
    except MessageError as error:
        raise FileDamaged(path, error.reason, next_step) from None


def read_noted(kind: type[Noted], path: Path) -> Noted:
    """Return the record of `kind` that a file of JSON holds.

    Raises:
        FileDamaged: it holds something else.
        StorageError: it cannot be read.
    """
    try:
        return msgspec.json.decode(read_file(path), type=kind)
    except msgspec.MsgspecError as error:
        raise FileDamaged(path, str(error)) from None
