"""Contracts and money on a chain of one's own, so that a whole network is there at once.

What    `found_court` deploys the contracts in a chain's folder, or finds them there; `give` hands
        an address coins for gas, and tokens.
Why     Who tries Skerry on one machine should not have to get money first.
Rule    Coins come from the development account that anvil unlocks, and tokens from a contract that
        lets anyone mint: worth nothing, and possible nowhere else. On any other chain it refuses.
Units   Wei for coins; seconds for times, which suit one machine and are far too short for many.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from skerry.base.clock import Clock
from skerry.base.errors import ChainError
from skerry.chain.abi import contract
from skerry.chain.anvil import CHAIN, keep_whole
from skerry.chain.courthouse import CourtTerms, court_steps
from skerry.chain.deploy import Manifest, connect, deploy
from skerry.chain.errors import ChainRefused, ContractDiffers, ManifestUnreadable
from skerry.chain.keyfiles import ChainKey
from skerry.chain.outbox import Outbox
from skerry.chain.rpc import Rpc, hexed
from skerry.chain.views import tokens_of
from skerry.settle.books import Limits

COINS = 10**19
COINS_LEAST = 10**18
LIMITS = Limits(unbonding=60, phase_min=2, window_max=7 * 86_400, lease_max=30 * 86_400)
COURT = CourtTerms(bond=30_001, grace=20)
MANIFEST_NAME, OUTBOX_NAME = "manifest.json", "deployer.outbox"
BEAT_SECONDS = 5.0
COPY_BEATS = 6
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class FaucetAbsent(ChainError):
    """Somebody asked for free money on a chain where money is real."""

    code = "chain.faucet"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url} is not a local development chain, so nobody gives money away there",
            next_step="send coins and tokens to the address, then run the command again",
        )


def is_local(rpc: Rpc) -> bool:
    """Return whether a chain is one that `skerry up` starts: anvil, on this machine."""
    host = urlsplit(rpc.url).hostname
    return host in _LOOPBACK and rpc.chain_id() == CHAIN


def found_court(folder: Path, rpc: Rpc, clock: Clock) -> Manifest:
    """Return the contracts of a local network; deploy them where the chain has none.

    Args:
        folder: where the manifest and the deployer's outbox are kept.
        rpc: the chain's node.
        clock: monotonic seconds, for the outbox's patience.

    Raises:
        FaucetAbsent: the chain is not a local one.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = Manifest.read(path)
        connect(rpc, manifest)
    except (ManifestUnreadable, ContractDiffers):
        pass  # none yet, or a new chain in the place of the old one
    else:
        return manifest
    for old in folder.glob(f"{OUTBOX_NAME}*"):
        old.unlink()
    key = ChainKey(os.urandom(32))  # it owns nothing afterwards: the contracts have no owner
    _send_coins(rpc, key.address)
    outbox = Outbox(folder / OUTBOX_NAME, rpc, key, clock, chain=rpc.chain_id())
    try:
        manifest = deploy(outbox, court_steps(LIMITS, COURT), mine=lambda: None)
    finally:
        outbox.close()
    manifest.write(path)
    return manifest


@contextlib.contextmanager
def beating(url: str, state: Path | None = None, seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Let a local chain have a block every few seconds, as every other chain has.

    Now and then a copy of its `state` is kept, so that a kill costs little of what happened.

    Anvil makes blocks of transactions only, and a chain without a new block looks like one whose
    clock stands still.
    """
    stop = Event()

    def beat() -> None:
        rpc, turn = Rpc(url), 0
        while not stop.wait(seconds):
            with contextlib.suppress(ChainError):
                rpc.ask("evm_mine")
            if state is not None and turn % COPY_BEATS == 0:
                keep_whole(state)
            turn += 1
        rpc.close()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def give(rpc: Rpc, manifest: Manifest, who: bytes, tokens: int) -> None:
    """Give an address coins for gas, if it has few, and tokens up to an amount.

    Raises:
        FaucetAbsent: the chain is not a local one.
    """
    if rpc.number("eth_getBalance", hexed(who), "latest") < COINS_LEAST:
        _send_coins(rpc, who)
    token, at = contract("token"), manifest.at("token")
    held = tokens_of(rpc, manifest, who)
    if held < tokens:
        _send(rpc, {"to": hexed(at), "data": hexed(token.call("mint", who, tokens - held))})


def _send_coins(rpc: Rpc, who: bytes) -> None:
    _send(rpc, {"to": hexed(who), "value": hexed(COINS)})


def _send(rpc: Rpc, fields: dict[str, str]) -> None:
    """Send from the development account, which anvil mines at once."""
    if not is_local(rpc):
        raise FaucetAbsent(rpc.url)
    accounts = rpc.ask("eth_accounts")
    if not accounts:
        raise FaucetAbsent(rpc.url)
    try:
        rpc.ask("eth_sendTransaction", {"from": accounts[0], **fields})
    except ChainRefused:
        raise FaucetAbsent(rpc.url) from None
