"""The owner's line: how many bytes a second a node sends and takes in.

What    `Bucket` says how long to wait before so many bytes; `PacedTransport` makes every link of a
        transport keep to one bucket each way.
Why     A node that fills the owner's line is switched off by the owner.
Rule    A token bucket: `burst` bytes at once, `rate` a second after that. What comes in is slowed
        by reading later, which the transport turns into pressure on the sender. Heartbeats are not
        held back, so a slow line is not a dead one.
Units   Bytes, seconds of a monotonic clock.
"""

from __future__ import annotations

import asyncio
from typing import final

from skerry.base.clock import Clock
from skerry.transport import Link, Transport
from skerry.transport.around import LinkAround
from skerry.transport.port import Accept


class Bucket:
    """Tokens for bytes; may go into debt, which the next one waits for."""

    def __init__(self, rate: float, burst: float) -> None:
        assert rate > 0, "a bucket without a rate never fills"
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, count: int, now: float) -> float:
        """Take tokens for `count` bytes; return the seconds to wait before they may go."""
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        self._tokens -= count
        return max(0.0, -self._tokens / self.rate)


@final
class PacedLink(LinkAround):
    """A link that waits for its buckets; see `port.Link`."""

    def __init__(self, link: Link, up: Bucket | None, down: Bucket | None, clock: Clock) -> None:
        super().__init__(link)
        self._up = up
        self._down = down
        self._clock = clock
        self._taken = 0

    async def send(self, frame: bytes) -> None:
        """Send one frame when the owner's line has room for it."""
        await self._wait(self._up, len(frame))
        await super().send(frame)

    async def receive(self) -> bytes:
        """Return the next frame, and read the one after it no sooner than the line has room."""
        if self._taken:  # before the next one is read, so that a cancelled call loses nothing
            await self._wait(self._down, self._taken)
            self._taken = 0
        frame = await super().receive()
        self._taken = len(frame)
        return frame

    async def _wait(self, bucket: Bucket | None, count: int) -> None:
        if bucket is not None and (seconds := bucket.take(count, self._clock.now())) > 0:
            await asyncio.sleep(seconds)


@final
class PacedTransport:
    """A transport whose links share the owner's line; see `port.Transport`.

    Args:
        inner: what moves the frames.
        up: bytes a second that go out; None sets no limit.
        down: bytes a second that come in; None sets no limit.
        clock: monotonic seconds.
    """

    def __init__(
        self, inner: Transport, up: float | None, down: float | None, clock: Clock
    ) -> None:
        self._inner = inner
        self._up = Bucket(up, up) if up else None
        self._down = Bucket(down, down) if down else None
        self._clock = clock

    def _paced(self, link: Link) -> Link:
        return PacedLink(link, self._up, self._down, self._clock)

    async def listen(self, accept: Accept) -> str:
        """Await links."""
        return await self._inner.listen(lambda link: accept(self._paced(link)))

    async def connect(self, address: str) -> Link:
        """Return a link to who listens at `address`."""
        return self._paced(await self._inner.connect(address))

    async def close(self) -> None:
        """Stop listening and end every link."""
        await self._inner.close()
