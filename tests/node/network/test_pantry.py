"""What two tasks of a node want at once travels once, and each is told what it lacks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from skerry.messages.blobs import PART_BYTES
from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Call
from skerry.messages.wire import decode
from skerry.node.network.pantry import Pantry
from skerry.node.network.roads import Roads
from skerry.storage import BlobStore, blob_digest
from skerry.transport import Link, MemoryTransport
from tests.transport.links import run

JOB = bytes(32)


async def a_pair(folder: Path) -> tuple[Pantry, Pantry]:
    """Return two pantries of one job, the first of which knows the second."""
    transport = MemoryTransport()
    theirs = Pantry(BlobStore(folder / "theirs"), JOB, Roads(transport), tuple)

    async def answer(link: Link) -> None:
        assert isinstance(decode(await link.receive()), Call)
        await theirs.serve(link)

    peer = NodeAddress(bytes([1]) * 32, await transport.listen(answer))
    return Pantry(BlobStore(folder / "ours"), JOB, Roads(transport), lambda: [peer]), theirs


def test_a_blob_that_two_tasks_want_is_fetched_once(tmp_path: Path) -> None:
    async def body() -> None:
        ours, theirs = await a_pair(tmp_path)
        blobs = [os.urandom(2 * PART_BYTES + at) for at in range(3)]
        names = [theirs.store.put(blob) for blob in blobs]
        missing = blob_digest(b"nobody has this")
        left = await asyncio.gather(
            ours.bring(names[:2]), ours.bring(names[1:]), ours.bring([missing])
        )
        assert list(left) == [[], [], [missing]]
        assert [ours.store.get(name) for name in names] == blobs
        assert ours.bytes_fetched == sum(map(len, blobs))

    run(body)


def test_who_gives_up_does_not_keep_others_waiting(tmp_path: Path) -> None:
    async def body() -> None:
        ours, theirs = await a_pair(tmp_path)
        name = theirs.store.put(os.urandom(PART_BYTES))
        called = asyncio.Event()
        first = asyncio.ensure_future(ours.bring([name]))
        second = asyncio.ensure_future(ours.bring([name]))
        asyncio.get_running_loop().call_soon(called.set)  # after both have begun
        await called.wait()
        first.cancel()
        assert await second == []

    run(body)
