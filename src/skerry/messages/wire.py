"""Messages as bytes: one encoding per value, and a decoder that trusts nobody.

What    `encode(message)` and `decode(data)`. `Message` is the registry: a new kind of message
        joins the union below, and its struct carries a tag "name/version" of its own.
Why     What is signed must have exactly one spelling, and what arrives may be hostile.
Rule    MessagePack maps, the tag under "type" first, fields in the order of their definition,
        shortest forms. Bytes that decode but would be encoded otherwise are refused.
Pure    No IO.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec

from skerry.base.errors import PeerError
from skerry.messages.blobs import BlobMessage
from skerry.messages.boards import BoardMessage
from skerry.messages.disputes import (
    Open,
    Pick,
    RevealLeaf,
    RevealParts,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.messages.leased import LeasedMessage
from skerry.messages.market import MarketMessage
from skerry.messages.membership import MembershipMessage
from skerry.messages.receipts import Receipt, Unit
from skerry.messages.rounds import RoundMessage

MESSAGE_BYTES_MAX = 1 << 20

Message: TypeAlias = (
    Unit
    | Receipt
    | Open
    | Pick
    | RevealRoots
    | RevealTrace
    | RevealStep
    | RevealLeaf
    | RevealParts
    | RoundMessage
    | MembershipMessage
    | BlobMessage
    | LeasedMessage
    | MarketMessage
    | BoardMessage
)
AnyMessage = TypeVar("AnyMessage", bound=Message)

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class MessageError(PeerError):
    """A peer sent bytes that are not a message of ours."""

    code = "peer.message"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"a message was refused: {reason}",
            next_step="ask another peer; if it persists, compare versions with `skerry --version`",
        )


class MessageTooLong(MessageError):
    """A message is longer than its reader allows."""

    code = "peer.message.length"


class MessageMalformed(MessageError):
    """Bytes are no message, of an unknown kind or version, or break a field's limits."""

    code = "peer.message.form"


class MessageNotCanonical(MessageError):
    """A message was spelled in a way of its own: two spellings would have two digests."""

    code = "peer.message.spelling"


class MessageUnexpected(MessageError):
    """A sound message of another kind than the one that was due."""

    code = "peer.message.kind"


def encode(message: Message) -> bytes:
    """Return the one spelling of `message`."""
    return _ENCODER.encode(message)


def decode(data: bytes | memoryview, *, bytes_max: int = MESSAGE_BYTES_MAX) -> Message:
    """Return the message that `data` spells.

    Raises:
        MessageError: the bytes are too long, malformed or not canonical.
    """
    if len(data) > bytes_max:
        raise MessageTooLong(f"it has {len(data)} bytes where {bytes_max} are allowed")
    try:
        message = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageMalformed(str(error)) from None
    if encode(message) != data:
        raise MessageNotCanonical("it is not spelled canonically")
    return message


def decode_as(
    kind: type[AnyMessage], data: bytes | memoryview, *, bytes_max: int = MESSAGE_BYTES_MAX
) -> AnyMessage:
    """Return the message that `data` spells, which must be of `kind`.

    Raises:
        MessageError: as `decode`, and where the message is of another kind.
    """
    message = decode(data, bytes_max=bytes_max)
    if not isinstance(message, kind):
        raise MessageUnexpected(f"it is a {type(message).__name__}, not a {kind.__name__}")
    return message
