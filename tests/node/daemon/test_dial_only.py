"""Nodes that take no calls run lanes like any others, also where they cannot reach each other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry.base.ids import nickname
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.local_network import LocalNetwork
from skerry.node.events import LaneFinished, RunEvent
from skerry.node.network.networks import run_on_network
from skerry.storage import make_folder, write_file
from tests.node.daemon.test_processes import until
from tests.node.small import local_job
from tests.node.within import Within

SHY = "dial_only = true\n[limits]\nshare = 3\n"


@pytest.mark.slow
def test_two_nodes_that_only_dial_work_with_one_that_listens(tmp_path: Path) -> None:
    job = local_job(rounds=300, lanes=3)  # a worker may be ten seconds late on a busy machine
    alone = Within(job, tmp_path / "alone", workers=1).run()
    ran: set[str] = set()

    def watch(event: RunEvent) -> None:
        if isinstance(event, LaneFinished):
            ran.add(event.worker.rpartition(".")[0])

    async def play() -> bytes:
        heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        network = LocalNetwork(
            tmp_path / "net", 3, told=lambda name, words: heard.put_nowait((name, words))
        )
        for node in network.nodes[1:]:
            home = NodeHome(network.root / node.name)
            make_folder(home.root)
            write_file(home.settings, SHY.encode())
        await network.start()
        try:
            await until(heard, ("seed", "appeared node-2"), ("seed", "appeared node-3"))
            result = await asyncio.to_thread(
                run_on_network, job, tmp_path / "run", None, str(network.root), watch=watch
            )
            assert ran == {nickname(bytes.fromhex(it.key)) for it in network.nodes}
        finally:
            await network.stop()
        return result.root

    assert asyncio.run(play()).hex() == alone.root
