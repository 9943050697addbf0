"""What is told on one board is heard on every other, and nobody can fill a stranger's disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from skerry.base.digests import digest
from skerry.chain.keyfiles import ChainKey
from skerry.chain.moves import Site
from skerry.market.offers import Offer, Role, claim_message, offer_message
from skerry.messages.boards import BoardNews
from skerry.messages.market import MarketClaim, MarketMessage, MarketOffer
from skerry.messages.wire import encode
from skerry.node.clocks import RealClock
from skerry.node.daemon.switchboard import CallRefused, Switchboard, hear
from skerry.node.market.board import FolderBoard, told_offer
from skerry.node.market.carriage import PURPOSE, Carriage, ask_manifest
from skerry.node.market.shelf import Shelf
from skerry.node.market.signatures import signer_of
from skerry.transport import MemoryTransport

SITE = Site(31337, b"\x0a" * 20)
JOB = digest("job", b"one")
RICH, POOR = ChainKey(b"\x01" * 32), ChainKey(b"\x02" * 32)


def claim(key: ChainKey, at: int) -> MarketClaim:
    """Return a signed claim about a round."""
    name = digest("receipt", at.to_bytes(4, "big"))
    typed = claim_message(JOB, at, 0, name, chain=SITE.chain, market=SITE.market)
    return MarketClaim(job=JOB, round=at, lane=0, receipt=name, signature=key.sign(typed))


def offer(key: ChainKey, *, nonce: int, expires: int) -> MarketOffer:
    """Return a signed standing offer."""
    made = Offer(key.address, Role.SOLVER, 0, 1, 100, 1000, expires, 1000, nonce)
    typed = offer_message(made, chain=SITE.chain, market=SITE.market)
    return told_offer(made, key.sign(typed))


def new_shelf(root: Path) -> Shelf:
    return Shelf(FolderBoard(root), lambda it: signer_of(it, SITE), b"one life")


@dataclass
class Node:
    """A board, its carriage, and a switchboard."""

    root: Path
    shared: MemoryTransport
    accounts: frozenset[bytes] = frozenset({RICH.address})
    known: dict[bytes, str] = field(default_factory=dict)
    address: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> Node:
        board = Switchboard(self.shared)
        self.shelf = new_shelf(self.root)
        self.carriage = Carriage(
            lambda address, purpose: board.call(address, purpose),
            lambda: self.known,
            RealClock(),
            self._accounts,
            shelf=self.shelf,
            news=self.news.set,
            told=lambda kind, facts: print(kind, facts),
        )
        board.register(PURPOSE, self.carriage.answer)
        self.address = await self.shared.listen(board.accept)
        self.carriage.start()
        return self

    async def _accounts(self) -> frozenset[bytes]:
        return self.accounts

    def knows(self, other: Node) -> None:
        self.known[other.address.encode()] = other.address

    def has(self, message: MarketMessage) -> bool:
        return (self.root / FolderBoard.name_of(message)).is_file()

    async def until_has(self, message: MarketMessage) -> None:
        async with asyncio.timeout(20):
            while not self.has(message):
                self.news.clear()
                await self.news.wait()


def play(case: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(case(), 60))


def test_what_one_tells_all_hear_even_who_comes_later(tmp_path: Path) -> None:
    async def case() -> None:
        shared = MemoryTransport()
        first = await Node(tmp_path / "1", shared).start()
        second = await Node(tmp_path / "2", shared).start()
        second.knows(first)
        early = claim(RICH, 1)
        FolderBoard(first.root).tell(early)  # as its desk does, from another process
        await second.until_has(early)
        third = await Node(tmp_path / "3", shared).start()
        third.knows(second)  # and not whoever told it
        await third.until_has(early)
        late = claim(RICH, 2)
        FolderBoard(first.root).tell(late)
        await third.until_has(late)
        for node in (first, second, third):
            await node.carriage.stop()

    play(case)


def test_who_cannot_be_called_tells_unasked(tmp_path: Path) -> None:
    async def case() -> None:
        shared = MemoryTransport()
        node = await Node(tmp_path / "node", shared).start()
        client = await Node(tmp_path / "client", shared).start()
        client.carriage.pushes = True
        client.knows(node)
        mine = claim(RICH, 1)
        FolderBoard(client.root).tell(mine)
        await node.until_has(mine)
        await client.carriage.stop()
        await node.carriage.stop()

    play(case)


def test_who_has_no_money_in_the_vault_has_no_room(tmp_path: Path) -> None:
    async def case() -> None:
        shared = MemoryTransport()
        first = await Node(tmp_path / "1", shared).start()
        second = await Node(tmp_path / "2", shared).start()
        second.knows(first)
        poor, rich = claim(POOR, 1), claim(RICH, 2)
        for it in (poor, rich):
            FolderBoard(first.root).tell(it)
        await second.until_has(rich)
        assert not second.has(poor)
        second.accounts |= {POOR.address}  # it pays in while its word still waits
        await second.until_has(poor)
        await first.carriage.stop()
        await second.carriage.stop()

    play(case)


def test_a_flood_of_false_signatures_ends_the_link_and_leaves_nothing(tmp_path: Path) -> None:
    async def case() -> None:
        shared = MemoryTransport()
        node = await Node(tmp_path / "node", shared).start()
        caller = Switchboard(shared)
        link = await caller.call(node.address, PURPOSE)
        true = claim(RICH, 1)
        false = [msgspec.structs.replace(true, round=at, signature=bytes(64)) for at in range(50)]
        await link.send(encode(BoardNews(bytes(8), 0, tuple(false))))
        with pytest.raises(CallRefused) as refused:
            await hear(link, BoardNews)
        assert refused.value.refusal.code == "peer.board"
        assert list(node.root.glob("*.message")) == []
        await node.carriage.stop()

    play(case)


def test_a_node_says_where_the_contracts_are(tmp_path: Path) -> None:
    async def case() -> None:
        shared = MemoryTransport()
        node = await Node(tmp_path / "node", shared).start()
        node.carriage.manifest = b'{"chain": 1}'
        caller = Switchboard(shared)
        found = await ask_manifest(lambda to, why: caller.call(to, why), node.address)
        assert found == b'{"chain": 1}'
        await node.carriage.stop()

    play(case)


def test_a_newer_offer_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    old, new = offer(RICH, nonce=0, expires=10), offer(RICH, nonce=1, expires=5)
    assert shelf.put(old, RICH.address)
    assert shelf.put(new, RICH.address)
    assert shelf.offers() == [new]
    assert not shelf.put(old, RICH.address)
    assert [it.name for it in tmp_path.iterdir()] == [FolderBoard.name_of(new)]
    assert shelf.after(bytes(8), 0).told == (new,)


def test_each_signer_has_so_much_room_and_no_more(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    shelf.each_max = most = 20
    true = claim(RICH, 0)
    for at in range(most + 5):
        shelf.put(msgspec.structs.replace(true, round=at), RICH.address)
    assert shelf.upto == most
    assert shelf.put(true, POOR.address) is False, "it is there already"
    assert shelf.put(claim(POOR, 9), POOR.address), "another signer has room of its own"


def test_a_board_that_is_opened_again_holds_what_it_held(tmp_path: Path) -> None:
    first = new_shelf(tmp_path)
    first.put(claim(RICH, 1), RICH.address)
    first.put(claim(RICH, 2), RICH.address)
    (tmp_path / "torn.message").write_bytes(b"half")
    again = new_shelf(tmp_path)
    again.own()
    assert {it.signer for it in again.held if it} == {RICH.address}
    assert set(again.after(bytes(8), 0).told) == {claim(RICH, 1), claim(RICH, 2)}


def test_to_who_heard_another_life_everything_is_told_again(tmp_path: Path) -> None:
    shelf = new_shelf(tmp_path)
    shelf.put(claim(RICH, 1), RICH.address)
    assert shelf.after(shelf.life, 1).told == ()
    assert shelf.after(b"another!", 1).told == (claim(RICH, 1),)
