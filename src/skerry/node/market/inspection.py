"""Whether a node could enter a market, asked without sending anything.

What    `look_at_contracts` holds the contracts of a manifest against this package's own;
        `look_at_money` says what an address has for gas and stake.
Why     A node says one thing that stands in its way; whoever repairs it wants all of them at once.
Rule    Each returns words, or raises what a node would raise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skerry.chain import events, outbox
from skerry.chain.deploy import Manifest, connect
from skerry.chain.errors import (
    ChainFileDamaged,
    FundsShort,
    ManifestUnreadable,
    RegistryDiffers,
)
from skerry.chain.origin import check_origin
from skerry.chain.rpc import Rpc, hexed
from skerry.chain.views import tokens_of, view
from skerry.node.clocks import wall_seconds
from skerry.node.keys import read_seed
from skerry.node.market.desk import (
    COURT_NAME,
    EVENTS_NAME,
    KEY_NAME,
    OUTBOX_NAME,
    chain_key,
)


@contextmanager
def _asked(url: str) -> Iterator[Rpc]:
    rpc = Rpc(url)
    try:
        yield rpc
    finally:
        rpc.close()


def registry_of(manifest: bytes) -> bytes:
    """Return the address of the registry that a manifest names; empty where it names none."""
    with suppress(ManifestUnreadable, KeyError):
        return Manifest.parse(manifest).at("registry")
    return b""


def check_registry(manifest: bytes, registry: bytes | None, next_step: str = "") -> None:
    """Make sure that a manifest names the registry that the invite named, if it named one.

    Raises:
        RegistryDiffers: it names another, or none.
    """
    found = registry_of(manifest)
    if registry is not None and found != registry:
        raise RegistryDiffers(registry, found, next_step)


def look_at_contracts(url: str, manifest: bytes, registry: bytes | None) -> str:
    """Return that a manifest's contracts are on the chain, this package's own, and on time.

    Raises:
        ChainError: they are not, or the chain cannot be asked.
    """
    found = Manifest.parse(manifest)
    with _asked(url) as rpc:
        connect(rpc, found, now=wall_seconds())
        check_origin(rpc, found)
    check_registry(manifest, registry)
    return f"{len(found.contracts)} on chain {found.chain}, all of this version"


def look_at_files(folder: Path) -> str:
    """Return that what a market folder remembers about the chain can be read.

    Raises:
        ChainFileDamaged: one of its databases is damaged.
    """
    advice = {OUTBOX_NAME: outbox.ADVICE, EVENTS_NAME: events.ADVICE, COURT_NAME: events.ADVICE}
    there = {folder / name: it for name, it in advice.items() if (folder / name).is_file()}
    used = [path.name for path, it in there.items() if not _sound(path, it)]
    if used:
        return f"in use by the node that runs: {', '.join(used)}"
    return f"{len(there)} databases, sound"


def _sound(path: Path, advice: str) -> bool:
    """Return whether a database is sound; False where another process keeps it."""
    base = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1)
    try:
        (found,) = base.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        base.close()
    if found != "ok":
        raise ChainFileDamaged(path, str(found), advice.format(path))
    return True


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
