"""Blobs come from whoever has them, over every kind of link, and no peer can do harm."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from skerry.messages.blobs import PART_BYTES, BlobAsk, BlobHave, BlobPart, BlobWant
from skerry.messages.membership import Refusal
from skerry.messages.wire import MessageError, decode, encode
from skerry.node.network.blobs import BlobClient, BlobServer, BlobsUnavailable
from skerry.storage import BlobStore, blob_digest
from skerry.storage.fetching import FetchTerms
from skerry.transport import Link, LinkLost, MemoryTransport, TcpTransport, Transport
from skerry.transport.iroh_transport import IrohTransport
from tests.transport.links import IROH_QUICK, QUICK, SECRET, run

BLOBS = [os.urandom(size) for size in (0, 17, PART_BYTES, 3 * PART_BYTES + 5)]
NAMES = [blob_digest(blob) for blob in BLOBS]
TERMS = FetchTerms(silence_seconds=0.6, slow_seconds=0.2)
Answer = Callable[[Link], Awaitable[None]]


class Town:
    """Peers that answer calls, and somebody who calls them, over one kind of transport."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.transports: list[Transport] = []
        self.memory = MemoryTransport()
        self.caller = self.transport(0)

    def transport(self, number: int) -> Transport:
        made: Transport
        match self.kind:
            case "tcp":
                made = TcpTransport(SECRET, pace=QUICK)
            case "iroh":
                made = IrohTransport(bytes([number + 1]) * 32, pace=IROH_QUICK)
            case _:
                made = self.memory
        self.transports.append(made)
        return made

    async def settle(self, answers: Sequence[Answer]) -> list[str]:
        return [await self.transport(1 + at).listen(answer) for at, answer in enumerate(answers)]

    async def fetch(self, store: BlobStore, peers: Sequence[str], names: Sequence[bytes]) -> Any:
        client: BlobClient[str] = BlobClient(store, self.caller.connect, terms=TERMS)
        return await client.fetch(names, peers)

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()


def honest(folder: Path, blobs: Sequence[bytes]) -> BlobServer:
    store = BlobStore(folder)
    for blob in blobs:
        store.put(blob)
    return BlobServer(store, lambda key, blob: True)


kinds = pytest.mark.parametrize("kind", ["memory", "tcp", "iroh"])


@kinds
def test_blobs_come_from_several_peers_of_which_none_has_all(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        town = Town(kind)
        servers = [honest(tmp_path / "a", BLOBS[:3]), honest(tmp_path / "b", BLOBS[1:])]
        peers = await town.settle([server.serve for server in servers])
        store = BlobStore(tmp_path / "mine")
        store.put(BLOBS[1])
        fetched = await town.fetch(store, peers, [*NAMES, *NAMES])
        assert [store.get(name) for name in NAMES] == BLOBS
        assert fetched.blobs == 3
        assert fetched.bytes == sum(map(len, BLOBS)) - 17
        assert sum(server.bytes_served for server in servers) == fetched.bytes
        assert not list((store.root / "partial").iterdir())
        assert (await town.fetch(store, [], NAMES)).blobs == 0
        await town.close()

    run(body)


@kinds
def test_a_blob_that_nobody_has_is_named_and_the_others_are_kept(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        town = Town(kind)
        peers = await town.settle([honest(tmp_path / "a", BLOBS[:2]).serve])
        store = BlobStore(tmp_path / "mine")
        with pytest.raises(
            BlobsUnavailable, match=r"(?s)nobody gave blob .* more .*next: "
        ) as told:
            await town.fetch(store, peers, NAMES)
        assert set(told.value.missing) == set(NAMES[2:])
        assert store.get(NAMES[1]) == BLOBS[1]
        with pytest.raises(BlobsUnavailable, match="no peer is known"):
            await town.fetch(store, [], NAMES)
        await town.close()

    run(body)


@kinds
def test_only_what_the_server_chooses_is_served(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        town = Town(kind)
        asked_by = []
        store = honest(tmp_path / "a", BLOBS)._store

        def may_serve(key: bytes | None, blob: bytes) -> bool:
            asked_by.append(key)
            return blob == NAMES[1]

        peers = await town.settle([BlobServer(store, may_serve).serve])
        mine = BlobStore(tmp_path / "mine")
        with pytest.raises(BlobsUnavailable):
            await town.fetch(mine, peers, NAMES)
        assert list(mine.names()) == [NAMES[1]]
        link = await town.caller.connect(peers[0])
        await link.send(encode(BlobWant(NAMES[3], 0)))  # without having asked
        assert type(decode(await link.receive())).__name__ == "BlobGone"
        keys = {town.caller.key} if isinstance(town.caller, IrohTransport) else {None}
        assert set(asked_by) == keys
        await link.close()
        await town.close()

    run(body)


# -- hostile peers


async def wrong_bytes(link: Link) -> None:
    await lie(link, lambda want, data: BlobPart(want.blob, want.part, bytes(len(data))))


async def endless_parts(link: Link) -> None:
    await lie(link, lambda want, data: BlobPart(want.blob, want.part, data), times=1000)


async def lie(link: Link, change: Callable[[BlobWant, bytes], BlobPart], times: int = 1) -> None:
    try:
        while True:
            message = decode(await link.receive())
            if isinstance(message, BlobAsk):
                await link.send(encode(BlobHave(tuple(size_of(it) for it in message.blobs))))
            elif isinstance(message, BlobWant):
                whole = BLOBS[NAMES.index(message.blob)]
                data = whole[message.part * PART_BYTES :][:PART_BYTES]
                for _ in range(times):
                    await link.send(encode(change(message, data)))
    except LinkLost:
        return


def size_of(name: bytes) -> int | None:
    return len(BLOBS[NAMES.index(name)]) if name in NAMES else None


async def garbage(link: Link) -> None:
    await link.send(b"\xc1" * 1000)


async def silence(link: Link) -> None:
    return


async def refusal(link: Link) -> None:
    await link.send(encode(Refusal("peer.no", "not today")))


async def hangs_up(link: Link) -> None:
    await link.receive()
    await link.close()


HOSTILE: list[Answer] = [wrong_bytes, endless_parts, garbage, silence, refusal, hangs_up]


@kinds
def test_hostile_peers_are_dropped_and_the_honest_one_is_enough(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        town = Town(kind)
        answers = [*HOSTILE, honest(tmp_path / "a", BLOBS).serve]
        peers = [*(await town.settle(answers)), "nonsense"]
        store = BlobStore(tmp_path / "mine")
        fetched = await town.fetch(store, peers, NAMES)
        assert [store.get(name) for name in NAMES] == BLOBS
        assert HOSTILE.index(garbage) in fetched.dropped
        assert len(answers) - 1 not in fetched.dropped
        await town.close()

    run(body)


@kinds
@pytest.mark.parametrize("answer", HOSTILE, ids=lambda it: it.__name__)
def test_a_hostile_peer_alone_gives_nothing_and_is_named(
    kind: str, answer: Answer, tmp_path: Path
) -> None:
    async def body() -> None:
        town = Town(kind)
        peers = await town.settle([answer])
        store = BlobStore(tmp_path / "mine")
        with pytest.raises(BlobsUnavailable) as told:
            await town.fetch(store, peers, NAMES[3:])
        reasons: dict[Answer, str] = {
            wrong_bytes: "were wrong",
            endless_parts: "not asked for",
            garbage: "refused: ",
            silence: "did not answer",
            refusal: "not today",
            hangs_up: "closed",
        }
        assert reasons[answer] in str(told.value)
        assert not list(store.names())
        await town.close()

    run(body)


@pytest.mark.parametrize("noise", [b"\x00", b"\xc1" * 99, encode(BlobHave((1,)))])
def test_a_server_refuses_noise(noise: bytes, tmp_path: Path) -> None:
    async def body() -> None:
        town = Town("memory")
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        server = honest(tmp_path / "a", BLOBS)

        async def serve(link: Link) -> None:
            try:
                await server.serve(link)
            except MessageError:
                outcome.set_result(True)

        link = await town.caller.connect((await town.settle([serve]))[0])
        await link.send(noise)
        assert await outcome
        await town.close()

    run(body)


def test_a_server_lets_go_of_a_caller_who_says_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        here, there = (await linked_in_memory())[:2]
        server = BlobServer(BlobStore(tmp_path), lambda key, blob: True, idle_seconds=0.05)
        await server.serve(there)
        await here.close()

    run(body)


async def linked_in_memory() -> tuple[Link, Link]:
    transport = MemoryTransport()
    arrived: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    async def accept(link: Link) -> None:
        arrived.set_result(link)

    here = await transport.connect(await transport.listen(accept))
    return here, await arrived


# -- a kill in the middle

_FETCHING = """
import asyncio, sys
from pathlib import Path
from skerry.node.network.blobs import BlobClient
from skerry.storage import BlobStore
from skerry.transport.iroh_transport import IrohTransport

async def main(address, folder, name):
    store = BlobStore(Path(folder))
    client = BlobClient(store, IrohTransport(b"k" * 32).connect)
    fetching = asyncio.ensure_future(client.fetch([bytes.fromhex(name)], [address]))
    notes = store.root / "partial" / (name + ".parts")
    while not notes.exists() or notes.stat().st_size < 8 * 3:
        await asyncio.wait([fetching], timeout=0.01)
    print("two parts are here", flush=True)
    await fetching

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_fetch_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async def body() -> None:
        town = Town("iroh")
        server = honest(tmp_path / "a", BLOBS)
        stalled: list[Link] = []

        class Stalling:
            """A link on which the third part never leaves."""

            def __init__(self, link: Link) -> None:
                self.link, self.parts = link, 0
                self.peer_key, self.receive = link.peer_key, link.receive

            async def send(self, frame: bytes) -> None:
                self.parts += isinstance(decode(frame, bytes_max=2 * PART_BYTES), BlobPart)
                if self.parts < 3:
                    await self.link.send(frame)

        async def serve(link: Link) -> None:
            first = not stalled
            stalled.append(link)
            await server.serve(Stalling(link) if first else link)  # type: ignore[arg-type]

        (address,) = await town.settle([serve])
        mine, name = tmp_path / "mine", NAMES[3]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _FETCHING, address, str(mine), name.hex(),
            stdout=asyncio.subprocess.PIPE, env=os.environ,
        )  # fmt: skip
        assert child.stdout is not None
        assert await child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        await child.wait()
        store = BlobStore(mine)
        assert not store.has(name)
        fetched = await town.fetch(store, [address], [name])
        assert store.get(name) == BLOBS[3]
        assert fetched.bytes == len(BLOBS[3]) - 2 * PART_BYTES
        await town.close()

    run(body)
