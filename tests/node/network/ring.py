"""Nodes of one process that share no folder: receptions, gateways and workers; links in memory."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Call
from skerry.messages.wire import decode_as
from skerry.node.events import RoundFinished, RunEvent
from skerry.node.keys import load_key
from skerry.node.life import RunJob, RunResult
from skerry.node.network.gathering import gather_kept
from skerry.node.network.reception import Reception
from skerry.node.network.roads import Roads
from skerry.node.network.staff import Identity
from skerry.node.network.submitter import (
    FIRST,
    NetworkTerms,
    Turn,
    kept_assignment,
    submit_job,
)
from skerry.node.processes import Death
from skerry.node.worker import work
from skerry.storage import RunFolder, cut_rounds
from skerry.transport import Link, LinkLost, LinkRefused, MemoryTransport, TcpTransport
from skerry.transport.memory import MemoryLink


@dataclass
class Workers:
    """One worker of a job in this process, started again when its link is lost."""

    folder: Path
    data: Path | None
    ended: Callable[[int, Death], None]
    _task: asyncio.Task[None] | None = None

    async def start(self, address: str, secret: bytes) -> None:
        self._task = asyncio.ensure_future(self._work(address, secret))

    async def _work(self, address: str, secret: bytes) -> None:
        transport = TcpTransport(secret)
        try:
            while True:
                link = await transport.connect(address)
                with contextlib.suppress(LinkLost):
                    await work(link, self.folder, self.data, "torch", 0)
        finally:
            await transport.close()

    async def dismiss(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@dataclass
class NodeTransport:
    """The links of one node, which can all be lost at once."""

    shared: MemoryTransport
    links: list[Link] = field(default_factory=list)
    dead: bool = False

    async def listen(self, accept: Callable[[Link], object]) -> str:
        async def kept(link: Link) -> None:
            if self.dead:
                await link.close()
                return
            self.links.append(link)
            await accept(link)  # type: ignore[misc]

        return await self.shared.listen(kept)

    async def connect(self, address: str) -> Link:
        if self.dead:
            raise LinkRefused(address, "its caller is dead")
        link = await self.shared.connect(address)
        self.links.append(link)
        return link

    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        for link in self.links:
            assert isinstance(link, MemoryLink)
            link.cut("its node is dead")
        self.links.clear()


@dataclass
class Node:
    """A node and its folder."""

    folder: Path
    shared: MemoryTransport
    reception: Reception | None = None
    transport: NodeTransport | None = None
    address: NodeAddress | None = None
    said: list[str] = field(default_factory=list)

    async def start(self) -> NodeAddress:
        self.folder.mkdir(exist_ok=True)
        key, by = load_key(self.folder / "node.key")
        self.transport = NodeTransport(self.shared)
        me = Identity(key, by, self.folder / "node.key")
        reception = Reception(self.folder, me, Roads(self.transport), Workers, self.said.append)
        self.reception = reception

        async def accept(link: Link) -> None:
            await reception.answer(link, decode_as(Call, await link.receive()))

        self.address = NodeAddress(key, await self.transport.listen(accept))
        reception.resume()
        return self.address

    async def die(self, *, disk: bool = False) -> None:
        """End all tasks and links; lose the folder too if `disk`."""
        assert self.reception is not None
        assert self.transport is not None
        self.transport.dead = True
        self.transport.cut()
        await self.reception.close()
        if disk:
            shutil.rmtree(self.folder, ignore_errors=True)  # a worker may still write


@dataclass
class Ring:
    """A job over nodes in `root`, of which some are `absent`; `on_event` may kill others."""

    root: Path
    job: RunJob
    count: int = 3
    observers: int = 0
    holders: int = 1
    hold_rounds: int = 3
    absent: tuple[int, ...] = ()
    turn: Turn = FIRST
    leased: tuple[int, ...] = ()  # indices of the nodes that run lanes; at first the first `count`
    again: Callable[[Ring], None] | None = None
    on_event: Callable[[Ring, RunEvent], None] = lambda ring, event: None
    nodes: list[Node] = field(default_factory=list)
    events: list[RunEvent] = field(default_factory=list)
    doing: list[asyncio.Future[None]] = field(default_factory=list)

    def run(self, *, lose_submitter_at: int | None = None) -> RunResult:
        """Run to the end; lose and replace the submitter after that round."""
        return asyncio.run(self._run(lose_submitter_at))

    @property
    def rounds(self) -> list[int]:
        """The rounds that the submitter was told of."""
        return [event.round for event in self.events if isinstance(event, RoundFinished)]

    def go_back(self, kept: int, *leased: int) -> None:
        """Let the job go back: the first `kept` rounds stay, and these nodes are leased."""
        former = {node.address.key for node in self.nodes if node.address is not None}
        self.turn = Turn((*self.turn.kept, kept), tuple(sorted(former)))
        self.leased = leased

    def kill(self, index: int, *, disk: bool = False) -> None:
        """Kill a node soon."""
        self.doing.append(asyncio.ensure_future(self.nodes[index].die(disk=disk)))

    def cut_links(self, index: int) -> None:
        """Cut every link of a node, which may call again at once."""
        transport = self.nodes[index].transport
        assert transport is not None
        transport.cut()

    def cut_off(self, index: int, *, off: bool) -> None:
        """Cut a living node off from all others, or let it back."""
        transport = self.nodes[index].transport
        assert transport is not None
        transport.dead = off
        if off:
            transport.cut()

    async def _run(self, lose_at: int | None) -> RunResult:
        shared = MemoryTransport()
        every = range(self.count + self.observers)
        self.nodes = [Node(self.root / f"node-{at}", shared) for at in every]
        addresses = [await node.start() for node in self.nodes]
        for index in self.absent:
            await self.nodes[index].die()
        try:
            async with asyncio.timeout(90):
                if lose_at is not None:
                    await self._submit_and_vanish(shared, addresses, lose_at)
                result = await self._submit(shared, addresses)
                if self.again is not None:
                    result = await self._do_again(shared, addresses, result)
                for node in self.nodes[self.count :]:  # the last rounds may still be on the way
                    assert node.reception is not None
                    await asyncio.gather(*node.reception._living.values())
                return result
        finally:
            await asyncio.gather(*self.doing)
            for node in self.nodes:
                await node.die()
            await shared.close()

    async def _submit(self, shared: MemoryTransport, addresses: list[NodeAddress]) -> RunResult:
        transport = NodeTransport(shared)

        async def listen(answer: Callable[[Link, Call], object]) -> str:
            async def accept(link: Link) -> None:
                await answer(link, decode_as(Call, await link.receive()))  # type: ignore[misc]

            return await transport.listen(accept)

        try:
            return await submit_job(
                self.job,
                RunFolder(self.root / "submitter"),
                None,
                NetworkTerms(
                    [addresses[at] for at in self.leased or range(self.count)],
                    addresses[self.count :],
                    holders=self.holders,
                    hold_rounds=self.hold_rounds,
                    turn=self.turn,
                ),
                listen,
                Roads(transport),
                self._told,
            )
        finally:
            transport.cut()

    async def _do_again(
        self, shared: MemoryTransport, addresses: list[NodeAddress], result: RunResult
    ) -> RunResult:
        """Let the job go back as `again` says, and run it to its end once more."""
        assert self.again is not None
        while self.again is not None:
            again, self.again = self.again, None
            again(self)
            kept, folder = self.turn.kept[-1], RunFolder(self.root / "submitter")
            before = kept_assignment(folder, self.job)
            assert before is not None
            await gather_kept(folder, before, Roads(NodeTransport(shared)), kept)
            cut_rounds(self.root / "submitter", kept)
            for name in ("closed", "assignment"):
                (self.root / "submitter" / name).unlink()
            self.events.clear()
            result = await self._submit(shared, addresses)
        return result

    async def _submit_and_vanish(
        self, shared: MemoryTransport, addresses: list[NodeAddress], at: int
    ) -> None:
        submitting = asyncio.ensure_future(self._submit(shared, addresses))
        far = asyncio.Event()
        before = self.on_event

        def told(ring: Ring, event: RunEvent) -> None:
            before(ring, event)
            if isinstance(event, RoundFinished) and event.round >= at:
                far.set()

        self.on_event = told
        await far.wait()
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        self.on_event = before

    def _told(self, event: RunEvent) -> None:
        self.events.append(event)
        self.on_event(self, event)
