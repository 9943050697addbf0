"""A whole run within one process: the real coordinator and workers over links in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skerry.messages.rounds import Trouble
from skerry.node.clocks import RealClock
from skerry.node.coordinator import Bring, Coordinator
from skerry.node.events import RunEvent
from skerry.node.ledger import Ledger
from skerry.node.life import RunJob, keep_programs, parameter_count
from skerry.node.telling import Telling
from skerry.node.worker import work
from skerry.storage import RunFolder
from skerry.train.rounds import End
from skerry.transport import LinkLost, MemoryTransport
from skerry.transport.memory import MemoryLink


class NoProcesses:
    """A machine on which no worker is a process of its own."""

    def owns(self, pid: int) -> bool:
        return False

    def kill(self, pid: int) -> None:
        pass


@dataclass
class Within:
    """A run in `folder`; `on_event` may cut links or stop the run."""

    job: RunJob
    folder: Path
    workers: int = 2
    data: Path | None = None
    backend: str = "torch"
    on_event: Callable[[Within, RunEvent], None] = lambda run, event: None
    events: list[RunEvent] = field(default_factory=list)
    links: list[MemoryLink] = field(default_factory=list)
    end: End | None = None
    trouble: Trouble | None = None
    bring: Bring | None = None
    through: Callable[[int, MemoryLink], Any] = lambda slot, link: link
    start_worker: Callable[[int], None] = lambda slot: None
    _crew: list[asyncio.Future[None]] = field(default_factory=list)

    def run(self) -> Within:
        """Run until the end and return self."""
        asyncio.run(self._run())
        return self

    @property
    def root(self) -> str:
        """The root of the last saved state."""
        last = RunFolder(self.folder).last_checkpoint()
        return last.root.hex() if last else ""

    def cut(self, index: int) -> None:
        """Lose the link of a worker; another one joins."""
        self.links[index].cut("cut by the test")

    async def _run(self) -> None:
        folder = RunFolder(self.folder)
        folder.lock()
        ledger = Ledger(folder, self.job.config)
        start = ledger.pick_up()
        telling = Telling(
            self.job.config,
            parameter_count(self.job),
            self.workers,
            folder.log,
            self._told,
            RealClock(),
        )
        self.coordinator = Coordinator(
            self.job.config,
            keep_programs(self.job, folder),
            ledger,
            start,
            RealClock(),
            telling,
            NoProcesses(),
            self.bring,
        )
        self.telling = telling
        transport = MemoryTransport()
        address = await transport.listen(self.coordinator.serve)
        self.start_worker = lambda slot: self._crew.append(
            asyncio.ensure_future(self._worker(slot, transport, address))
        )
        for slot in range(self.workers):
            self.start_worker(slot)
        try:
            async with asyncio.timeout(60):
                self.end, self.trouble = await self.coordinator.run()
        finally:
            for worker in self._crew:
                worker.cancel()
            await asyncio.wait(self._crew)
            await transport.close()
            folder.unlock()

    def _told(self, event: RunEvent) -> None:
        self.events.append(event)
        self.on_event(self, event)

    async def _worker(self, slot: int, transport: MemoryTransport, address: str) -> None:
        while True:
            link = await transport.connect(address)
            self.links.append(link)
            with contextlib.suppress(LinkLost):
                await work(self.through(slot, link), self.folder, self.data, self.backend, slot)
