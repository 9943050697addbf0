"""The command `up`: a whole network on this machine, and its live table."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from rich.live import Live
from rich.table import Table

from skerry.base.ids import nickname
from skerry.chain.anvil import Anvil
from skerry.chain.localnet import MANIFEST_NAME, beating, found_court
from skerry.chain.rpc import Rpc
from skerry.cli import console
from skerry.node.clocks import RealClock
from skerry.node.daemon.local_network import LocalNetwork, LocalNode
from skerry.storage.files import make_folder

_COLUMNS = ("process", "pid", "node", "state", "address", "last")


def up_command(nodes: int, folder: Path, *, with_chain: bool, as_json: bool) -> None:
    """Start a network, show it, and end all of it on Ctrl-C."""
    root = folder.expanduser().absolute()
    with local_chain(root, wanted=with_chain) as (chain, manifest):
        network = LocalNetwork(root, nodes, chain=chain.url if chain else "", manifest=manifest)
        asyncio.run(_stay(network, chain, as_json=as_json))


@contextlib.contextmanager
def local_chain(root: Path, *, wanted: bool) -> Iterator[tuple[Anvil | None, Path | None]]:
    """Yield a chain that is kept in the network's folder, and its contracts' manifest.

    Yields None twice where no chain is wanted.
    """
    if not wanted:
        yield None, None
        return
    folder = root / "chain"
    make_folder(folder)
    chain = Anvil(state=folder / "state.json")
    try:
        rpc = Rpc(chain.url)
        found_court(folder, rpc, RealClock())
        rpc.close()
        with beating(chain.url, folder / "state.json"):
            yield chain, folder / MANIFEST_NAME
    finally:
        chain.close()


async def _tell_of_chain(network: LocalNetwork, chain: Anvil) -> None:
    """Say it when the chain ends before the network does; it is not started again."""
    while True:
        await asyncio.sleep(1.0)
        if chain.ended:
            break
    step = "end this with Ctrl-C and run the same command again: it goes on"
    network.ended = f"the chain {chain.ended}; {step}"
    network.told("chain", f"{chain.ended}; {step}")


async def _stay(network: LocalNetwork, chain: Anvil | None, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    watching: asyncio.Task[None] | None = None
    starting = asyncio.ensure_future(network.start())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        starting.result()
        if chain is not None:
            watching = asyncio.ensure_future(_tell_of_chain(network, chain))
        await _show(network, stop, as_json=as_json)
    finally:
        if watching is not None:
            watching.cancel()
        stopping.cancel()
        await network.stop()


async def _show(network: LocalNetwork, stop: asyncio.Event, *, as_json: bool) -> None:
    """Show the network until it is asked to stop."""
    if as_json:
        network.told = lambda name, words: console.show_json({"node": name, "event": words})
        console.show_json(
            {
                "invite": network.invite,
                "folder": network.root,
                "chain": network.chain,
                "nodes": {it.name: {"pid": it.pid, "key": it.key} for it in network.all},
            }
        )
        await stop.wait()
        return
    console.show_rows(
        [
            ("network", str(network.root), network.chain or "without a chain"),
            ("invite", network.invite, ""),
            ("next", f"skerry run JOB.toml --network {network.root}", "in another terminal"),
        ]
    )
    if not console.out.is_terminal:
        network.told = lambda name, words: console.out.print(f"{name} {words}", markup=False)
        console.out.print(_table(network))
        await stop.wait()
        return
    with Live(_table(network), console=console.out, auto_refresh=False) as live:
        while not stop.is_set():
            live.update(_table(network), refresh=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)


def _table(network: LocalNetwork) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for node in network.all:
        table.add_row(*_row(node))
    if network.ended:
        table.caption = network.ended
    return table


def _row(node: LocalNode) -> tuple[str, ...]:
    name = nickname(bytes.fromhex(node.key)) if node.key else ""
    where = node.address.partition("@")[2].partition(",")[0]
    return node.name, str(node.pid), name, node.state, where, node.said[:60]
