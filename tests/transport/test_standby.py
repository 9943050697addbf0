"""A node that only dials is reached over links that it opened before."""

from __future__ import annotations

import asyncio

import pytest

from skerry.transport import Link, LinkLost, LinkRefused, NodeAddress
from skerry.transport.iroh_transport import IrohTransport
from skerry.transport.standby import WAITING_EACH_MAX, StandbyRefused, StandbyTransport
from tests.transport.links import CALLER_SEED, IROH_QUICK, LISTENER_SEED, run


class Pair:
    """A node that listens, and one that only dials it; what waits, waits at the first."""

    def __init__(self) -> None:
        self.here = StandbyTransport(IrohTransport(LISTENER_SEED, pace=IROH_QUICK), 1.0)
        self.shy = IrohTransport(CALLER_SEED, pace=IROH_QUICK)
        self.ends: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.waits = asyncio.Semaphore(0)
        self.address = ""

    async def open(self) -> None:
        async def accept(link: Link) -> None:
            waiting = asyncio.ensure_future(self.here.wait_here(link))
            asyncio.get_running_loop().call_soon(self.waits.release)
            outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
            await link.close()
            self.ends.put_nowait(outcome)

        self.address = await self.here.listen(accept)

    async def wait_there(self) -> Link:
        """Let one link of the node that only dials wait."""
        link = await self.shy.connect(self.address)
        await self.waits.acquire()
        return link

    async def reach(self) -> Link:
        return await self.here.connect(str(NodeAddress(self.shy.key)))

    async def close(self) -> None:
        await self.shy.close()
        await self.here.close()


def test_who_waits_is_reached_and_knows_who_called() -> None:
    async def body() -> None:
        pair = Pair()
        await pair.open()
        far = await pair.wait_there()
        near = await pair.reach()
        assert near.peer_key == pair.shy.key
        big = bytes(3 << 20)
        await near.send(b"come")
        assert await far.receive() == b"come"
        await far.send(big)  # a stranger could not; who was called may
        assert await near.receive() == big
        await near.close()
        assert await pair.ends.get() is None
        with pytest.raises(LinkLost):
            await far.receive()
        await pair.close()

    run(body)


def test_a_link_is_used_once_and_the_next_is_awaited() -> None:
    async def body() -> None:
        pair = Pair()
        await pair.open()
        await pair.wait_there()
        first = await pair.reach()
        second = asyncio.ensure_future(pair.reach())
        again = await pair.wait_there()
        taken = await second
        await taken.send(b"you")
        assert await again.receive() == b"you"
        with pytest.raises(LinkRefused, match="none of its links waits"):
            await pair.reach()
        await first.close()
        await taken.close()
        await pair.close()

    run(body)


def test_who_was_never_here_is_refused_at_once() -> None:
    async def body() -> None:
        pair = Pair()
        await pair.open()
        with pytest.raises(LinkRefused, match="only dials out"):
            await pair.reach()
        await pair.close()

    run(body)


def test_a_link_that_is_lost_or_speaks_waits_no_longer() -> None:
    async def body() -> None:
        pair = Pair()
        await pair.open()
        gone = await pair.wait_there()
        await gone.close()
        assert isinstance(await pair.ends.get(), LinkLost)
        loud = await pair.wait_there()
        await loud.send(b"hello")
        assert isinstance(await pair.ends.get(), LinkLost)
        with pytest.raises(LinkRefused):
            await pair.reach()
        await pair.close()

    run(body)


def test_no_more_than_a_few_links_of_one_node_wait() -> None:
    async def body() -> None:
        pair = Pair()
        await pair.open()
        for _ in range(WAITING_EACH_MAX):
            await pair.wait_there()
        await pair.wait_there()
        assert isinstance(await pair.ends.get(), StandbyRefused)
        await (await pair.reach()).close()
        await pair.close()

    run(body)
