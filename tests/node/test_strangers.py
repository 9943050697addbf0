"""A worker among strangers that breaks a run's rules again and again, and what it can spoil."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.messages.rounds import LaneDone, Trouble
from skerry.messages.wire import decode, encode
from skerry.node.events import WorkerDown, WorkerUp
from skerry.storage import BlobMissing
from skerry.transport.memory import MemoryLink
from tests.node.small import local_job
from tests.node.within import Within


@dataclass
class Breaking:
    """The link of a worker that answers otherwise than it should."""

    link: MemoryLink
    how: str
    said: LaneDone | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)

    async def send(self, frame: bytes) -> None:
        message = decode(frame)
        if isinstance(message, LaneDone):
            self.said = self.said or message
            frame = encode(self._instead(message))
        await self.link.send(frame)

    def _instead(self, done: LaneDone) -> LaneDone | Trouble:
        if self.how == "turns receipts round":
            return msgspec.structs.replace(done, receipts=done.receipts[::-1])
        if self.how == "lacks what it needs":
            return Trouble(done.round, "lane", done.lane, BlobMissing.code, "it is not there")
        return Trouble(done.round, "lane", done.lane, "job.numbers", "they are not finite")


async def brought(key: bytes, blob: bytes) -> None:
    """Bring nothing: one folder holds everything here."""


@pytest.mark.parametrize("how", ["turns receipts round", "gives up", "lacks what it needs"])
def test_one_stranger_cannot_end_a_run_nor_hold_it_up(how: str, tmp_path: Path) -> None:
    job = local_job(rounds=12)
    undisturbed = Within(job, tmp_path / "calm", workers=1).run().root

    def through(slot: int, link: MemoryLink) -> Any:
        return Breaking(link, how) if slot == 0 else link

    run = Within(job, tmp_path / "run", workers=3, bring=brought, through=through).run()
    assert run.end is not None
    assert run.end.kind == "finished"
    assert run.root == undisturbed
    ups = [it for it in run.events if isinstance(it, WorkerUp)]
    downs = [it for it in run.events if isinstance(it, WorkerDown)]
    assert len({it.worker for it in ups}) == 3, "who broke the rules is not let in again"
    assert len(downs) <= 1
