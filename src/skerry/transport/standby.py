"""Links to nodes that nobody can call: they call first, and the link waits until it is wanted.

What    `StandbyTransport.wait_here(link)` keeps a link that such a node opened; `connect` to an
        address without sockets takes one of them, as if it had been dialled.
Why     A node behind a router works like any other, without a relay of somebody else: whoever
        wants to call it speaks first on a link that it opened before.
Rule    A link is used once. Who waits may say nothing; who does, or is lost, waits no longer.
Limits  `WAITING_EACH_MAX` links of one key and `KEYS_MAX` keys. Two nodes that both only dial
        cannot reach each other: what one lacks must be had from a third.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from skerry.base.errors import PeerError
from skerry.transport.addresses import AddressMalformed, parse_address
from skerry.transport.around import LinkAround
from skerry.transport.port import Accept, Link, LinkLost, LinkRefused, Transport

WAITING_EACH_MAX = 4
KEYS_MAX = 256
PATIENCE_SECONDS = 3.0


class StandbyRefused(PeerError):
    """A link cannot wait here."""

    code = "peer.standby"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"no link may wait here: {reason}", next_step="let it wait at another node"
        )


@final
class TakenLink(LinkAround):
    """A link that waited, in the hands of who took it; see `port.Link`."""

    def __init__(self, link: Link, ended: Callable[[], None]) -> None:
        super().__init__(link)
        self._ended = ended

    async def close(self) -> None:
        """End the conversation."""
        try:
            await super().close()
        finally:
            self._ended()


@dataclass
class _Waiting:
    """A link that waits, and the read that notices when it is lost."""

    link: Link
    reading: asyncio.Future[bytes]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    taken: bool = False


@final
class StandbyTransport:
    """A transport that also reaches nodes which only dial out; see `port.Transport`.

    Args:
        inner: what dials and listens.
        patience_seconds: how long `connect` waits for the next link of a node that had one here.
    """

    def __init__(self, inner: Transport, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._inner = inner
        self._patience_seconds = patience_seconds
        self._waiting: dict[bytes, list[_Waiting]] = {}
        self._came: dict[bytes, asyncio.Event] = {}

    async def listen(self, accept: Accept) -> str:
        """Await links."""
        return await self._inner.listen(accept)

    async def connect(self, address: str) -> Link:
        """Return a link to who listens at `address`, or one that it opened where it has none."""
        try:
            wanted = parse_address(address)
        except AddressMalformed:
            return await self._inner.connect(address)  # an address of another kind, or none
        if wanted.sockets or wanted.key not in self._waiting:
            return await self._inner.connect(address)
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._take(wanted.key)
        except TimeoutError:
            reason = "that node only dials out, and none of its links waits here"
            raise LinkRefused(address, reason, next_step="wait for its call") from None

    async def _take(self, key: bytes) -> Link:
        while True:
            for it in self._waiting.get(key, []):
                if not it.taken and await self._stop_reading(it):
                    it.link.admit()
                    return TakenLink(it.link, it.ended.set)
            came = self._came.setdefault(key, asyncio.Event())
            await came.wait()

    @staticmethod
    async def _stop_reading(it: _Waiting) -> bool:
        """Take a link out of waiting; return whether it still lives and has said nothing."""
        it.taken = True
        it.reading.cancel()
        await asyncio.wait([it.reading])
        if it.reading.cancelled():
            return True
        it.ended.set()
        return False

    async def wait_here(self, link: Link) -> None:
        """Keep a link until it is lost, or until who took it has closed it.

        Raises:
            StandbyRefused: its key is not known, or there is no room.
            LinkLost: it was lost while it waited.
        """
        key = link.peer_key
        if key is None:
            raise StandbyRefused("its key is not known")
        if key not in self._waiting and len(self._waiting) >= KEYS_MAX:
            raise StandbyRefused("too many nodes wait")
        mine = self._waiting.setdefault(key, [])
        if sum(not it.taken for it in mine) >= WAITING_EACH_MAX:
            raise StandbyRefused("enough of its links wait")
        it = _Waiting(link, asyncio.ensure_future(link.receive()))
        mine.append(it)
        self._came.pop(key, asyncio.Event()).set()
        try:
            await asyncio.wait([it.reading])
            if it.taken:
                await it.ended.wait()
            else:
                it.taken = True
                it.reading.result()  # raises what lost it
                raise LinkLost(link.peer, "it spoke where it should wait")
        finally:
            it.reading.cancel()
            mine.remove(it)
            if not mine and self._waiting.get(key) is mine:
                del self._waiting[key]

    async def close(self) -> None:
        """Stop listening and end every link."""
        await self._inner.close()
