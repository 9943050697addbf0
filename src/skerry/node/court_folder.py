"""What one dispute keeps on the disk, so that a killed side goes on where it was.

What    `Kept` is what cannot be made again: the lie, the salt, the chain's address and the accounts
        before. `open_folder` finds a dispute that was begun, or begins one.
Why     Keys, outboxes and events are files already. With these few words beside them, the same
        command after a crash makes the same calls, and so goes on.
Rule    The folder goes when the dispute has ended. It holds keys, so only its owner may enter it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from skerry.base.errors import JobError
from skerry.storage import read_file, write_file

KEPT_NAME = "dispute.json"


class OtherDispute(JobError):
    """A dispute about the same receipt, but with other words, is under way."""

    code = "job.dispute"

    def __init__(self, folder: Path, lie: str) -> None:
        super().__init__(
            f"a dispute about this receipt with the lie {lie} is under way in {folder}",
            next_step="leave out all options but --honest to go on with it, or delete the folder",
        )


class Kept(msgspec.Struct):
    """What one dispute keeps.

    Attributes:
        lie: STEP:NODE:ELEMENT of the liar.
        url: where the chain answers.
        own: whether the chain is this dispute's alone.
        salt: what hides the opening.
        chain: the chain's number.
        key: the challenger's sealed key file; empty where a key is made for this dispute alone.
        published: whether the solver publishes its roots before it is doubted.
        began: the chain's second when the job was made; 0 before.
        before: free and locked money of each account before the dispute; empty until then.
        held: what the vault held then.
    """

    lie: str
    url: str
    own: bool
    salt: bytes
    chain: int
    key: str = ""
    published: bool = False
    began: int = 0
    before: dict[str, tuple[int, int]] = {}
    held: int = 0


def kept_in(folder: Path) -> Kept | None:
    """Return what a dispute kept in `folder`, or None where none was begun there."""
    path = folder / KEPT_NAME
    if not path.is_file():
        return None
    return msgspec.json.decode(read_file(path), type=Kept)


def begin(
    folder: Path,
    lie: str,
    url: str,
    *,
    own: bool,
    chain: int,
    key: str = "",
    published: bool = False,
) -> Kept:
    """Begin a dispute in `folder`."""
    kept = Kept(lie, url, own, os.urandom(32), chain, key, published)
    keep(folder, kept)
    return kept


def keep(folder: Path, kept: Kept) -> None:
    """Write down what a dispute keeps."""
    write_file(folder / KEPT_NAME, msgspec.json.encode(kept), mode=0o600)
