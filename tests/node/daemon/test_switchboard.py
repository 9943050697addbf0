"""Every link begins with a call, and whoever begins otherwise hears why that will not do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from skerry.messages.membership import NETWORK_PROTOCOL, Call, Refusal
from skerry.messages.rounds import Farewell, Save
from skerry.messages.wire import MessageUnexpected, encode
from skerry.node.daemon import Caller, CallRefused, Switchboard, hear
from skerry.storage import BlobMissing
from skerry.transport import LinkLost, MemoryTransport

JOB = bytes(range(32))
Case = Callable[[Switchboard, str], Awaitable[None]]


async def echo(caller: Caller) -> None:
    asked = await hear(caller.link, Save)
    await caller.link.send(encode(Save(asked.round + caller.call.fence)))


async def refuse_it(caller: Caller) -> None:
    raise BlobMissing(JOB, Path("blobs"), "is not there")


async def blunder(caller: Caller) -> None:
    raise ZeroDivisionError("a bug")


def with_board(case: Case) -> list[tuple[str, BaseException]]:
    """Run a case against a board that answers three purposes; return the bugs it was told."""
    bugs: list[tuple[str, BaseException]] = []

    async def play() -> None:
        transport = MemoryTransport()
        board = Switchboard(transport, lambda purpose, error: bugs.append((purpose, error)))
        board.register("echo", echo)
        board.register("refuse", refuse_it)
        board.register("blunder", blunder)
        try:
            await case(board, await transport.listen(board.accept))
        finally:
            await transport.close()

    asyncio.run(play())
    return bugs


def test_a_call_reaches_the_conversation_that_it_names() -> None:
    async def case(board: Switchboard, address: str) -> None:
        link = await board.call(address, "echo", job=JOB, fence=3)
        await link.send(encode(Save(4)))
        assert await hear(link, Save) == Save(7)
        with pytest.raises(LinkLost):
            await link.receive()

    assert with_board(case) == []


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (encode(Call("gossip")), "peer.purpose"),
        (encode(Call("echo", protocol=NETWORK_PROTOCOL + 1)), "peer.version"),
        (encode(Farewell("hello")), "peer.message.kind"),
        (b"\x00garbage", "peer.message.form"),
        (bytes(4096), "peer.message.length"),
        (encode(Call("refuse")), "node.blob"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_what_will_not_be_is_refused_with_a_code(first: bytes, code: str) -> None:
    async def case(board: Switchboard, address: str) -> None:
        link = await board.transport.connect(address)
        await link.send(first)
        with pytest.raises(CallRefused) as refused:
            await hear(link, Save)
        assert refused.value.refusal.code == code
        with pytest.raises(LinkLost):
            await link.receive()

    assert with_board(case) == []


def test_a_bug_ends_the_link_and_is_told_here_not_there() -> None:
    async def case(board: Switchboard, address: str) -> None:
        link = await board.call(address, "blunder")
        with pytest.raises(LinkLost):
            await link.receive()

    ((purpose, bug),) = with_board(case)
    assert (purpose, type(bug)) == ("blunder", ZeroDivisionError)


def test_another_message_than_the_one_due_is_named() -> None:
    async def case(board: Switchboard, address: str) -> None:
        link = await board.call(address, "echo")
        await link.send(encode(Farewell("bye")))
        refusal = await hear(link, Refusal)
        assert refusal.code == MessageUnexpected.code
        assert "a Farewell came for a Save" in refusal.message

    assert with_board(case) == []
