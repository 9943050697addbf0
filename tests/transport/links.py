"""The kinds of transport that tests put to the same questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from skerry.transport import Link, MemoryTransport, Pace, TcpTransport, Transport
from skerry.transport.iroh_transport import IrohTransport

SECRET = bytes(range(32))
LISTENER_SEED, CALLER_SEED = b"l" * 32, b"c" * 32
QUICK = Pace(beat_seconds=0.02, silence_seconds=0.5, connect_seconds=0.5, hang_seconds=0.5)
# A handshake with keys takes longer than 0.5 s where a machine is busy.
IROH_QUICK = Pace(beat_seconds=0.02, silence_seconds=0.5, connect_seconds=5.0, hang_seconds=0.5)

Ends = Callable[[], tuple[Transport, Transport]]


def tcp() -> tuple[Transport, Transport]:
    both = TcpTransport(SECRET, pace=QUICK)
    return both, both


def memory() -> tuple[Transport, Transport]:
    both = MemoryTransport()
    return both, both


def iroh() -> tuple[Transport, Transport]:
    listener = IrohTransport(LISTENER_SEED, pace=IROH_QUICK)
    return listener, IrohTransport(CALLER_SEED, pace=IROH_QUICK)


@asynccontextmanager
async def linked(listener: Transport, caller: Transport) -> AsyncIterator[tuple[Link, Link]]:
    """Yield the caller's and the listener's end of one link; the listener admits the caller."""
    arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    async def accept(link: Link) -> None:
        link.admit()
        arrived.set_result(link)

    here = await caller.connect(await listener.listen(accept))
    try:
        yield here, await arrived
    finally:
        await caller.close()
        await listener.close()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await body()

    asyncio.run(within())
