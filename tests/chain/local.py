"""A real node for tests: the same blocks each time, and a clock that only a test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skerry.chain.deploy import Manifest, deploy, money
from skerry.chain.keyfiles import ChainKey
from skerry.chain.outbox import Outbox, Sent
from skerry.chain.rpc import Rpc, hexed
from skerry.settle.books import Limits
from tests.contracts.evm import COURT, key

CHAIN = 31337
COINS = 10**24
TO = b"\x42" * 20
LIMITS = Limits(unbonding=1_000, phase_min=60, window_max=10_000, lease_max=100_000)


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def chain_key(number: int) -> ChainKey:
    """Return the chain key of a party."""
    return ChainKey(key(number).to_bytes())


def outbox(rpc: Rpc, number: int, folder: Path, **terms: Any) -> Outbox:
    """Return the outbox of a party that has coins."""
    owner = chain_key(number)
    rpc.ask("anvil_setBalance", hexed(owner.address), hexed(COINS))
    clock = terms.pop("clock", HandClock())
    return Outbox(folder / f"{number}.outbox", rpc, owner, clock, chain=CHAIN, **terms)


def placed(rpc: Rpc, folder: Path) -> Manifest:
    """Deploy token, vault and market, with party 15 for a court."""
    sender = outbox(rpc, 14, folder)
    made = deploy(sender, money(LIMITS, court=COURT), mine=lambda: None)
    sender.close()
    return made


def mine(rpc: Rpc, blocks: int = 1) -> None:
    for _ in range(blocks):
        rpc.ask("evm_mine")


def until_mined(box: Outbox, *keys: str) -> list[Sent]:
    """Look after an outbox until some moves are mined: a node answers before it has mined."""
    for _ in range(2_000):
        box.look_after()
        found = [it for it in map(box.find, keys) if it is not None and it.state != "sent"]
        if len(found) == len(keys):
            return found
    raise AssertionError(f"{keys} are not mined")


def balance(rpc: Rpc, who: bytes = TO) -> int:
    return rpc.number("eth_getBalance", hexed(who), "latest")
