"""What a node's board holds, in the order in which it came, within limits.

What    `Shelf.put` takes a message from elsewhere, `own` finds what this node's own desk told, and
        `after` returns what came after a place.
Why     Whoever asks wants only what is new to it; and a board that anyone may fill is soon full.
Rule    Room belongs to signers: each has so many messages and no more, and of its offers in one
        role only the newest is passed on. Who has no money in the vault has no room, unless
        the message is this node's own. When all room is taken, nothing more comes in. What is
        about a job that is over leaves its room, as does an offer that has expired.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from skerry.messages.boards import NEWS_MAX, BoardNews
from skerry.messages.market import MarketClaim, MarketMessage, MarketOffer, MarketWord
from skerry.messages.wire import MessageError, decode
from skerry.node.market.board import FolderBoard
from skerry.storage import read_file

EACH_MAX = 4096
ALL_MAX = 1 << 15
MARKET_BYTES_MAX = 1024

SignerOf = Callable[[MarketMessage], bytes]


def job_of(message: MarketMessage) -> bytes:
    """Return the job that a message is about; empty for an offer."""
    return b"" if isinstance(message, MarketOffer) else message.job


@dataclass(frozen=True, slots=True)
class Held:
    """One message on the board: its name, who signed it, and what it says."""

    name: str
    signer: bytes
    message: MarketMessage


@dataclass
class Shelf:
    """A board's messages.

    Attributes:
        board: the folder that the desk reads.
        signer_of: returns the address that signed a message; zeros where none did.
        life: names this run of the numbering.
        held: the messages, each at its place less one; None where one was replaced.
        each_max: messages of one signer.
        all_max: messages of all.
    """

    board: FolderBoard
    signer_of: SignerOf
    life: bytes
    held: list[Held | None] = field(default_factory=list)
    each_max: int = EACH_MAX
    all_max: int = ALL_MAX
    _guard: Lock = field(default_factory=Lock)
    _names: set[str] = field(default_factory=set)
    _counts: dict[bytes, int] = field(default_factory=dict)
    _offers: dict[tuple[bytes, int], int] = field(default_factory=dict)
    _over: set[bytes] = field(default_factory=set)

    def knows(self, message: MarketMessage) -> bool:
        """Return whether a message is here, or is about a job that is over."""
        return job_of(message) in self._over or self.board.name_of(message) in self._names

    def own(self) -> int:
        """Take up what this node's desk told meanwhile; return how many that were."""
        with self._guard:
            return self._own()

    def _own(self) -> int:
        count = 0
        for path in self._new_files():
            self._names.add(path.name)
            try:
                message = decode(read_file(path), bytes_max=MARKET_BYTES_MAX)
            except MessageError:
                continue
            if isinstance(message, MarketOffer | MarketClaim | MarketWord):
                self._append(Held(path.name, self.signer_of(message), message))
                count += 1
        return count

    def _new_files(self) -> list[Path]:
        files = [it for it in self.board.files() if it.name not in self._names]
        return sorted(files, key=lambda it: (it.stat().st_mtime_ns, it.name))

    def put(self, message: MarketMessage, signer: bytes) -> bool:
        """Take a message from elsewhere; return whether there was room for it."""
        with self._guard:
            return self._put(message, signer)

    def _put(self, message: MarketMessage, signer: bytes) -> bool:
        if self.knows(message):
            return False
        name = self.board.name_of(message)
        if len(self._names) >= self.all_max or self._counts.get(signer, 0) >= self.each_max:
            return False
        if isinstance(message, MarketOffer) and not self._is_newer(message, signer):
            return False
        self.board.tell(message, durable=False)
        self._names.add(name)
        self._append(Held(name, signer, message))
        return True

    def _is_newer(self, offer: MarketOffer, signer: bytes) -> bool:
        place = self._offers.get((signer, offer.role))
        last = self.held[place] if place is not None else None
        if last is None or not isinstance(last.message, MarketOffer):
            return True
        return (offer.nonce, offer.expires) > (last.message.nonce, last.message.expires)

    def _append(self, it: Held) -> None:
        if isinstance(it.message, MarketOffer):
            key = it.signer, it.message.role
            before = self._offers.get(key)
            if not self._is_newer(it.message, it.signer):
                return
            if before is not None:
                self._drop(before)
            self._offers[key] = len(self.held)
        self._counts[it.signer] = self._counts.get(it.signer, 0) + 1
        self.held.append(it)

    def _forget(self, place: int) -> Held | None:
        """Pass a message on no more, and let its signer have the room."""
        gone, self.held[place] = self.held[place], None
        if gone is not None:
            self._names.discard(gone.name)
            self._counts[gone.signer] -= 1
        return gone

    def _drop(self, place: int) -> None:
        gone = self._forget(place)
        if gone is not None:
            self.board.drop(gone.name)

    # -- what nobody needs any more

    def jobs(self) -> frozenset[bytes]:
        """Return the jobs that messages here are about."""
        with self._guard:
            found = {job_of(it.message) for it in self.held if it is not None}
        return frozenset(found - {b""})

    def clear(self, over: Collection[bytes], now: int, own: Collection[bytes] = ()) -> None:
        """Make room: forget jobs that are over, and offers that have expired.

        Args:
            over: jobs that are closed on the chain.
            now: the second.
            own: jobs whose messages are set aside, since a statement is made of them.
        """
        with self._guard:
            self._over |= set(over)
            for place, it in enumerate(self.held):
                if it is None:
                    continue
                job = job_of(it.message)
                if isinstance(it.message, MarketOffer) and it.message.expires < now:
                    self._drop(place)
                    self._offers.pop((it.signer, it.message.role), None)
                elif job in own and job in self._over:
                    self._forget(place)
                    self.board.set_aside(it.name, job)
                elif job in self._over:
                    self._drop(place)

    @property
    def upto(self) -> int:
        """The place of the last message."""
        return len(self.held)

    def after(self, life: bytes, place: int) -> BoardNews:
        """Return what came after a place of this life; of another one, from the beginning."""
        at = min(place, len(self.held)) if life == self.life else 0
        told: list[MarketMessage] = []
        while at < len(self.held) and len(told) < NEWS_MAX:
            it = self.held[at]
            at += 1
            if it is not None:
                told.append(it.message)
        return BoardNews(self.life, at, tuple(told))

    def offers(self) -> list[MarketOffer]:
        """Return the newest offer of each signer in each role."""
        found = [self.held[place] for place in self._offers.values()]
        return [it.message for it in found if it and isinstance(it.message, MarketOffer)]
