"""Blobs between nodes: one serves what it chooses to, the other fetches from whoever has it.

What    `BlobServer.serve(link)` answers one caller. `BlobClient.fetch(blobs, peers)` brings blobs
        into the store from several peers at once.
Why     Nodes share no disk, and a peer may be slow, wrong, silent or gone.
Rule    What is asked of whom is decided in storage/fetching.py; here are the links, the disk and
        the clock. Nothing enters the store but under the digest of its bytes. What a kill leaves
        is gone on with by the next fetch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, final

from skerry.base.errors import PeerError, SkerryError
from skerry.base.ids import short
from skerry.messages.blobs import (
    PART_BYTES,
    PART_MESSAGE_BYTES_MAX,
    BlobAsk,
    BlobGone,
    BlobHave,
    BlobPart,
    BlobWant,
)
from skerry.messages.membership import Refusal
from skerry.messages.wire import Message, MessageUnexpected, decode, encode
from skerry.storage import BlobStore
from skerry.storage.fetching import (
    Check,
    Drop,
    Fetch,
    FetchTerms,
    Forget,
    Held,
    Keep,
    Say,
    part_bytes,
    part_count,
)
from skerry.storage.partial import PartialBlob, has_partial
from skerry.transport import Link, LinkLost

IDLE_SECONDS = 60.0
_TICK_SECONDS = 0.25
_EVENTS_MAX = 32
_REASONS_MAX = 4

Peer = TypeVar("Peer")
MayServe: TypeAlias = Callable[[bytes | None, bytes], bool]


class BlobsUnavailable(PeerError):
    """Nobody who was asked has the blobs, or none of those who do can be trusted or reached."""

    code = "peer.blobs"

    def __init__(self, missing: Sequence[bytes], reasons: Sequence[str]) -> None:
        self.missing = tuple(missing)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        told = "; ".join(reasons[:_REASONS_MAX])
        left_out = f"; and {len(reasons) - _REASONS_MAX} more" if reasons[_REASONS_MAX:] else ""
        super().__init__(
            f"nobody gave blob {short(missing[0])}{more} ({told or 'no peer is known'}{left_out})",
            next_step="try again when more nodes are up (`skerry nodes` shows them)",
        )


@final
class BlobServer:
    """Serves parts of the blobs of one store.

    Args:
        store: where the blobs are.
        may_serve: whether the node of that key (None where the transport proves none) may have
            the blob of that digest. What it may not have looks as if it were not here.
        idle_seconds: how long a caller may say nothing.
    """

    def __init__(
        self, store: BlobStore, may_serve: MayServe, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._store = store
        self._may_serve = may_serve
        self._idle_seconds = idle_seconds
        self.bytes_served = 0

    async def serve(self, link: Link) -> None:
        """Answer one caller until he goes or falls silent.

        Raises:
            MessageError: he sent something else than questions about blobs.
        """
        with contextlib.suppress(LinkLost, TimeoutError):
            while True:
                async with asyncio.timeout(self._idle_seconds):
                    message = decode(await link.receive())
                await link.send(encode(await asyncio.to_thread(self._answer, link, message)))

    def _answer(self, link: Link, message: Message) -> Message:
        match message:
            case BlobAsk(blobs):
                return BlobHave(tuple(self._size(link, blob) for blob in blobs))
            case BlobWant(blob, part):
                return self._part(link, blob, part)
            case _:
                raise MessageUnexpected(f"it is a {type(message).__name__}, no question for blobs")

    def _size(self, link: Link, blob: bytes) -> int | None:
        if self._may_serve(link.peer_key, blob) and self._store.has(blob):
            return self._store.size(blob)
        return None

    def _part(self, link: Link, blob: bytes, part: int) -> Message:
        size = self._size(link, blob)
        if size is None or part >= part_count(size):
            return BlobGone(blob, part)
        try:
            data = self._store.part(blob, part * PART_BYTES, part_bytes(size, part))
        except SkerryError:
            return BlobGone(blob, part)
        self.bytes_served += len(data)
        return BlobPart(blob, part, data)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch came to.

    Attributes:
        blobs: how many blobs were brought, those that were here already not counted.
        bytes: bytes of parts that came, those that had to come twice included.
        dropped: why peers were dropped or lost, by their place in the list of peers.
    """

    blobs: int
    bytes: int
    dropped: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Event:
    """What a source did: it was reached, said something, or was lost for a reason."""

    source: int
    said: Message | None = None
    lost: str = ""


@final
class BlobClient(Generic[Peer]):
    """Fetches blobs into a store.

    Args:
        store: where they go.
        call: returns a link to a peer on which blobs are the subject; a `PeerError` says why not.
        terms: limits of a fetch.
    """

    def __init__(
        self,
        store: BlobStore,
        call: Callable[[Peer], Awaitable[Link]],
        *,
        terms: FetchTerms | None = None,
    ) -> None:
        self._store = store
        self._call = call
        self._terms = terms or FetchTerms()

    async def fetch(self, blobs: Iterable[bytes], peers: Sequence[Peer]) -> Fetched:
        """Bring those of `blobs` that are not in the store from whichever of `peers` have them.

        Raises:
            BlobsUnavailable: some could not be had; the others are in the store.
            StorageError: the disk is full or forbids it.
        """
        wanted = [it for it in dict.fromkeys(blobs) if not self._store.has(it)]
        if not wanted:
            return Fetched(0, 0, {})
        return await _Fetching(self._store, self._call, self._terms, wanted, peers).run()


@final
class _Fetching(Generic[Peer]):
    """One fetch under way: a task for each peer, and the loop that acts on what they report."""

    def __init__(
        self,
        store: BlobStore,
        call: Callable[[Peer], Awaitable[Link]],
        terms: FetchTerms,
        wanted: Sequence[bytes],
        peers: Sequence[Peer],
    ) -> None:
        self._store = store
        self._call = call
        self._peers = peers
        self._wanted = wanted
        self._partials: dict[bytes, PartialBlob] = {}
        held = {it: left for it in wanted if (left := self._resume(it)) is not None}
        self._fetch = Fetch(wanted, len(peers), held=held, terms=terms)
        self._events: asyncio.Queue[_Event] = asyncio.Queue(_EVENTS_MAX)
        self._to_say: list[asyncio.Queue[Message]] = [asyncio.Queue() for _ in peers]
        self._tasks: list[asyncio.Task[None]] = []
        self._busy_seconds = 0.0

    def _now(self) -> float:
        """Return monotonic seconds less what our own disk took: that is no peer's silence."""
        return time.monotonic() - self._busy_seconds

    def _resume(self, blob: bytes) -> Held | None:
        return self._partial(blob).held if has_partial(self._store, blob) else None

    def _partial(self, blob: bytes) -> PartialBlob:
        if blob not in self._partials:
            self._partials[blob] = PartialBlob(self._store, blob)
        return self._partials[blob]

    async def run(self) -> Fetched:
        """Fetch until all is here or nobody has the rest."""
        sources = range(len(self._peers))
        self._tasks = [asyncio.ensure_future(self._talk(source)) for source in sources]
        try:
            while not self._fetch.over:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_SECONDS):
                        self._hear(await self._events.get())
                self._fetch.tick(self._now())
                began = time.monotonic()
                await self._act()
                self._busy_seconds += time.monotonic() - began
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for partial in self._partials.values():
                partial.close()
        reasons = {source: why for source in sources if (why := self._fetch.gone(source))}
        if missing := self._fetch.missing:
            told = [f"{str(self._peers[source])[:24]}: {why}" for source, why in reasons.items()]
            others = len(self._peers) - len(told)
            raise BlobsUnavailable(missing, [*told, f"{others} have none"] if others else told)
        return Fetched(len(self._wanted), self._fetch.bytes_taken, reasons)

    # -- one peer

    async def _talk(self, source: int) -> None:
        """Report what one peer does, until it is lost or we are done."""
        link: Link | None = None
        speaking: asyncio.Task[None] | None = None
        try:
            link = await self._call(self._peers[source])
            await self._events.put(_Event(source))
            speaking = asyncio.ensure_future(self._speak(link, self._to_say[source]))
            while True:
                said = decode(await link.receive(), bytes_max=PART_MESSAGE_BYTES_MAX)
                if isinstance(said, Refusal):
                    await self._events.put(_Event(source, lost=f"it refused: {said.message}"))
                    return
                await self._events.put(_Event(source, said))
        except PeerError as error:
            await self._events.put(_Event(source, lost=error.message))
        except TimeoutError:
            await self._events.put(_Event(source, lost="it did not answer in time"))
        finally:
            if speaking is not None:
                speaking.cancel()
            if link is not None:
                await link.close()

    @staticmethod
    async def _speak(link: Link, to_say: asyncio.Queue[Message]) -> None:
        with contextlib.suppress(LinkLost):  # who reads hears of it too
            while True:
                await link.send(encode(await to_say.get()))

    # -- what is decided

    def _hear(self, event: _Event) -> None:
        now = self._now()
        if event.lost:
            self._fetch.lose(event.source, event.lost, now)
        elif event.said is None:
            self._fetch.reach(event.source, now)
        else:
            self._fetch.tell(event.source, event.said, now)

    async def _act(self) -> None:
        """Do what the fetch says; a check may lead to more."""
        while actions := self._fetch.actions():
            for action in actions:
                match action:
                    case Say(source, message):
                        self._to_say[source].put_nowait(message)
                    case Drop(source, _):
                        self._tasks[source].cancel()
                    case Forget(blob):
                        self._partial(blob).forget()
                    case Keep(blob, size, part, data):
                        await asyncio.to_thread(self._partial(blob).write, size, part, data)
                    case Check(blob, size):
                        right = await asyncio.to_thread(self._partial(blob).adopt, size)
                        if right:
                            self._partials.pop(blob).close()
                        self._fetch.checked(blob, right=right, now=self._now())
