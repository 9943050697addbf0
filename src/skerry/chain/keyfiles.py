"""Chain keys on a disk: encrypted, and readable by their owner alone.

What    `write_key`, `read_key` and `ChainKey`, which signs transactions and typed data.
Why     A key is worth its stake; it is decrypted once at the start and never written in plain.
Rule    Web3 Secret Storage files, mode 0600. A file that others can read is refused.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from skerry.chain.errors import KeyfileUnsafe, PassphraseWrong
from skerry.market.offers import NOBODY, TypedData

WORK = 1 << 18  # scrypt's n: two seconds on a desk machine, once per start


class ChainKey:
    """One account's key in memory."""

    def __init__(self, private: bytes) -> None:
        self._account: LocalAccount = Account.from_key(private)
        self.address = bytes.fromhex(self._account.address[2:])

    def sign_transaction(self, fields: dict[str, Any]) -> tuple[bytes, bytes]:
        """Return the bytes of a signed transaction, and its name."""
        signed = self._account.sign_transaction(fields)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def sign(self, message: TypedData) -> bytes:
        """Return the compact signature (EIP-2098) of typed data."""
        signed = self._account.sign_message(encode_typed_data(full_message=message))
        parity = signed.v - 27
        return signed.r.to_bytes(32, "big") + (signed.s | parity << 255).to_bytes(32, "big")


def signer_of(message: TypedData, signature: bytes) -> bytes:
    """Return whose key made a compact signature of typed data; NOBODY where none did."""
    r, vs = signature[:32], int.from_bytes(signature[32:], "big")
    s = (vs & ((1 << 255) - 1)).to_bytes(32, "big")
    whole = r + s + bytes([27 + (vs >> 255)])
    try:
        found = Account.recover_message(encode_typed_data(full_message=message), signature=whole)
    except (ValueError, BadSignature, ValidationError):
        return NOBODY
    return bytes.fromhex(found[2:])


def write_key(path: Path, private: bytes, passphrase: str, *, work: int = WORK) -> ChainKey:
    """Write a key that is not there yet, encrypted; return it.

    Raises:
        KeyfileUnsafe: there is a file already.
    """
    sealed = Account.encrypt(private, passphrase, kdf="scrypt", iterations=work)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        place = os.open(path, flags, 0o600)
    except FileExistsError:
        raise KeyfileUnsafe(path, "is there already") from None
    with os.fdopen(place, "w") as file:
        json.dump(sealed, file)
        file.flush()
        os.fsync(file.fileno())
    return ChainKey(private)


def read_key(path: Path, passphrase: str) -> ChainKey:
    """Return the key in a file.

    Raises:
        KeyfileUnsafe: the file is absent, damaged, or readable by others.
        PassphraseWrong: the passphrase does not open it.
    """
    try:
        mode = path.stat().st_mode
        sealed = json.loads(path.read_bytes())
    except OSError as error:
        raise KeyfileUnsafe(path, f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise KeyfileUnsafe(path, "is damaged") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyfileUnsafe(path, "can be read by others")
    try:
        return ChainKey(bytes(Account.decrypt(sealed, passphrase)))
    except ValueError:
        raise PassphraseWrong(path) from None
    except (KeyError, TypeError):
        raise KeyfileUnsafe(path, "is damaged") from None
