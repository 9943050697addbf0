"""Nodes as real processes: found, killed, missed, started again, and all gone at the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from skerry.messages.membership import Invite, invite_text
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.local_network import LocalNetwork
from skerry.node.daemon.looking import NETWORK_NAME, NodeSight, find_invite, look, stranger

pytestmark = pytest.mark.slow
SECONDS = 60.0


def skerry(*words: str, code: int = 0) -> str:
    """Run the command line; return what it printed on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "skerry", *words], capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(heard: asyncio.Queue[tuple[str, str]], *due: tuple[str, str]) -> None:
    """Wait until each of these was told: a node's name, and words that begin so."""
    left = set(due)
    async with asyncio.timeout(SECONDS):
        while left:
            name, words = await heard.get()
            left -= {(who, what) for who, what in left if who == name and words.startswith(what)}


def with_network(
    root: Path,
    nodes: int,
    case: Callable[[LocalNetwork, asyncio.Queue[tuple[str, str]]], Awaitable[None]],
) -> LocalNetwork:
    """Play a case with a network of processes; end all of them."""

    async def play() -> LocalNetwork:
        heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        network = LocalNetwork(
            root, nodes, told=lambda name, words: heard.put_nowait((name, words))
        )
        await network.start()
        try:
            await case(network, heard)
        finally:
            await network.stop()
        return network

    return asyncio.run(play())


async def seen(network: LocalNetwork) -> dict[str, NodeSight]:
    """Return what a stranger sees, by the names of the folders."""
    transport = stranger()
    try:
        sights = await look(transport, find_invite(str(network.root)))
    finally:
        await transport.close()
    names = {it.key: it.name for it in network.all}
    return {names[it.announcement.signer.hex()]: it for it in sights}


def test_a_killed_node_is_missed_and_comes_back_as_itself(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: asyncio.Queue[tuple[str, str]]) -> None:
        others = [(it.name, "appeared node-2") for it in (network.seed, network.nodes[0])]
        await until(heard, *others)
        assert set(await seen(network)) == {"seed", "node-1", "node-2"}
        node = network.nodes[1]
        os.kill(node.pid, signal.SIGKILL)
        await until(heard, ("node-2", "was killed by signal 9"))
        await until(heard, ("seed", "lost node-2"), ("node-1", "lost node-2"))
        sights = await seen(network)
        assert sights["node-2"].trouble
        assert sights["node-1"].trouble == ""
        assert NodeHome(network.root / "node-2").presence() is None
        before = node.key
        await network.launch(node)
        await until(heard, ("seed", "returned node-2"), ("node-1", "returned node-2"))
        assert node.key == before
        assert (await seen(network))["node-2"].trouble == ""

    network = with_network(tmp_path / "net", 2, case)
    assert not any(alive(it.pid) for it in network.all)
    assert not (tmp_path / "net" / NETWORK_NAME).exists()


def test_the_network_goes_on_when_its_seed_is_killed(tmp_path: Path) -> None:
    async def case(network: LocalNetwork, heard: asyncio.Queue[tuple[str, str]]) -> None:
        first, second = network.nodes
        await until(heard, (first.name, "appeared node-2"))
        os.kill(network.seed.pid, signal.SIGKILL)
        await until(heard, ("node-1", "lost seed"), ("node-2", "lost seed"))
        os.kill(first.pid, signal.SIGKILL)
        await until(heard, ("node-2", "lost node-1"))
        await network.launch(first)  # it knows the way without its seed
        await until(heard, ("node-2", "returned node-1"))
        assert second.state == "up"

    with_network(tmp_path / "net", 2, case)


def test_up_shows_a_network_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    words = ["up", "--nodes", "1", "--no-chain", "--folder", str(tmp_path / "net"), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "skerry", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    started: dict[str, Any] = json.loads(process.stdout.readline())
    pids = [it["pid"] for it in started["nodes"].values()]
    assert len(pids) == 2
    found = json.loads(skerry("nodes", started["invite"], "--json"))
    assert len(found["nodes"]) == 2
    assert "2 nodes known, 2 answer" in skerry("nodes", str(tmp_path / "net"))
    examined = json.loads(skerry("doctor", "--network", str(tmp_path / "net"), "--json"))
    assert {it["what"]: it["fine"] for it in examined["network"]}["clock"]
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    process.stdout.close()
    assert process.wait(SECONDS) == 0
    assert not any(alive(pid) for pid in pids)


def test_what_keeps_a_node_from_starting_is_one_error_with_a_code(tmp_path: Path) -> None:
    def refused(home: str, *words: str) -> dict[str, str]:
        told = skerry("join", "--home", str(tmp_path / home), "--json", *words, code=6)
        error: dict[str, str] = json.loads(told.splitlines()[-1])["error"]
        assert error["next"]
        return error

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refused("a", "--listen", f"127.0.0.1:{port}")
    assert error["code"] == "node.bind"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "memory.sqlite").write_text("torn" * 999)
    assert refused("b")["code"] == "node.memory"
    (tmp_path / "b" / "node.toml").write_text("rolls = 1")
    assert refused("b")["code"] == "node.settings"
    seed = f"{bytes(32).hex()}@127.0.0.1:{port}"
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "node.toml").write_text(f'seeds = ["{seed}"]')
    assert refused("c")["code"] == "node.seeds"
    findings = json.loads(skerry("doctor", "--home", str(tmp_path / "b"), "--json", code=6))
    wrong = {it["what"]: it["code"] for it in findings["network"] if not it["fine"]}
    assert wrong == {"settings": "node.settings", "memory": "node.memory", "port": "node.settings"}


def test_a_key_moves_to_another_folder(tmp_path: Path) -> None:
    NodeHome(tmp_path / "one").key()
    backup = tmp_path / "backup"
    backup.write_text(skerry("key", "export", "--home", str(tmp_path / "one")))
    skerry("key", "import", str(backup), "--home", str(tmp_path / "two"))
    shown = [skerry("key", "show", "--home", str(tmp_path / it), "--json") for it in ("one", "two")]
    assert shown[0] == shown[1]
    skerry("key", "import", str(backup), "--home", str(tmp_path / "two"), code=6)


def test_an_invite_that_was_mistyped_is_refused_before_anything_starts(tmp_path: Path) -> None:
    wrong = invite_text(Invite(seeds=("127.0.0.1:1",))) + "a"
    told = skerry("join", wrong, "--home", str(tmp_path / "a"), "--json", code=5)
    assert json.loads(told)["error"]["code"] == "peer.invite"
    assert not (tmp_path / "a").exists()
    told = skerry("nodes", str(tmp_path / "nothing"), "--json", code=6)
    assert json.loads(told)["error"]["code"] == "node.network.unknown"
