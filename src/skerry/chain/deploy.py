"""Put the contracts on a chain, and later make sure that they are the same ones.

What    `deploy` sends each contract of a plan; `Manifest` says where each one is and what code it
        has; `connect` checks a node against a manifest before anything is sent through it.
Why     The contracts have no owner and know each other by address from the start, so the addresses
        are computed before the first is there. A node could be on another chain, or lie.
Rule    A contract's address follows from the deployer and its nonce. The manifest pins the chain's
        number and the hash of every contract's code as it is on the chain.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from eth_utils.crypto import keccak

from skerry.chain.abi import contract
from skerry.chain.errors import (
    ChainDiffers,
    ClockSkew,
    ContractDiffers,
    DeployerUsed,
    ManifestUnreadable,
)
from skerry.chain.outbox import Outbox
from skerry.chain.rpc import Rpc, hexed, unhexed
from skerry.settle.books import Limits

SKEW_SECONDS = 120
Addresses: TypeAlias = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """One contract of a plan, and what it is made with, given every address of the plan."""

    name: str
    arguments: Callable[[Addresses], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Placed:
    """One contract on the chain."""

    address: bytes
    code_hash: bytes
    sources: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where the contracts are.

    Attributes:
        chain: number of the chain.
        block: the block after which they were all there.
        contracts: each one by name.
    """

    chain: int
    block: int
    contracts: Mapping[str, Placed]

    def at(self, name: str) -> bytes:
        """Return the address of a contract."""
        return self.contracts[name].address

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        contracts = {
            name: {
                "address": hexed(it.address),
                "code_hash": hexed(it.code_hash),
                "sources": it.sources,
            }
            for name, it in self.contracts.items()
        }
        body = {"chain": self.chain, "block": self.block, "contracts": contracts}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(body, indent=1) + "\n")
        os.replace(part, path)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Return the manifest in a file.

        Raises:
            ManifestUnreadable: there is none.
        """
        try:
            return cls.parse(path.read_bytes(), path)
        except OSError as error:
            raise ManifestUnreadable(path, str(error) or repr(error)) from None

    @classmethod
    def parse(cls, text: bytes, path: Path = Path("manifest")) -> Manifest:
        """Return the manifest that a file's bytes say.

        Raises:
            ManifestUnreadable: they say none.
        """
        try:
            body = json.loads(text)
            placed = {
                name: Placed(unhexed(it["address"]), unhexed(it["code_hash"]), str(it["sources"]))
                for name, it in body["contracts"].items()
            }
            return cls(int(body["chain"]), int(body["block"]), placed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestUnreadable(path, str(error) or repr(error)) from None


def made_address(deployer: bytes, nonce: int) -> bytes:
    """Return the address of what `deployer` makes in its transaction number `nonce`."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    last = number if 0 < nonce < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + deployer + last
    return keccak(bytes([0xC0 + len(body)]) + body)[12:]


def money(limits: Limits, *, token: bytes | None = None, court: bytes | None = None) -> list[Step]:
    """Return the steps for the money: a token of ours unless one is named, and what stands on it.

    Args:
        limits: what holds for good.
        token: the token to use; None makes one that anyone may mint.
        court: address of the court; None takes the step named "court" of the same plan.
    """
    steps = [] if token else [Step("token", lambda at: ())]
    bounds = (limits.phase_min, limits.window_max, limits.lease_max)

    def vault(at: Addresses) -> Sequence[Any]:
        return (token or at["token"], at["market"], court or at["court"], limits.unbonding)

    def market(at: Addresses) -> Sequence[Any]:
        return (at["vault"], court or at["court"], at["evidence"], *bounds)

    plan = [
        Step("vault", vault),
        Step("market", market),
        Step("evidence", lambda at: ()),
        Step("registry", lambda at: (at["vault"], at["market"])),
    ]
    return [*steps, *plan]


def deploy(outbox: Outbox, steps: Sequence[Step], *, mine: Callable[[], None]) -> Manifest:
    """Deploy a plan and return its manifest; called again after a crash, it goes on.

    Args:
        outbox: a sender that has sent nothing but this plan.
        steps: the contracts in order.
        mine: wait until the chain may have another block.
    """
    at = {step.name: made_address(outbox.address, nonce) for nonce, step in enumerate(steps)}
    for nonce, step in enumerate(steps):
        code = contract(step.name).creation(*step.arguments(at))
        sent = outbox.send(f"deploy {step.name}", None, code, move=f"the {step.name}'s deployment")
        if sent.nonce != nonce:
            raise DeployerUsed(hexed(outbox.address), sent.nonce - nonce)
        while sent.state == "sent":
            mine()
            outbox.look_after()
            found = outbox.find(sent.key)
            assert found is not None
            sent = outbox.check(found)
    placed = {
        step.name: Placed(
            at[step.name], keccak(outbox.rpc.code(at[step.name])), contract(step.name).sources
        )
        for step in steps
    }
    return Manifest(outbox.chain, outbox.rpc.number("eth_blockNumber"), placed)


def recognise(rpc: Rpc, manifest: Manifest, names: Iterable[str]) -> None:
    """Make sure that a node is on the manifest's chain and has some of its contracts.

    Raises:
        ChainUnreachable: nobody answers.
        ChainDiffers: it is another chain.
        ContractDiffers: a contract is not there, or is another one.
    """
    found = rpc.chain_id()
    if found != manifest.chain:
        raise ChainDiffers(rpc.url, found, manifest.chain)
    for name in names:
        placed = manifest.contracts[name]
        code = rpc.code(placed.address)
        if keccak(code) != placed.code_hash:
            raise ContractDiffers(name, hexed(placed.address), keccak(code) if code else b"")


def clock_skew(rpc: Rpc, now: int) -> ClockSkew | None:
    """Return that this machine's clock is too far from the chain's to keep a deadline, if it is."""
    head = rpc.block()
    assert head is not None, "a chain has a latest block"
    there = int(head["timestamp"], 16)
    return ClockSkew(now, there) if abs(now - there) > SKEW_SECONDS else None


def connect(rpc: Rpc, manifest: Manifest, *, now: int | None = None) -> None:
    """Make sure that a node is on the manifest's chain and has its contracts.

    Args:
        rpc: the node.
        manifest: what to expect.
        now: this machine's time in seconds, to be held against the chain's; None skips that.

    Raises:
        ChainUnreachable: nobody answers.
        ChainDiffers: it is another chain.
        ContractDiffers: a contract is not there, or is another one.
        ClockSkew: the clocks are too far apart to keep a deadline.
    """
    recognise(rpc, manifest, manifest.contracts)
    skew = clock_skew(rpc, now) if now is not None else None
    if skew is not None:
        raise skew
