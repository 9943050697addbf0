"""Whether contracts that somebody names are the ones that this package was built with.

What    `check_origin` holds the code on the chain against the package's own artifacts.
Why     A manifest comes from a stranger. Its hashes say only that the code is the one it names, and
        money that went to other code is gone.
Rule    A contract's code is its artifact's, then the words that it was made with, among which are
        the addresses of the contracts that it trusts: those must be the manifest's too.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from skerry.base.errors import ChainError
from skerry.chain.abi import contract
from skerry.chain.courthouse import MONEY, court_contracts, made_with
from skerry.chain.deploy import Manifest
from skerry.chain.rpc import Rpc, hexed

WORD = 32


class ContractForeign(ChainError):
    """A contract that a manifest names was not built from this package's sources."""

    code = "chain.foreign"

    def __init__(self, name: str, address: bytes, why: str) -> None:
        self.name = name
        super().__init__(
            f"the {name} at {hexed(address)} is not the one of this version of skerry: {why}",
            next_step="put no money into it; ask where the manifest came from, or let both run the"
            " same version of skerry",
        )


@cache
def _runtime_bytes(name: str) -> int:
    text = (files("skerry.chain") / "artifacts" / f"{name}.json").read_text()
    artifact: dict[str, Any] = json.loads(text)
    return int(artifact["runtime_bytes"])


def check_origin(rpc: Rpc, manifest: Manifest) -> None:
    """Make sure that every contract of a court is there and is this package's own.

    Raises:
        ContractForeign: one is missing, is other code, or trusts another contract.
        ChainUnreachable: nobody answers.
    """
    for name in (*MONEY, *court_contracts()):
        placed = manifest.contracts.get(name)
        if placed is None:
            raise ContractForeign(name, bytes(20), "the manifest does not name it")
        length, code = _runtime_bytes(name), rpc.code(placed.address)
        body, words = code[:length], code[length:]
        if len(body) < length or body not in contract(name).bytecode:
            raise ContractForeign(name, placed.address, "its code is another" if code else "empty")
        there = {words[at : at + WORD] for at in range(0, len(words), WORD)}
        for other in made_with(name):
            if other not in manifest.contracts:
                continue
            if manifest.at(other).rjust(WORD, b"\0") not in there:
                raise ContractForeign(name, placed.address, f"it trusts another {other}")
