"""Nodes as processes with a chain: in its market without a hand, and out of it with clear words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.chain.anvil import Anvil
from skerry.chain.localnet import MANIFEST_NAME, found_court
from skerry.chain.rpc import Rpc
from skerry.messages.market import MarketOffer
from skerry.messages.membership import invite_text, read_invite
from skerry.node.clocks import RealClock
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.local_network import LocalNetwork, LocalNode
from skerry.node.market.board import FolderBoard
from skerry.node.market.statements import earnings_of
from skerry.storage import make_folder, write_file
from tests.node.daemon.test_processes import skerry, until

pytestmark = pytest.mark.slow

Heard = asyncio.Queue[tuple[str, str]]
Case = Callable[[LocalNetwork, Heard], Awaitable[None]]


OTHER = b"\x11" * 20
SHY = "dial_only = true\n[limits]\nshare = 2\n[market]\nfaucet = true\n"


def with_market(
    root: Path,
    nodes: int,
    case: Case,
    swap: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Play a case with a network of processes whose chain has contracts; end all of it.

    `swap` names contracts whose place others take in the manifest that nodes are told; `settings`
    are what an owner wrote, by the node's name.
    """

    async def play(chain: Anvil, manifest: Path) -> None:
        heard: Heard = asyncio.Queue()
        network = LocalNetwork(
            root,
            nodes,
            chain=chain.url,
            manifest=manifest,
            told=lambda name, words: heard.put_nowait((name, words)),
        )
        await network.start()
        try:
            await case(network, heard)
        finally:
            await network.stop()

    for name, text in (settings or {}).items():
        make_folder(root / name)
        write_file(NodeHome(root / name).settings, text.encode())
    make_folder(root / "chain")
    with Anvil() as chain:
        rpc = Rpc(chain.url)
        manifest = found_court(root / "chain", rpc, RealClock())
        rpc.close()
        told = {name: manifest.contracts[it] for name, it in (swap or {}).items()}
        path = root / "chain" / "told.json"
        replace(manifest, contracts={**manifest.contracts, **told}).write(path)
        asyncio.run(play(chain, path))


def offers(home: Path) -> set[tuple[str, int]]:
    """Return who offers what on a node's board."""
    heard = FolderBoard(home / "market" / "board").hear()
    return {(it.node.hex(), it.role) for it in heard if isinstance(it, MarketOffer)}


async def until_offers(home: Path, count: int) -> None:
    """Wait until a node's board holds so many offers."""
    async with asyncio.timeout(30):
        while len(await asyncio.to_thread(offers, home)) < count:
            (home / "market").stat()


def log(home: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in NodeHome(home).log.read_text().splitlines()]
    return [it for it in lines if it["type"] == kind]


def entered(*names: str) -> list[tuple[str, str]]:
    return [(name, "market in the market as") for name in names]


def test_nodes_enter_the_market_and_hear_each_other_s_offers(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: Heard) -> None:
        await until(heard, *entered("node-1", "node-2"))
        homes = [network.root / it.name for it in network.nodes]
        for home in homes:
            await until_offers(home, 6)
        account = await asyncio.to_thread(earnings_of, homes[0])
        assert (account.free, account.locked, account.deposited) == (1_000_000, 0, 1_000_000)
        assert account.adds_up
        assert (account.address.hex(), 0) in offers(homes[1])
        seen = json.loads(await asyncio.to_thread(skerry, "nodes", str(network.root), "--json"))
        paid = {it["announcement"]["chain_address"] for it in seen["nodes"]}
        assert len(paid) == 3, "two nodes, and the seed that has none"
        words = ("doctor", "--network", str(network.root), "--home", str(homes[0]), "--json")
        examined = json.loads(await asyncio.to_thread(skerry, *words))
        fine = {it["what"]: it["fine"] for it in examined["network"]}
        assert fine["contracts"]
        assert fine["stake"]

    with_market(tmp_path / "net", 2, case)


def test_offers_of_a_node_that_only_dials_out_reach_the_others(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: Heard) -> None:
        await until(heard, *entered("node-1", "node-2"))
        shy, other = (network.root / it.name for it in network.nodes)
        assert not network.nodes[0].address, "nobody can call it"
        await until_offers(shy, 6)
        await until_offers(other, 6)
        assert offers(shy) == offers(other)

    with_market(tmp_path / "net", 2, case, settings={"node-1": SHY})


def test_a_desk_that_is_killed_comes_back_with_its_offers(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: Heard) -> None:
        await until(heard, *entered("node-1"))
        home = network.root / "node-1"
        await until_offers(home, 3)
        before = offers(home)
        daemon = network.nodes[0].pid
        await asyncio.to_thread(kill_desk, daemon)
        os.kill(daemon, signal.SIGKILL)
        await until(heard, ("node-1", "was killed by signal 9"))
        await network.launch(network.nodes[0])
        await until(heard, *entered("node-1"))
        assert offers(home) == before
        account = await asyncio.to_thread(earnings_of, home)
        assert account.deposited == 1_000_000, "what was paid in is not paid in again"

    with_market(tmp_path / "net", 1, case)


def kill_desk(daemon: int) -> None:
    """Kill the desk that a daemon has started."""
    children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
    for pid in children:
        if b"market.desk" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
            return
    raise AssertionError("it has no desk")


def test_a_network_whose_seeds_are_gone_is_found_by_the_chain(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: Heard) -> None:
        await until(heard, *entered("node-1", "node-2"))
        os.kill(network.seed.pid, signal.SIGKILL)
        await until(heard, ("seed", "was killed by signal 9"))
        late = LocalNode("node-3")
        network.nodes.append(late)
        await network.launch(late)
        words = [it async for it in heard_of(heard, "node-3", "market in the market as")]
        assert any("the chain's registry names 2 nodes" in it for it in words)
        seen = json.loads(await asyncio.to_thread(skerry, "nodes", network.invite, "--json"))
        there = {it["announcement"]["signer"] for it in seen["nodes"]}
        assert {it.key for it in network.nodes} <= there

    with_market(tmp_path / "net", 2, case)


async def heard_of(heard: Heard, name: str, last: str) -> AsyncIterator[str]:
    """Yield what a node tells until it has told the last of it."""
    async with asyncio.timeout(60):
        words = ""
        while not words.startswith(last):
            who, words = await heard.get()
            if who == name:
                yield words


def test_a_node_outlives_its_chain_and_takes_no_other_for_it(tmp_path: Path) -> None:
    root, state = tmp_path / "net", tmp_path / "state.json"
    make_folder(root / "chain")
    chain = Anvil(state=state)
    port = int(chain.url.rpartition(":")[2])
    rpc = Rpc(chain.url)
    found_court(root / "chain", rpc, RealClock())
    running = [chain]

    def another(*flags: str, state: Path | None = None) -> None:
        running.pop().close()
        running.append(Anvil(port=port, flags=flags, state=state))

    async def play() -> None:
        heard: Heard = asyncio.Queue()
        network = LocalNetwork(
            root, 1, chain=chain.url, manifest=root / "chain" / MANIFEST_NAME,
            told=lambda name, words: heard.put_nowait((name, words)),
        )  # fmt: skip
        await network.start()
        try:
            await until(heard, *entered("node-1"))
            running[0].close()
            await until(heard, ("node-1", "market no chain answers"))
            running[0] = Anvil(port=port, flags=("--chain-id", "999"))
            await until(heard, ("node-1", f"market {chain.url} is chain 999, and the contracts"))
            another()
            await until(heard, ("node-1", "market the market should be at"))
            another(state=state)
            await until(heard, ("node-1", "market goes on"))
            account = await asyncio.to_thread(earnings_of, root / "node-1")
            assert (account.free, account.deposited) == (1_000_000, 1_000_000)
            rpc.ask("evm_increaseTime", 3600)
            rpc.ask("evm_mine")
            await until(heard, ("node-1", "market this machine's clock says"))
        finally:
            await network.stop()

    try:
        asyncio.run(play())
    finally:
        rpc.close()
        running[0].close()


def test_up_says_that_its_chain_ended(tmp_path: Path) -> None:
    words = ["up", "--nodes", "1", "--folder", str(tmp_path / "net"), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skerry", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        started = json.loads(process.stdout.readline())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        nodes = {str(it["pid"]) for it in started["nodes"].values()}
        (anvil,) = set(children) - nodes
        os.kill(int(anvil), signal.SIGKILL)
        said: dict[str, str] = {}
        while said.get("node") != "chain":
            said = json.loads(process.stdout.readline())
        assert said["event"].startswith("was killed by signal 9; end this with Ctrl-C")
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        assert process.wait(60) == 0


def test_an_invite_that_names_another_market_gets_no_money(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: Heard) -> None:
        await until(heard, *entered("node-1"))
        wrong = invite_text(msgspec.structs.replace(read_invite(network.invite), registry=OTHER))
        job = ["run", "jobs/digits.toml", "--network", wrong, "--json"]
        job += ["--set", f"output_dir={tmp_path / 'run'}"]
        for words, code in (
            (("doctor", "--network", wrong, "--home", str(tmp_path / "a"), "--json"), 6),
            (job, 7),
        ):
            told = await asyncio.to_thread(skerry, *words, code=code)
            assert "chain.registry" in told
            assert "ask whoever gave you the invite" in told
        late = LocalNode("late")
        network.nodes.append(late)
        network.invite = wrong
        await network.launch(late)
        await until(heard, ("late", "market the invite names the registry 0x1111"))
        (event,) = log(network.root / "late", "market")
        assert "put no money into it" in event["next"]

    with_market(tmp_path / "net", 1, case)


def test_contracts_that_are_not_ours_get_no_money(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: Heard) -> None:
        await until(heard, ("node-1", "market the vault at"))
        home = network.root / "node-1"
        (told,) = log(home, "market")
        assert "is not the one of this version" in told["reason"]
        assert "put no money into it" in told["next"]
        assert not (home / "market" / "board").exists() or offers(home) == set()

    with_market(tmp_path / "net", 1, case, {"vault": "token"})
