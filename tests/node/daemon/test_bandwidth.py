"""The owner's line is never filled beyond what he set."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.node.clocks import RealClock
from skerry.node.daemon.bandwidth import Bucket, PacedTransport
from skerry.transport import Link, MemoryTransport


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 2)), min_size=1, max_size=40),
    st.integers(100, 2000),
)
def test_no_more_goes_out_than_the_rate_allows(frames: list[tuple[int, float]], rate: int) -> None:
    bucket, now, sent = Bucket(rate, rate), 0.0, 0
    for count, pause in frames:
        now += pause
        now += bucket.take(count, now)
        sent += count
        assert sent <= rate + rate * now + 1e-6


def test_frames_come_whole_and_in_order_through_a_narrow_line() -> None:
    async def play() -> tuple[list[bytes], float]:
        clock = RealClock()
        transport = PacedTransport(MemoryTransport(), 200_000.0, 200_000.0, clock)
        heard: list[bytes] = []
        done = asyncio.Event()

        async def accept(link: Link) -> None:
            link.admit()
            heard.extend([await link.receive() for _ in range(6)])
            done.set()

        link = await transport.connect(await transport.listen(accept))
        began = clock.now()
        for at in range(6):
            await link.send(bytes([at]) * 50_000)
        await done.wait()
        took = clock.now() - began
        await transport.close()
        return heard, took

    heard, took = asyncio.run(play())
    assert heard == [bytes([at]) * 50_000 for at in range(6)]
    assert took > 0.25  # 300 kB at 200 kB a second, of which 200 kB go at once


def test_a_bucket_without_a_rate_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError):
        Bucket(0, 1)
