"""The chain's registry: where nodes with money in the vault say that they can be called.

What    `listed(url, registry, chance)` returns addresses to call, those with the most money first.
        `pages_of` chooses which part of a long list is read.
Why     An invite outlives its seeds. Whoever has the chain finds the network again.
Rule    Anyone with money can add entries, so a long list is read in parts drawn by chance, and of
        what was read the richest come first: to hide a network costs more than to be in it. An
        address is a hint: its key is proved when it is called, and what it then says is signed.
Source  contracts/registry.vy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.exceptions import DecodingError

from skerry.base.chance import Chance
from skerry.chain.abi import contract
from skerry.chain.errors import ContractDiffers, MoveReverted
from skerry.chain.rpc import Rpc, hexed, unhexed

PAGE = 32
PAGES_MAX = 8
LISTED_MAX = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One node: its account, what that holds, and where it can be called."""

    who: bytes
    held: int
    endpoint: str


def pages_of(count: int, chance: Chance) -> list[int]:
    """Return where the parts of a list begin that are read: all, or so many drawn by chance."""
    starts = range(0, count, PAGE)
    if len(starts) <= PAGES_MAX:
        return list(starts)
    drawn = (starts[chance.fork("page", at).below(len(starts))] for at in range(PAGES_MAX))
    return sorted(set(drawn))


def richest(entries: Sequence[Entry]) -> list[str]:
    """Return the addresses of those with the most money first, without such as hold nothing."""
    good = [it for it in entries if it.held and it.endpoint]
    good.sort(key=lambda it: (-it.held, it.who))
    return list(dict.fromkeys(it.endpoint for it in good))[:LISTED_MAX]


def listed(url: str, registry: bytes, chance: Chance) -> list[str]:
    """Return addresses of nodes by the registry of a chain.

    Raises:
        ChainUnreachable: nobody answers.
        ContractDiffers: what is there is no registry.
    """
    words, rpc = contract("registry"), Rpc(url)

    def ask(function: str, *arguments: int) -> Any:
        try:
            data = rpc.call(registry, words.call(function, *arguments))
            (found,) = words.result(function, data)
        except (MoveReverted, DecodingError, ValueError):
            raise ContractDiffers("registry", hexed(registry), b"") from None
        return found

    try:
        rows = [row for at in pages_of(ask("count"), chance) for row in ask("page", at)]
    finally:
        rpc.close()
    return richest([Entry(unhexed(who), held, _text(said)) for who, held, said in rows])


def _text(said: bytes) -> str:
    """Return an address as it was announced; empty where it is none that could be called."""
    text = said.decode("ascii", "replace")
    return text if text.isprintable() and "\ufffd" not in text else ""
