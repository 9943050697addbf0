"""Links within one process, for tests and simulations: same rules, no sockets.

What    `MemoryTransport` listens and connects by names within itself. It frames and counts as the
        real one does, and `cut` loses a link at a moment of the test's choosing.
Why     Tests of everything above the transport must not depend on sockets or timing.
"""

from __future__ import annotations

import asyncio
from typing import final

from skerry.transport.port import LENGTH_BYTES, Accept, LinkCounts, LinkLost, LinkRefused


@final
class MemoryLink:
    """One end of a pair of queues."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._counts = LinkCounts()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._other: MemoryLink | None = None
        self._lost = ""

    @classmethod
    def pair(cls, here: str, there: str) -> tuple[MemoryLink, MemoryLink]:
        """Return the two ends of a link between `here` and `there`."""
        left, right = cls(there), cls(here)
        left._other, right._other = right, left
        return left, right

    @property
    def peer(self) -> str:
        """A name for error messages."""
        return self._peer

    @property
    def peer_key(self) -> bytes | None:
        """None: nothing is proved within a process."""
        return None

    def admit(self) -> None:
        """Do nothing: frames of one process are not limited."""

    @property
    def counts(self) -> LinkCounts:
        """The bytes so far."""
        return self._counts

    async def send(self, frame: bytes) -> None:
        """Send one frame."""
        if self._lost or self._other is None or self._other._lost:
            raise LinkLost(self._peer, self._lost or "the other side closed")
        self._counts.sent += len(frame) + LENGTH_BYTES
        self._other._counts.received += len(frame) + LENGTH_BYTES
        self._other._frames.put_nowait(bytes(frame))
        await asyncio.sleep(0)  # let the reader run, as a socket would

    async def receive(self) -> bytes:
        """Return the next frame."""
        frame = None
        if not (self._lost and self._frames.empty()):
            frame = await self._frames.get()
        if frame is None:
            raise LinkLost(self._peer, self._lost)
        return frame

    async def close(self) -> None:
        """End the conversation."""
        self.cut("the other side closed")

    def cut(self, reason: str) -> None:
        """Lose the link at both ends, after the frames that are under way."""
        for end in (self, self._other):
            if end is not None and not end._lost:
                end._lost = reason
                end._frames.put_nowait(None)


@final
class MemoryTransport:
    """Connects tasks of one event loop."""

    def __init__(self) -> None:
        self._listeners: dict[str, Accept] = {}
        self._links: list[MemoryLink] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, accept: Accept) -> str:
        """Await links."""
        address = f"memory:{len(self._listeners)}"
        self._listeners[address] = accept
        return address

    async def connect(self, address: str) -> MemoryLink:
        """Return a link to who listens at `address`."""
        accept = self._listeners.get(address)
        if accept is None:
            raise LinkRefused(address, "nobody listens there")
        here, there = MemoryLink.pair(f"caller {len(self._links)}", address)
        self._links.append(here)
        task = asyncio.ensure_future(_run(accept, there))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return here

    async def close(self) -> None:
        """Stop listening and end every link."""
        self._listeners.clear()
        for link in self._links:
            link.cut("the other side closed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _run(accept: Accept, link: MemoryLink) -> None:
    await accept(link)
