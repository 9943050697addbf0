"""The carriage of board messages between nodes: the purpose "market", both sides of it.

What    `Carriage` keeps one link to each of some peers and asks there for what is new, answers who
        asks here, and tells `news` when something came.
Why     An offer must reach every client and a claim every party of its job, through whoever is up;
        and whoever comes later hears what still stands.
Rule    On a link each message of the caller gets one answer. `BoardWant` is answered when there is
        something, or after a while with nothing; `BoardNews`, which only those send whom nobody can
        call, with news of nothing. A message counts if an address with money in the vault signed
        it; who is not known to have any waits, briefly and with few, until the chain was asked.
Units   Seconds of a monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from skerry.base.clock import Clock
from skerry.base.errors import PeerError, SkerryError
from skerry.market.offers import NOBODY
from skerry.messages.boards import (
    MANIFEST_BYTES_MAX,
    NEWS_MAX,
    BoardNews,
    BoardWant,
    ManifestTold,
    ManifestWant,
)
from skerry.messages.market import MarketMessage
from skerry.messages.wire import Message, MessageUnexpected, decode, encode
from skerry.node.daemon.switchboard import Caller, hear
from skerry.node.market.shelf import Shelf
from skerry.transport import Link

PURPOSE = "market"
LINKS_MAX = 16
HOLD_SECONDS = 4.0
ANSWER_SECONDS = 12.0
TURN_SECONDS = 0.25
RETRY_SECONDS = 1.0
ACCOUNTS_SECONDS = 1.0
FALSE_MAX = 8
WAITING_MAX = 512
TRIES_MAX = 5
MESSAGES_A_SECOND_MAX = 50
NEWS_BYTES_MAX = 1 << 18
NO_LIFE = bytes(8)

Dial = Callable[[str, str], Awaitable[Link]]


class BoardFlooded(PeerError):
    """A peer sends market messages that nobody signed, or more than anybody has."""

    code = "peer.board"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the board's link is closed: {why}",
            next_step="run the same version of skerry, on the chain of this network",
        )


@dataclass
class Waiting:
    """A message whose signer is not known to have money, and how often the chain was asked."""

    message: MarketMessage
    signer: bytes
    tries: int = 0


@dataclass
class Carriage:
    """One node's part in carrying messages.

    Attributes:
        shelf: what is here; None until the contracts are known.
        dial: opens a link to an address for a purpose.
        peers: where others can be called, by their keys.
        clock: monotonic seconds.
        accounts: asks who has money in the vault.
        manifest: where the contracts are, as a manifest's file says it; empty while unknown.
        news: is told that something came.
        told: is told what happens, as an event and its facts.
        pushes: whether this node tells others unasked, since nobody can call it.
    """

    dial: Dial
    peers: Callable[[], Mapping[bytes, str]]
    clock: Clock
    accounts: Callable[[], Awaitable[frozenset[bytes]]]
    shelf: Shelf | None = None
    manifest: bytes = b""
    news: Callable[[], None] = lambda: None
    told: Callable[[str, dict[str, object]], None] = lambda kind, facts: None
    pushes: bool = False
    rich: frozenset[bytes] = frozenset()
    _pulls: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    _places: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: dict[str, Waiting] = field(default_factory=dict)
    _main: tuple[asyncio.Task[None], ...] = ()

    # -- life

    def start(self) -> None:
        """Begin to ask others, and to look for what this node's desk told."""
        self._main = self._spawn(self._go_round()), self._spawn(self._look_up_in_turn())

    async def stop(self) -> None:
        """End every task."""
        tasks = [*self._pulls.values(), *self._main]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _go_round(self) -> None:
        while True:
            if self.shelf is not None:
                await self.look()
                self._keep_pulling()
            await asyncio.sleep(TURN_SECONDS)

    async def look(self) -> None:
        """Take up what this node's own desk told."""
        assert self.shelf is not None
        if await asyncio.to_thread(self.shelf.own):
            self._rouse()

    def _rouse(self) -> None:
        """Wake everybody who waits for something new."""
        self._came.set()
        self._came = asyncio.Event()

    def _keep_pulling(self) -> None:
        self._pulls = {key: task for key, task in self._pulls.items() if not task.done()}
        for key, address in self.peers().items():
            if len(self._pulls) >= LINKS_MAX:
                break
            if key not in self._pulls and address:
                self._pulls[key] = self._spawn(self._pull(key, address))

    @staticmethod
    def _spawn(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        return asyncio.ensure_future(work)

    # -- asking

    async def _pull(self, key: bytes, address: str) -> None:
        """Hear what one peer has, and what comes to it, until it is gone."""
        try:
            link = await self._dialled(address)
            try:
                await self._hear_from(key, link)
            finally:
                await link.close()
        except (SkerryError, TimeoutError) as error:
            self.told("market link", {"node": key.hex(), "reason": str(error).splitlines()[0]})
            await asyncio.sleep(RETRY_SECONDS)

    async def _dialled(self, address: str) -> Link:
        async with asyncio.timeout(ANSWER_SECONDS):
            link = await self.dial(address, PURPOSE)
        link.admit()
        return link

    async def _hear_from(self, key: bytes, link: Link) -> None:
        pushed = 0
        while True:
            life, place = self._places.get(key, (NO_LIFE, 0))
            if self.pushes:
                pushed = await self._push(link, pushed)
            async with asyncio.timeout(ANSWER_SECONDS):
                await link.send(encode(BoardWant(life, place)))
                heard = await hear(link, BoardNews, bytes_max=NEWS_BYTES_MAX)
            await self.take(heard.told)
            self._places[key] = heard.life, heard.upto

    async def _push(self, link: Link, pushed: int) -> int:
        """Tell a peer what this node has and it may lack; return up to where it was told."""
        assert self.shelf is not None
        news = self.shelf.after(self.shelf.life, pushed)
        if news.told:
            async with asyncio.timeout(ANSWER_SECONDS):
                await link.send(encode(news))
                await hear(link, BoardNews, bytes_max=NEWS_BYTES_MAX)
        return news.upto

    # -- being asked

    async def answer(self, caller: Caller) -> None:
        """Answer a peer until it goes, no faster than it may ask."""
        link, began, count = caller.link, self.clock.now(), 0
        link.admit()
        while True:
            message = decode(await link.receive(), bytes_max=NEWS_BYTES_MAX)
            count += 1
            if count > MESSAGES_A_SECOND_MAX * (self.clock.now() - began + 2):
                raise BoardFlooded("more questions came than anybody has")
            await link.send(encode(await self._reply(message)))

    async def _reply(self, message: Message) -> Message:
        match message:
            case ManifestWant():
                return ManifestTold(self.manifest)
            case BoardWant(life=life, after=after):
                return await self._news_for(life, after)
            case BoardNews(told=told):
                if self.shelf is not None:
                    await self.take(told)
                return self._nothing()
            case _:
                raise MessageUnexpected(f"a {type(message).__name__} is no word about a board")

    def _nothing(self) -> BoardNews:
        life, upto = (self.shelf.life, self.shelf.upto) if self.shelf else (NO_LIFE, 0)
        return BoardNews(life, upto, ())

    async def _news_for(self, life: bytes, after: int) -> BoardNews:
        """Return what came after a place, waiting for it a while."""
        ends = self.clock.now() + HOLD_SECONDS
        while True:
            came = self._came
            news = self.shelf.after(life, after) if self.shelf else self._nothing()
            left = ends - self.clock.now()
            if news.told or left <= 0:
                return news
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await came.wait()

    # -- taking in

    async def take(self, told: tuple[MarketMessage, ...]) -> int:
        """Take in what somebody told; return how much of it was new and counts.

        Raises:
            BoardFlooded: too much of it was signed by nobody.
        """
        assert self.shelf is not None, "nothing is heard before the contracts are known"
        fresh = [it for it in told[:NEWS_MAX] if not self.shelf.knows(it)]
        if not fresh:
            return 0
        signers = await asyncio.to_thread(lambda: [self._signer(it) for it in fresh])
        if signers.count(NOBODY) > FALSE_MAX:
            raise BoardFlooded("its messages are signed by nobody")
        count = 0
        for message, signer in zip(fresh, signers, strict=True):
            if signer in self.rich:
                count += await asyncio.to_thread(self.shelf.put, message, signer)
            elif signer != NOBODY and len(self._waiting) < WAITING_MAX:
                self._waiting.setdefault(
                    self.shelf.board.name_of(message), Waiting(message, signer)
                )
        self._note_new(count)
        return count

    def _note_new(self, count: int) -> None:
        if count:
            self._rouse()
            self.news()

    def _signer(self, message: MarketMessage) -> bytes:
        assert self.shelf is not None
        return self.shelf.signer_of(message)

    async def _look_up(self) -> None:
        """Ask the chain about those who wait, and take in the messages of whoever has money."""
        assert self.shelf is not None
        with contextlib.suppress(SkerryError):
            self.rich = await self.accounts()
        count = 0
        for name, it in list(self._waiting.items()):
            it.tries += 1
            if it.signer in self.rich:
                count += await asyncio.to_thread(self.shelf.put, it.message, it.signer)
            if it.signer in self.rich or it.tries >= TRIES_MAX:
                self._waiting.pop(name)
        self._note_new(count)

    async def _look_up_in_turn(self) -> None:
        while True:
            if self._waiting:
                await self._look_up()
            await asyncio.sleep(ACCOUNTS_SECONDS)


async def ask_manifest(dial: Dial, address: str) -> bytes:
    """Return where the contracts are, as the node at an address says it; empty if it knows none.

    Raises:
        PeerError: it cannot be reached, or answers none of it.
        TimeoutError: not in time.
    """
    async with asyncio.timeout(ANSWER_SECONDS):
        link = await dial(address, PURPOSE)
        try:
            link.admit()
            await link.send(encode(ManifestWant()))
            told = await hear(link, ManifestTold, bytes_max=MANIFEST_BYTES_MAX + 1024)
        finally:
            await link.close()
    return told.manifest
