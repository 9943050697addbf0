"""What has arrived on a link and nobody has taken yet: bounded, in order, and honest at its end.

What    A link's reader puts frames in and waits while there are too many; `take` gives them out.
Why     A peer that sends faster than we work must wait and must not fill our memory; a `take`
        that is cancelled must lose nothing; what came before the end must still come out.
Rule    For one event loop; nothing here is safe between threads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import final

from skerry.transport.port import LinkLost

WAITING_FRAMES_MAX = 64
WAITING_BYTES_MAX = 1 << 26


@final
class Inbox:
    """The frames of one link between arrival and use."""

    def __init__(
        self,
        peer: str,
        *,
        frames_max: int = WAITING_FRAMES_MAX,
        bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self._peer = peer
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._lost = ""
        self._full = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def lost(self) -> str:
        """Why the link ended; empty while it lives."""
        return self._lost

    @property
    def full(self) -> bool:
        """Whether the reader waits for us: then silence is our doing, not the peer's."""
        return self._full

    def widen(self, bytes_max: int) -> None:
        """Let that many bytes wait from now on."""
        self._bytes_max = bytes_max
        self._taken.set()

    def _has_room(self, size: int) -> bool:
        if not self._frames:
            return True  # one frame fits, however long it is
        return len(self._frames) < self._frames_max and self._bytes + size <= self._bytes_max

    async def put(self, frame: bytes) -> None:
        """Add a frame once there is room for it."""
        while not self._has_room(len(frame)):
            self._full = True
            self._taken.clear()
            await self._taken.wait()
        self._full = False
        self._frames.append(frame)
        self._bytes += len(frame)
        self._arrived.set()

    async def take(self) -> bytes:
        """Return the oldest frame.

        Raises:
            LinkLost: the link has ended and every frame is out.
        """
        while not self._frames:
            if self._lost:
                raise LinkLost(self._peer, self._lost)
            self._arrived.clear()
            await self._arrived.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        self._taken.set()
        return frame

    def end(self, reason: str) -> None:
        """Say that nothing more will come; the first reason stays."""
        self._lost = self._lost or reason
        self._arrived.set()
