"""Links between strangers: who is there is proved, death is noticed, hostility has no effect."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts import tree
from skerry.transport import Link, LinkLost, LinkRefused, Pace, parse_address
from skerry.transport.iroh_binding import PINNED, BindingUnfit, iroh, require_version
from skerry.transport.iroh_transport import STRANGERS_PACE, BindRefused, IrohTransport
from tests.transport.hostile import dial, greeted, raw_endpoint
from tests.transport.links import CALLER_SEED, IROH_QUICK, LISTENER_SEED, linked, run
from tests.transport.links import iroh as ends

PATIENT = Pace(beat_seconds=0.1, silence_seconds=5.0, connect_seconds=5.0, hang_seconds=5.0)


class Uncounted(bytes):
    """Bytes that refuse to be walked through one at a time."""

    def __iter__(self) -> object:  # type: ignore[override]
        raise AssertionError("the binding copies byte by byte")


def test_the_binding_lowers_bytes_in_one_copy() -> None:
    seed = Uncounted(LISTENER_SEED)
    assert iroh.SecretKey.from_bytes(seed).to_bytes() == LISTENER_SEED
    for kind in (bytearray, memoryview, lambda it: memoryview(bytearray(it))):
        lowered: Any = kind(LISTENER_SEED)
        assert iroh.SecretKey.from_bytes(lowered).to_bytes() == LISTENER_SEED


def test_only_the_version_that_is_mended_is_taken() -> None:
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]
    assert f"iroh=={PINNED}" in project["dependencies"]
    assert f"\niroh=={PINNED}\n" in (tree.ROOT / "requirements.lock").read_text()
    require_version(PINNED)
    with pytest.raises(BindingUnfit, match="pip install iroh"):
        require_version("1.2.1")


def test_each_side_knows_the_others_key() -> None:
    async def body() -> None:
        listener, caller = ends()
        assert isinstance(listener, IrohTransport)
        assert isinstance(caller, IrohTransport)
        async with linked(listener, caller) as (here, there):
            assert here.peer_key == listener.key
            assert there.peer_key == caller.key
            assert there.peer == caller.key.hex()[:16]

    run(body)


def test_another_key_at_the_right_socket_is_refused_in_time() -> None:
    async def body() -> None:
        listener, _ = ends()
        caller = IrohTransport(CALLER_SEED, pace=Pace(connect_seconds=0.5))
        address = await listener.listen(never)
        stranger = iroh_key(b"x" * 32)
        with pytest.raises(LinkRefused, match=r"(?s)another key answers.*skerry nodes"):
            await caller.connect(f"{stranger}@{address.partition('@')[2]}")
        with pytest.raises(LinkRefused, match="did not answer"):
            await caller.connect(f"{iroh_key(b'y' * 32)}@127.0.0.1:9")
        with pytest.raises(LinkRefused, match="ourself"):
            await caller.connect(f"{caller.key.hex()}@127.0.0.1:9")
        with pytest.raises(LinkRefused, match="only dials out"):
            await caller.connect(f"{stranger}@")
        await caller.close()
        await listener.close()

    run(body)


async def never(link: Link) -> None:
    raise AssertionError("nobody should come in")


def test_a_node_without_an_open_port_works_by_dialling_and_takes_no_call() -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            await there.send(b"asked")
            assert await here.receive() == b"asked"
        listener, caller = ends()
        address = await listener.listen(never)
        quick = IrohTransport(CALLER_SEED, pace=Pace(connect_seconds=0.5))
        with pytest.raises(LinkRefused):
            await quick.connect(address.replace(address[:64], iroh_key(CALLER_SEED)))
        for transport in (quick, caller, listener):
            await transport.close()

    run(body)


def iroh_key(seed: bytes) -> str:
    return iroh.SecretKey.from_bytes(seed).public().to_bytes().hex()


def test_only_loopback_is_opened_unless_told_otherwise_and_a_taken_port_is_named() -> None:
    async def body() -> None:
        listener, _ = ends()
        address = parse_address(await listener.listen(never))
        assert [it.rpartition(":")[0] for it in address.sockets] == ["127.0.0.1", "[::1]"]
        for bind in (address.sockets[0], "192.0.2.1:0"):
            second = IrohTransport(CALLER_SEED, binds=[bind])
            with pytest.raises(BindRefused, match=r"(?s)no socket at .*next: "):
                await second.listen(never)
            await second.close()
        await listener.close()

    run(body)


def test_a_stranger_may_send_short_frames_only_until_it_is_admitted() -> None:
    async def body() -> None:
        for admitted in (False, True):
            listener = IrohTransport(LISTENER_SEED, pace=IROH_QUICK, first_frame_bytes_max=1000)
            caller = IrohTransport(CALLER_SEED, pace=IROH_QUICK)
            arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

            async def accept(
                link: Link, arrived: asyncio.Future[Link] = arrived, admitted: bool = admitted
            ) -> None:
                if admitted:
                    link.admit()
                arrived.set_result(link)

            here = await caller.connect(await listener.listen(accept))
            await here.send(bytes(1001))
            there = await arrived
            if admitted:
                assert await there.receive() == bytes(1001)
            else:
                with pytest.raises(LinkLost, match="1001 bytes where 1000 are allowed"):
                    await there.receive()
                with pytest.raises(LinkLost, match="1001 bytes"):  # and the caller learns why
                    await here.receive()
            await caller.close()
            await listener.close()

    run(body)


def test_a_reader_that_takes_nothing_stops_the_sender_and_keeps_the_link() -> None:
    async def body() -> None:
        async with linked(*ends()) as (here, there):
            frame = bytes(1 << 20)
            sending = asyncio.ensure_future(send_times(here, frame, 120))
            done, _ = await asyncio.wait([sending], timeout=2 * IROH_QUICK.silence_seconds)
            assert not done  # 64 MiB wait at the reader, some in the connection, the rest here
            for _ in range(120):
                assert await there.receive() == frame
            await sending

    run(body)


async def send_times(link: Link, frame: bytes, times: int) -> None:
    for _ in range(times):
        await link.send(frame)


def test_no_more_links_than_the_limit_come_about() -> None:
    async def body() -> None:
        listener = IrohTransport(LISTENER_SEED, pace=IROH_QUICK, links_max=2)
        caller = IrohTransport(CALLER_SEED, pace=IROH_QUICK)

        async def accept(link: Link) -> None:
            await link.send(b"welcome")

        address = await listener.listen(accept)
        links = [await caller.connect(address) for _ in range(2)]
        with pytest.raises(LinkRefused, match="no room"):
            await caller.connect(address)
        await links[0].close()
        assert await (await caller.connect(address)).receive() == b"welcome"
        await caller.close()
        await listener.close()

    run(body)


# -- hostile callers


async def answers(address: str) -> bool:
    """Return whether an honest caller is served at `address`."""
    caller = IrohTransport(CALLER_SEED, pace=PATIENT)
    link = await caller.connect(address)
    await link.send(b"ping")
    answer = await link.receive()
    await caller.close()
    return answer == b"ping"


async def lost_by(attack: object) -> str:
    """Let `attack` loose on a listener; return why its link was lost."""
    listener = IrohTransport(LISTENER_SEED, pace=PATIENT, first_frame_bytes_max=1 << 20)
    reasons: asyncio.Queue[str] = asyncio.Queue()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, it: failures.append(it))

    async def echo(link: Link) -> None:
        try:
            while True:
                await link.send(await link.receive())
        except LinkLost as error:
            await reasons.put(error.reason)

    address = await listener.listen(echo)
    async with raw_endpoint() as endpoint:
        connection = await dial(endpoint, address)
        control = await greeted(connection)
        await attack(connection, control)  # type: ignore[operator]
        reason = await reasons.get()
        assert await answers(address)
    await reasons.get()  # the honest caller's farewell
    assert listener.links == 0
    await listener.close()
    assert not failures
    return reason


def test_a_length_above_the_limit_or_of_nothing_ends_the_link() -> None:
    async def announce(length: int, control: iroh.BiStream) -> None:
        await control.send().write_all(length.to_bytes(4, "big"))

    for length in ((1 << 20) + 1, 0, (1 << 32) - 1):
        reasons: list[str] = []

        async def body(length: int = length, reasons: list[str] = reasons) -> None:
            reasons.append(await lost_by(lambda _, control: announce(length, control)))

        run(body)
        assert f"a frame of {length} bytes" in reasons[0]


def test_half_a_frame_and_then_the_end_ends_the_link() -> None:
    async def half(connection: iroh.Connection, control: iroh.BiStream) -> None:
        await control.send().write_all((1000).to_bytes(4, "big") + bytes(999))
        await control.send().finish()

    async def half_striped(connection: iroh.Connection, control: iroh.BiStream) -> None:
        await control.send().write_all((1 << 20).to_bytes(4, "big"))
        stripe = await connection.open_uni()
        await stripe.write_all(bytes(1000))
        await stripe.finish()

    for attack in (half, half_striped):

        async def body(attack: object = attack) -> None:
            assert await lost_by(attack) == "it ended within a frame"

        run(body)


def test_more_streams_than_a_link_has_end_the_link() -> None:
    async def one_way(connection: iroh.Connection, control: iroh.BiStream) -> None:
        with contextlib.suppress(iroh.IrohError):  # it is cut off in the act
            for _ in range(90):
                stream = await connection.open_uni()
                await stream.write_all(bytes(1000))

    async def both_ways(connection: iroh.Connection, control: iroh.BiStream) -> None:
        await (await connection.open_bi()).send().write_all(b"more")

    async def reasons() -> None:
        for attack in (one_way, both_ways):
            assert await lost_by(attack) == "it opened more streams than a link has"

    run(reasons)


def test_a_program_that_hangs_is_lost_though_its_machine_answers() -> None:
    async def body() -> None:
        async with raw_endpoint() as endpoint:
            endpoint.set_alpns([b"skerry/1"])
            caller = IrohTransport(CALLER_SEED, pace=IROH_QUICK)
            address = f"{endpoint.id().to_bytes().hex()}@{','.join(endpoint.bound_sockets())}"
            calling = asyncio.ensure_future(caller.connect(address))
            incoming = await endpoint.accept_next()
            assert incoming is not None
            connection = await (await incoming.accept()).connect()
            control = await connection.accept_bi()
            await control.send().write_all(await control.recv().read_exact(8))
            with pytest.raises(LinkLost, match="its program said nothing"):
                await (await calling).receive()
            await caller.close()

    run(body)


def test_a_listener_that_never_greets_is_refused_in_time() -> None:
    async def body() -> None:
        async with raw_endpoint() as endpoint:
            endpoint.set_alpns([b"skerry/1"])
            caller = IrohTransport(CALLER_SEED, pace=Pace(connect_seconds=0.5))
            address = f"{endpoint.id().to_bytes().hex()}@{','.join(endpoint.bound_sockets())}"
            calling = asyncio.ensure_future(caller.connect(address))
            incoming = await endpoint.accept_next()
            assert incoming is not None
            kept = await (await incoming.accept()).connect()
            with pytest.raises(LinkRefused, match="did not answer"):
                await calling
            kept.close(0, b"")
            await caller.close()

    run(body)


Step = tuple[str, bytes]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("control"), st.binary(min_size=1, max_size=300)),
        st.tuples(st.just("frame"), st.binary(min_size=1, max_size=300)),
        st.tuples(st.just("length"), st.binary(min_size=4, max_size=4)),
        st.tuples(st.just("stripe"), st.binary(min_size=1, max_size=3000)),
        st.tuples(st.just("datagram"), st.binary(min_size=1, max_size=1000)),
        st.tuples(st.just("stream"), st.binary(min_size=1, max_size=100)),
        st.tuples(st.just("finish"), st.just(b"")),
        st.tuples(st.just("reset"), st.just(b"")),
    ),
    max_size=12,
)


async def misbehave(connection: iroh.Connection, control: iroh.BiStream, deeds: list[Step]) -> None:
    stripes: list[iroh.SendStream] = []
    for deed, data in deeds:
        match deed:
            case "control" | "length":
                await control.send().write_all(data)
            case "frame":
                await control.send().write_all(len(data).to_bytes(4, "big") + data)
            case "stripe":
                if len(stripes) < 12:
                    stripes.append(await connection.open_uni())
                await stripes[-1].write_all(data)
            case "datagram":
                connection.send_datagram(data)
            case "stream":
                await (await connection.open_bi()).send().write_all(data)
            case "finish":
                await control.send().finish()
            case _:
                await control.send().reset(len(deeds))
    connection.close(9, b"\xff\x00 gone \x1b[31m")


@settings(max_examples=40)
@given(steps)
def test_whatever_a_stranger_does_its_link_is_lost_and_others_are_served(
    deeds: list[Step],
) -> None:
    async def attack(connection: iroh.Connection, control: iroh.BiStream) -> None:
        try:
            await misbehave(connection, control, deeds)
        except iroh.IrohError:
            connection.close(9, b"")  # it was cut off in the act

    async def body() -> None:
        reason = await lost_by(attack)
        assert reason
        assert reason.isprintable()

    run(body)


# -- death of a process

_PEER = """
import asyncio, sys
from skerry.transport.iroh_transport import IrohTransport

async def main():
    async def accept(link):
        await link.send(b"here")
    print(await IrohTransport(b"p" * 32).listen(accept), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_pace_for_strangers_notices_death_within_five_seconds() -> None:
    pace = STRANGERS_PACE  # a beat is under way, then silence, which is looked at once a beat
    assert pace.beat_seconds + pace.silence_seconds + pace.beat_seconds <= 5


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_dead_process_is_noticed_at_that_pace(blow: signal.Signals) -> None:
    async def body() -> None:
        peer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PEER, stdout=asyncio.subprocess.PIPE, env=os.environ
        )
        assert peer.stdout is not None
        address = (await peer.stdout.readline()).decode().strip()
        caller = IrohTransport(CALLER_SEED)
        link = await caller.connect(address)
        assert await link.receive() == b"here"
        peer.send_signal(blow)
        with pytest.raises(LinkLost, match="nothing came for"):
            await link.receive()
        if blow is signal.SIGSTOP:
            peer.kill()
        await peer.wait()
        await caller.close()

    run(body)
