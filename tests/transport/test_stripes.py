"""Long frames are spread over streams, and arrivals are bounded."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.transport import LinkLost
from skerry.transport.inbox import Inbox
from skerry.transport.stripes import STRETCH_BYTES, STRIPES, is_striped, stripes
from tests.transport.links import run


@given(st.integers(STRETCH_BYTES + 1, 40 * STRETCH_BYTES))
def test_every_byte_goes_over_one_stripe_and_none_is_much_longer_than_another(length: int) -> None:
    plan = stripes(length)
    stretches = sorted(stretch for stripe in plan for stretch in stripe)
    assert [0, *(stop for _, stop in stretches)] == [*(start for start, _ in stretches), length]
    carried = [sum(stop - start for start, stop in stripe) for stripe in plan]
    assert len(plan) <= STRIPES
    assert max(carried) - min(carried) <= STRETCH_BYTES
    assert all(stripe == sorted(stripe) for stripe in plan)


def test_short_frames_are_not_striped() -> None:
    assert not is_striped(STRETCH_BYTES)
    assert is_striped(STRETCH_BYTES + 1)


def test_an_inbox_bounds_frames_and_bytes_but_takes_one_frame_of_any_length() -> None:
    async def body() -> None:
        inbox = Inbox("peer", frames_max=3, bytes_max=10)
        await inbox.put(bytes(100))
        second = asyncio.ensure_future(inbox.put(b"ab"))
        await asyncio.wait([second], timeout=0.01)
        assert inbox.full
        assert await inbox.take() == bytes(100)
        await second
        assert not inbox.full
        await inbox.put(b"c")
        await inbox.put(b"d")
        fourth = asyncio.ensure_future(inbox.put(b"e"))
        assert [await inbox.take() for _ in range(4)] == [b"ab", b"c", b"d", b"e"]
        await fourth

    run(body)


def test_an_inbox_that_is_widened_lets_the_waiting_reader_go_on() -> None:
    async def body() -> None:
        inbox = Inbox("peer", bytes_max=2)
        await inbox.put(b"ab")
        second = asyncio.ensure_future(inbox.put(b"cd"))
        await asyncio.wait([second], timeout=0.01)
        assert inbox.full
        inbox.widen(4)
        await second
        assert [await inbox.take(), await inbox.take()] == [b"ab", b"cd"]

    run(body)


def test_an_inbox_gives_all_that_came_before_its_end_and_then_says_why_to_everybody() -> None:
    async def body() -> None:
        inbox = Inbox("peer")
        waiting = [asyncio.ensure_future(inbox.take()) for _ in range(3)]
        await asyncio.wait(waiting, timeout=0.01)
        await inbox.put(b"last")
        inbox.end("the first reason")
        inbox.end("another")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes.count(b"last") == 1
        assert [str(it) for it in outcomes].count(str(LinkLost("peer", "the first reason"))) == 2
        with pytest.raises(LinkLost, match="the first reason"):
            await inbox.take()

    run(body)
