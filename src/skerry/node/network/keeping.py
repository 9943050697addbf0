"""Keeping: what one node copies so that a job outlives others: lanes' states, and updates.

What    `Keeping.begin` starts to copy what a committed round asks of this node, and says so to the
        coordinator when it is here.
Why     A lane whose node is gone goes on from the last copy of its own state.
Rule    Nothing waits for it: a copy that cannot be had is made again by replay when it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field

from skerry.base.errors import PeerError
from skerry.messages.leased import Committed, Holding
from skerry.messages.signing import Sign, sign
from skerry.node.network.pantry import Pantry
from skerry.node.network.replica import FolderPast
from skerry.node.network.roads import say
from skerry.storage import StorageError
from skerry.transport import Link


@dataclass
class Keeping:
    """What a node keeps of one job.

    Attributes:
        key: the node's key.
        sign: signs with it.
        job: the job.
        pantry: fetches blobs.
        past: the committed rounds.
        upward: the link to the coordinator, while there is one.
        tasks: the copies that are under way.
    """

    key: bytes
    sign: Sign
    job: bytes
    pantry: Pantry
    past: FolderPast
    upward: Link | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, said: Committed, *, updates: bool) -> None:
        """Start to copy the lanes' states that this node shall hold; and updates, if it shall."""
        if updates:
            self._start(self._copy_updates(said))
        lanes = [lane for lane, key in said.holders if key == self.key]
        if lanes:
            self._start(self._copy_states(said, lanes))

    async def bring_updates(self, rounds: range) -> None:
        """Fetch the updates without which these committed rounds would not count here."""
        for number in rounds:
            record = self.past.record(number)
            if record is not None:
                keepers = [key for key in self.past.keepers(number + 1, 0) if key != self.key]
                await self.pantry.bring([lane.update for lane in record.lanes], first=keepers)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(_try(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _copy_updates(self, said: Committed) -> None:
        names = [lane.update for lane in said.record.record.lanes]
        await self.pantry.bring(names, first=[said.record.signer])

    async def _copy_states(self, said: Committed, lanes: list[int]) -> None:
        record = said.record.record
        held = []
        for lane in lanes:
            name = record.lanes[lane].state
            keepers = self.past.keepers(record.round + 1, lane)
            if name is not None and not await self.pantry.bring([name], first=keepers):
                held.append(name)
        if held and self.upward is not None:
            blobs = tuple(dict.fromkeys(held))
            word = Holding(signer=self.key, job=self.job, round=record.round + 1, blobs=blobs)
            with contextlib.suppress(PeerError):
                await say(self.upward, sign(word, self.sign))


async def _try(work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(StorageError):  # whoever must have room will say that there is none
        await work
