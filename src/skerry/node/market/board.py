"""Where market parties tell each other what they signed: offers, claims, words.

What    `Board` is the port; `FolderBoard` keeps each message as a file of one folder.
Why     A network carries these messages between nodes; processes of one machine share a folder.
Rule    A message is named by its digest, so telling it twice changes nothing. Whoever reads checks
        the signature; a file that is no message is passed over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from skerry.base.digests import digest
from skerry.market.offers import Offer, Role
from skerry.messages.market import MarketClaim, MarketMessage, MarketOffer, MarketWord
from skerry.messages.wire import MessageError, decode, encode
from skerry.storage import StorageError, read_file, write_file
from skerry.storage.files import make_folder

SUFFIX = ".message"


class Board(Protocol):
    """Where messages are told and heard."""

    def tell(self, message: MarketMessage) -> None:
        """Tell everybody."""
        ...

    def hear(self) -> Iterator[MarketMessage]:
        """Yield what was not heard yet."""
        ...


class FolderBoard:
    """A board that is a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_folder(root)
        self._heard: set[str] = set()

    def tell(self, message: MarketMessage, *, durable: bool = True) -> None:
        """Write a message unless it is there; one that can be heard again need not be durable."""
        path = self.root / self.name_of(message)
        if not path.is_file():
            write_file(path, encode(message), durable=durable)

    @staticmethod
    def name_of(message: MarketMessage) -> str:
        """Return the name of a message's file."""
        return digest("market", encode(message)).hex() + SUFFIX

    def files(self) -> list[Path]:
        """Return the messages' files by name, without those that are being written."""
        found = self.root.glob(f"*{SUFFIX}")
        return sorted(it for it in found if not it.name.startswith("."))

    def drop(self, name: str) -> None:
        """Take a message away; who heard it keeps it."""
        (self.root / name).unlink(missing_ok=True)

    def set_aside(self, name: str, job: bytes) -> None:
        """Keep a message of a job that is over where only `set_aside_of` finds it."""
        folder = self._aside(job)
        make_folder(folder)
        with contextlib.suppress(FileNotFoundError):
            (self.root / name).replace(folder / name)

    def set_aside_of(self, job: bytes) -> Iterator[MarketMessage]:
        """Yield what was set aside of a job."""
        yield from read_messages(sorted(self._aside(job).glob(f"*{SUFFIX}")))

    def _aside(self, job: bytes) -> Path:
        return self.root / "over" / job.hex()

    def hear(self) -> Iterator[MarketMessage]:
        """Yield messages that were not heard yet."""
        fresh = [path for path in self.files() if path.name not in self._heard]
        self._heard.update(path.name for path in fresh)
        yield from read_messages(fresh)


def read_messages(paths: Iterable[Path]) -> Iterator[MarketMessage]:
    """Yield the messages in files; one that is none, or is gone, is passed over."""
    for path in paths:
        try:
            message = decode(read_file(path))
        except (MessageError, StorageError):
            continue
        if isinstance(message, MarketOffer | MarketClaim | MarketWord):
            yield message


def told_offer(offer: Offer, signature: bytes) -> MarketOffer:
    """Return an offer as it is told off the chain."""
    return MarketOffer(
        node=offer.node,
        role=int(offer.role),
        capability=offer.capability,
        lanes=offer.lanes,
        price=offer.price.to_bytes(12, "big"),
        stake=offer.stake.to_bytes(12, "big"),
        expires=offer.expires,
        seconds=offer.seconds,
        nonce=offer.nonce,
        secret=offer.secret,
        signature=signature,
    )


def heard_offer(message: MarketOffer) -> Offer:
    """Return the offer in a message."""
    return Offer(
        message.node,
        Role(message.role),
        message.capability,
        message.lanes,
        int.from_bytes(message.price, "big"),
        int.from_bytes(message.stake, "big"),
        message.expires,
        message.seconds,
        message.nonce,
        message.secret,
    )
