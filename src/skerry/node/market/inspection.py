"""Whether a node could enter a market, asked without sending anything.

What    `look_at_contracts` holds the contracts of a manifest against this package's own;
        `look_at_money` says what an address has for gas and stake.
Why     A node says one thing that stands in its way; whoever repairs it wants all of them at once.
Rule    Each returns words, or raises what a node would raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skerry.chain.deploy import Manifest, connect
from skerry.chain.errors import ContractDiffers, FundsShort
from skerry.chain.origin import check_origin
from skerry.chain.rpc import Rpc, hexed
from skerry.chain.views import tokens_of, view
from skerry.node.clocks import wall_seconds
from skerry.node.keys import read_seed
from skerry.node.market.desk import KEY_NAME, chain_key


@contextmanager
def _asked(url: str) -> Iterator[Rpc]:
    rpc = Rpc(url)
    try:
        yield rpc
    finally:
        rpc.close()


def look_at_contracts(url: str, manifest: bytes, registry: bytes | None) -> str:
    """Return that a manifest's contracts are on the chain, this package's own, and on time.

    Raises:
        ChainError: they are not, or the chain cannot be asked.
    """
    found = Manifest.parse(manifest)
    with _asked(url) as rpc:
        connect(rpc, found, now=wall_seconds())
        check_origin(rpc, found)
    if registry is not None and found.at("registry") != registry:
        raise ContractDiffers("registry", hexed(registry), found.at("registry"))
    return f"{len(found.contracts)} on chain {found.chain}, all of this version"


def look_at_money(url: str, manifest: bytes, folder: Path, deposit: int) -> str:
    """Return what the node of a market folder has for gas and stake.

    Raises:
        FundsShort: it has no coins for gas, or less than its deposit.
        ChainError: the chain cannot be asked.
    """
    found = Manifest.parse(manifest)
    if not (folder / KEY_NAME).exists():
        return "no key yet; it is made when the node first enters"
    who = chain_key(read_seed(folder / KEY_NAME)).address
    with _asked(url) as rpc:
        coins = rpc.number("eth_getBalance", hexed(who), "latest")
        free, locked, _ = view(rpc, found, "vault", "account", who)
        held = tokens_of(rpc, found, who)
    if not coins:
        raise FundsShort(hexed(who), needed=10**15, held=0, of="coins for gas")
    if free + locked + held < deposit:
        raise FundsShort(hexed(who), needed=deposit, held=free + locked + held, of="tokens")
    return f"{hexed(who)}: {free:,} free and {locked:,} locked in the vault, {held:,} in hand"
