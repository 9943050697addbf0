"""The session file: how a process of this machine finds a live run and proves that it may join.

What    `write_session` is called by the coordinator, `read_session` by whoever joins or looks.
Why     A secret must not stand on a command line, where every user of the machine can read it.
Rule    Mode 0600; there only while the coordinator lives, or left by one that was killed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from skerry.base.errors import NodeError
from skerry.storage import read_file, write_file

SECRET_VARIABLE = "SKERRY_RUN_SECRET"
SECRET_BYTES = 32
SESSION_NAME = "session.json"


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a live run listens, the secret of its links in hexadecimal, and its process."""

    address: str
    secret: str
    pid: int


class NoSession(NodeError):
    """No coordinator is running in that folder."""

    code = "node.session"

    def __init__(self, run: Path) -> None:
        super().__init__(
            f"nothing is running in {run}", next_step="start the run with `skerry run JOB.toml`"
        )


def write_session(run: Path, session: Session, *, name: str = SESSION_NAME) -> None:
    """Write the session file of a run, or of who answers for a receipt of it."""
    write_file(run / name, msgspec.json.encode(session), mode=0o600, durable=False)


def read_session(run: Path, *, name: str = SESSION_NAME) -> Session:
    """Return the session of the run in folder `run`.

    Raises:
        NoSession: there is none.
    """
    path = run / name
    if not path.is_file():
        raise NoSession(run)
    try:
        return msgspec.json.decode(read_file(path), type=Session)
    except msgspec.DecodeError:
        raise NoSession(run) from None
