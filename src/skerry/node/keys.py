"""Key files: one Ed25519 seed each, made silently, readable by their owner alone.

What    `load_key(path)` returns the public key and the signing function of a key file, which is
        made when there is none.
Why     A node needs an identity before anybody has thought about keys, and keeps it when restarted.
Rule    The file is 32 random bytes, mode 0600. A file that others may read is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from skerry.base.errors import NodeError
from skerry.messages.signing import Sign, signer
from skerry.storage import StorageError, read_file, write_file

SEED_BYTES = 32


class KeyUnsafe(NodeError):
    """A key file is damaged, or others can read it."""

    code = "node.key"

    def __init__(self, path: Path, why: str, next_step: str) -> None:
        self.path = path
        super().__init__(f"the key file {path} {why}", next_step=next_step)


def load_key(path: Path) -> tuple[bytes, Sign]:
    """Return the public key and the signing function kept in `path`; make them when absent.

    Raises:
        KeyUnsafe: the file is damaged or its mode is not 0600.
        StorageError: the disk refuses.
    """
    return signer(read_seed(path))


def read_seed(path: Path) -> bytes:
    """Return the secret kept in `path`; make it when absent.

    Raises:
        KeyUnsafe: the file is damaged or its mode is not 0600.
        StorageError: the disk refuses.
    """
    if not path.exists():
        write_file(path, os.urandom(SEED_BYTES), mode=0o600)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise StorageError(path, "reading", error) from error
    if mode & 0o077:
        raise KeyUnsafe(path, f"has mode {mode:o}", f"chmod 600 {path}")
    seed = read_file(path)
    if len(seed) != SEED_BYTES:
        raise KeyUnsafe(path, f"has {len(seed)} bytes", "delete it: a new key is made")
    return seed
