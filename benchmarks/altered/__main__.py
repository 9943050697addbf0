"""`python -m benchmarks.altered WAY join ...`: the command line of skerry, altered.

Why     A daemon starts its worker and its desk by name; here those names lead to altered ones.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextvars import ContextVar
from typing import Any

import msgspec

from benchmarks.altered.ways import WAY_VARIABLE, way
from skerry.base.digests import digest
from skerry.cli import main
from skerry.messages.boards import BoardNews
from skerry.messages.leased import COMMITTED_BYTES_MAX, Closed, Committed, Follow
from skerry.messages.market import MarketMessage, MarketWord
from skerry.messages.signing import sign
from skerry.messages.wire import decode, encode
from skerry.node.daemon.switchboard import Caller
from skerry.node.market.carriage import Carriage
from skerry.node.market.shelf import Shelf
from skerry.node.network.office import Office
from skerry.node.network.part import Part
from skerry.node.network.reception import Reception
from skerry.train.rounds import End, EndKind
from skerry.transport import Link

TOLD_TWICE = 2
PATIENCE_SECONDS = 600.0
ENDS: dict[str, EndKind] = {"false failure": "failed", "false finish": "finished"}
INSTEAD = {
    "skerry.node.worker": "benchmarks.altered.worker",
    "skerry.node.market.desk": "benchmarks.altered.desk",
}


def alter_children() -> None:
    """Let every worker and desk that this process starts be an altered one."""
    start = asyncio.create_subprocess_exec

    async def altered(*command: Any, **how: Any) -> asyncio.subprocess.Process:
        return await start(*(INSTEAD.get(word, word) for word in command), **how)

    asyncio.create_subprocess_exec = altered


def alter_life() -> None:
    """Let a node that bids and vanishes do so."""
    if way() != "bid and vanish":
        return
    lease = Reception._lease

    async def vanish(self: Reception, link: Link) -> None:
        await lease(self, link)
        os._exit(0)  # it has its lease and the job counts on it

    Reception._lease = vanish  # type: ignore[method-assign]


def alter_words() -> None:
    """Let half of those who ask hear one of two words about a round, and half the other."""
    if way() != "two records":
        return
    answer, after = Carriage.answer, Shelf.after
    callers: dict[bytes, int] = {}
    side = ContextVar("side", default=0)

    async def to_one_side(self: Carriage, caller: Caller) -> None:
        side.set(callers.setdefault(caller.key or b"", len(callers)) % 2)
        await answer(self, caller)

    def half(self: Shelf, life: bytes, place: int) -> BoardNews:
        news, hidden = after(self, life, place), other_words(self, side.get())
        told = tuple(it for it in news.told if it not in hidden)
        return msgspec.structs.replace(news, told=told)

    Carriage.answer, Shelf.after = to_one_side, half  # type: ignore[method-assign]


def alter_rounds() -> None:
    """Let half of those who follow this coordinator hear of other states after a round."""
    if way() != "two faces":
        return
    send, callers = Part._send_rounds, list[None]()

    async def two_faced(self: Part, link: Link, follow: Follow) -> None:
        told: Any = link
        if follow.live:
            callers.append(None)
            told = OtherLink(self, link) if len(callers) % 2 else link
        await send(self, told, follow)

    Part._send_rounds = two_faced  # type: ignore[method-assign]


def alter_end() -> None:
    """Let this coordinator say, after a few rounds, that the job is over."""
    if way() not in ENDS:
        return
    run = Office.run

    async def end(self: Office) -> Closed:
        running = asyncio.ensure_future(run(self))
        try:
            await self._replica.until(TOLD_TWICE + 1, PATIENCE_SECONDS)
        finally:
            running.cancel()
        said = self.say_over(End(ENDS[way()], "I had enough"), None)
        await self._replica.hear_end(said)
        await self.coordinator.farewell(said.kind)
        return said

    Office.run = end  # type: ignore[method-assign]


class OtherLink:
    """A link on which one round is told otherwise than it was."""

    def __init__(self, part: Part, link: Link) -> None:
        self.part, self.link = part, link

    async def send(self, frame: bytes) -> None:
        """Send a frame, or another one in its place."""
        said, me = decode(frame, bytes_max=COMMITTED_BYTES_MAX), self.part.me
        if isinstance(said, Committed) and said.record.signer == me.key:
            true = said.record
            if true.record.round == TOLD_TWICE:
                state = digest("another-state", true.record.state_after)
                false = msgspec.structs.replace(true.record, state_after=state)
                word = sign(msgspec.structs.replace(true, record=false), me.sign)
                frame = encode(msgspec.structs.replace(said, record=word))
        await self.link.send(frame)

    async def close(self) -> None:
        """Close the link."""
        await self.link.close()


def other_words(shelf: Shelf, side: int) -> list[MarketMessage]:
    """Return, of each two words about one round, that which one side does not hear."""
    words: dict[tuple[bytes, int, int], list[MarketMessage]] = {}
    for it in shelf.held:
        if it is not None and isinstance(it.message, MarketWord):
            place = it.message.job, it.message.epoch, it.message.round
            words.setdefault(place, []).append(it.message)
    return [two[1 - side] for two in words.values() if len(two) == 2]


if __name__ == "__main__":
    os.environ[WAY_VARIABLE] = sys.argv.pop(1)
    alter_children()
    alter_life()
    alter_words()
    alter_rounds()
    alter_end()
    main()
