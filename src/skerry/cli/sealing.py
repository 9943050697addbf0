"""The command `key new`, and how a passphrase is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from skerry.chain.errors import PassphraseAbsent
from skerry.chain.keyfiles import write_key
from skerry.chain.rpc import hexed
from skerry.cli import console

VARIABLE = "SKERRY_PASSPHRASE"
PRIVATE_BYTES = 32


def ask_passphrase(path: Path, *, twice: bool = False) -> str:
    """Return the passphrase of a key file, from the environment or from whoever sits here.

    Raises:
        PassphraseAbsent: there is neither.
    """
    if (given := os.environ.get(VARIABLE)) is not None:
        return given
    if not sys.stdin.isatty():
        raise PassphraseAbsent(path, VARIABLE)
    words = f"passphrase of {path}"
    return str(typer.prompt(words, hide_input=True, confirmation_prompt=twice, err=True))


def key_new_command(file: Path, *, as_json: bool) -> None:
    """Make a chain key and seal it in a file."""
    path = file.expanduser()
    private = os.urandom(PRIVATE_BYTES - 1).rjust(PRIVATE_BYTES, b"\1")
    key = write_key(path, private, ask_passphrase(path, twice=True))
    if as_json:
        console.show_json({"address": hexed(key.address), "file": path})
    else:
        console.show_rows([("address", hexed(key.address), ""), ("kept", str(path), "sealed")])
