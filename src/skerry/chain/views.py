"""What a contract says, asked without a transaction."""

from __future__ import annotations

from typing import Any

from skerry.chain.abi import contract
from skerry.chain.deploy import Manifest
from skerry.chain.rpc import Rpc


def view(
    rpc: Rpc, manifest: Manifest, name: str, function: str, *arguments: Any
) -> tuple[Any, ...]:
    """Return what a function of one of the manifest's contracts gives back.

    Raises:
        ChainUnreachable: nobody answers.
        ChainRefused: the node refuses the call.
    """
    asked = contract(name)
    return asked.result(function, rpc.call(manifest.at(name), asked.call(function, *arguments)))


def tokens_of(rpc: Rpc, manifest: Manifest, who: bytes) -> int:
    """Return how many of the vault's tokens an address holds itself."""
    (held,) = view(rpc, manifest, "token", "balanceOf", who)
    return int(held)
