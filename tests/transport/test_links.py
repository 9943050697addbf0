"""Every kind of link obeys the port; the TCP socket also keeps strangers and silence out."""

from __future__ import annotations

import asyncio
import os

import pytest

from skerry.transport import Link, LinkLost, LinkRefused, Pace, TcpTransport
from tests.transport.links import QUICK, SECRET, Ends, iroh, linked, memory, run, tcp


async def send_all(link: Link, frames: list[bytes]) -> None:
    for frame in frames:
        await link.send(frame)


kinds = pytest.mark.parametrize("ends", [tcp, memory, iroh])


@kinds
def test_frames_arrive_whole_and_in_order_and_are_counted(ends: Ends) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            frames = [b"a", b"b" * 100_000, os.urandom(3_000_001), b"c" * 17, os.urandom(262_145)]
            sending = asyncio.ensure_future(send_all(here, frames))
            assert [await there.receive() for _ in frames] == frames
            await sending
            await there.send(b"back")
            assert await here.receive() == b"back"
            sent = here.counts.sent - here.counts.sent_control
            assert sent == sum(map(len, frames)) + 4 * len(frames)
            assert there.counts.received - there.counts.received_control == sent
            assert there.counts.sent - there.counts.sent_control == 8

    run(body)


@kinds
def test_a_closed_link_gives_what_was_sent_before_and_then_says_so(
    ends: Ends,
) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            await here.send(b"last words")
            await here.close()
            assert await there.receive() == b"last words"
            for _ in range(2):
                with pytest.raises(LinkLost):
                    await there.receive()
            with pytest.raises(LinkLost):
                await here.send(b"too late")

    run(body)


@kinds
def test_a_cancelled_receive_loses_no_frame(ends: Ends) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            waiting = asyncio.ensure_future(there.receive())
            await asyncio.wait([waiting], timeout=0.01)
            waiting.cancel()
            await here.send(b"kept")
            assert await there.receive() == b"kept"

    run(body)


@kinds
def test_nobody_listening_is_a_refusal(ends: Ends) -> None:
    async def body() -> None:
        with pytest.raises(LinkRefused):
            await ends()[1].connect("127.0.0.1:1")

    run(body)


@kinds
def test_a_cancelled_send_is_sent_whole_or_not_at_all(ends: Ends) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            long = os.urandom(9_000_000)
            sending = asyncio.ensure_future(here.send(long))
            await asyncio.wait([sending], timeout=0.001)
            sending.cancel()
            after = asyncio.ensure_future(here.send(b"after"))
            frames = [await there.receive()]
            if frames[0] == long:
                frames.append(await there.receive())
            assert frames[-1] == b"after"
            await after

    run(body)


@kinds
def test_many_tasks_may_send_at_once(ends: Ends) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            frames = [bytes([turn]) * (1 + 40_000 * turn) for turn in range(12)]
            sending = asyncio.gather(*(here.send(frame) for frame in frames))
            assert sorted([await there.receive() for _ in frames]) == frames
            await sending

    run(body)


@kinds
def test_both_sides_may_close_at_once_and_again(ends: Ends) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            await asyncio.gather(here.close(), there.close())
            await asyncio.gather(here.close(), there.close())
            for link in (here, there):
                with pytest.raises(LinkLost):
                    await link.receive()

    run(body)


def test_an_idle_link_beats_and_stays_alive() -> None:
    async def body() -> None:
        async with linked(*tcp()) as (here, there):
            waiting = asyncio.ensure_future(there.receive())
            await asyncio.wait([waiting], timeout=3 * QUICK.silence_seconds)
            assert here.counts.sent_control > 72 + 4
            await here.send(b"still here")
            assert await waiting == b"still here"

    run(body)


def test_a_wrong_secret_is_refused_on_both_sides() -> None:
    async def body() -> None:
        listener = TcpTransport(SECRET, pace=QUICK)

        async def accept(link: Link) -> None:
            raise AssertionError("a stranger came in")

        address = await listener.listen(accept)
        with pytest.raises(LinkRefused):
            await TcpTransport(b"another secret", pace=QUICK).connect(address)
        await listener.close()

    run(body)


def test_a_listener_that_cannot_prove_the_secret_is_refused() -> None:
    async def body() -> None:
        async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(4096):  # sends each proof back to who made it
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(parrot, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        with pytest.raises(LinkRefused, match="secret"):
            await TcpTransport(SECRET, pace=QUICK).connect(f"{host}:{port}")
        server.close()

    run(body)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n" * 9, b"", b"\x00" * 200])
def test_a_stranger_at_the_port_disturbs_nobody(noise: bytes) -> None:
    async def body() -> None:
        transport = TcpTransport(SECRET, pace=QUICK)
        arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

        async def accept(link: Link) -> None:
            arrived.set_result(link)

        address = await transport.listen(accept)
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(noise)
        await reader.read()  # until it hangs up on us
        writer.close()
        link = await transport.connect(address)
        await link.send(b"welcome")
        assert await (await arrived).receive() == b"welcome"
        await transport.close()

    run(body)


def test_an_oversize_frame_ends_the_link_before_it_is_read() -> None:
    async def body() -> None:
        small = TcpTransport(SECRET, pace=QUICK, frame_bytes_max=1000)
        arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

        async def accept(link: Link) -> None:
            arrived.set_result(link)

        address = await small.listen(accept)
        here = await TcpTransport(SECRET, pace=QUICK).connect(address)
        await here.send(bytes(1001))
        with pytest.raises(LinkLost, match="1001 bytes"):
            await (await arrived).receive()
        await here.close()
        await small.close()

    run(body)


def test_a_silent_peer_is_lost() -> None:
    async def body() -> None:
        dumb = TcpTransport(SECRET, pace=Pace(beat_seconds=60, silence_seconds=60))
        alert = TcpTransport(SECRET, pace=QUICK)
        arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

        async def accept(link: Link) -> None:
            arrived.set_result(link)

        here = await alert.connect(await dumb.listen(accept))
        with pytest.raises(LinkLost, match="nothing came"):
            await here.receive()
        await alert.close()
        await dumb.close()

    run(body)


@kinds
def test_a_close_that_is_cancelled_still_ends_the_link(ends: Ends) -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            closing = asyncio.ensure_future(here.close())
            await asyncio.wait([closing], timeout=0)
            closing.cancel()
            await asyncio.wait([closing])
            await here.close()
            with pytest.raises(LinkLost):
                await there.receive()

    run(body)
