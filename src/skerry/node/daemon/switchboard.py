"""Who answers what: one table from the purpose of a call to the conversation that follows.

What    `Switchboard.register(purpose, answer)` adds a conversation, `accept` receives every link,
        and `call` opens a conversation with another node. `hear` returns the next message of a
        link, and raises what the other side refused.
Why     Gossip, blobs, runs and leases share one port and one identity, and know nothing of each
        other.
Rule    The first frame of a link is a `Call`. A stranger who says nothing, something else, or
        another protocol gets a `Refusal` and no more of our time. An error of ours that has a code
        is told to the caller; any other ends the link and is raised where the daemon sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from skerry.base.errors import PeerError, SkerryError
from skerry.base.ids import nickname
from skerry.messages.membership import NETWORK_PROTOCOL, Call, Refusal
from skerry.messages.wire import (
    MESSAGE_BYTES_MAX,
    Message,
    MessageUnexpected,
    decode,
    encode,
)
from skerry.transport import Link, LinkLost, Transport

CALL_BYTES_MAX = 1024
CALL_SECONDS_MAX = 10.0
LINKS_EACH_MAX = 64
_TEXT_MAX = 1000

AnyMessage = TypeVar("AnyMessage", bound=Message)


class CallRefused(PeerError):
    """A node will not do what it was asked; its own words say why."""

    code = "peer.call"

    def __init__(self, peer: str, refusal: Refusal) -> None:
        self.peer = peer
        self.refusal = refusal
        super().__init__(
            f"{peer} refused ({refusal.code}): {refusal.message}",
            next_step=refusal.next_step or "ask another node",
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called, what for, and the link on which to answer.

    Attributes:
        link: the conversation; it is closed when the answer returns.
        call: what the caller wants.
        key: the caller's node key where the transport has authenticated one, else None.
    """

    link: Link
    call: Call
    key: bytes | None


Answer: TypeAlias = Callable[[Caller], Awaitable[None]]


def key_of(link: Link) -> bytes | None:
    """Return the key that the transport has authenticated for the other end, or None."""
    key: bytes | None = getattr(link, "peer_key", None)
    return key


@dataclass
class Switchboard:
    """The table, and the links that are open.

    Attributes:
        transport: by which other nodes are called.
        trouble: told an error that is a bug of ours, with the purpose of the call.
    """

    transport: Transport
    trouble: Callable[[str, BaseException], None] = lambda purpose, error: None
    _answers: dict[str, Answer] = field(default_factory=dict)
    _open: dict[bytes, int] = field(default_factory=dict)

    def register(self, purpose: str, answer: Answer) -> None:
        """Let `answer` hold all conversations of `purpose`; each purpose has one."""
        assert purpose not in self._answers, f"two parts of this node answer {purpose!r}"
        self._answers[purpose] = answer

    @property
    def purposes(self) -> tuple[str, ...]:
        """What this node answers."""
        return tuple(sorted(self._answers))

    async def accept(self, link: Link, first: bytes | None = None) -> None:
        """Hold one conversation that another node opened, from its first frame to its end.

        Args:
            link: the conversation.
            first: its first frame, where that was received already.
        """
        key = key_of(link) or b""
        self._open[key] = self._open.get(key, 0) + 1
        purpose = "?"
        try:
            call = await self._first(link, first)
            if isinstance(call, Refusal):
                await link.send(encode(call))
            elif call is not None:
                purpose = call.purpose
                await self._answers[purpose](Caller(link, call, key or None))
        except LinkLost:
            pass  # the caller is gone: nobody to answer
        except SkerryError as error:
            await refuse(link, error.code, error.message, error.next_step)
        except Exception as error:
            self.trouble(purpose, error)
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
            await link.close()

    async def _first(self, link: Link, first: bytes | None) -> Call | Refusal | None:
        """Return the call with which a link opens, why it is refused, or None where none came."""
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                frame = await link.receive() if first is None else first
                message = decode(frame, bytes_max=CALL_BYTES_MAX)
        except TimeoutError:
            return None
        if not isinstance(message, Call):
            raise MessageUnexpected(f"a {type(message).__name__} came where a Call was due")
        if message.protocol != NETWORK_PROTOCOL:
            said = f"this node speaks protocol {NETWORK_PROTOCOL}, the call {message.protocol}"
            return Refusal("peer.version", said, "let both run the same version of skerry")
        if message.purpose not in self._answers:
            said = f"this node does not answer {message.purpose!r}"
            return Refusal("peer.purpose", said, "ask a node with another role")
        key = key_of(link) or b""
        if key and self._open[key] > LINKS_EACH_MAX:
            return Refusal("peer.links", f"{nickname(key)} has {LINKS_EACH_MAX} links open")
        return message

    async def call(
        self, address: str, purpose: str, *, job: bytes | None = None, fence: int = 0
    ) -> Link:
        """Return a link to the node at `address` on which `purpose` is the subject.

        Raises:
            LinkRefused: nobody is there.
            LinkLost: it went away at once.
        """
        return await open_call(self.transport, address, purpose, job=job, fence=fence)


async def open_call(
    transport: Transport, address: str, purpose: str, *, job: bytes | None = None, fence: int = 0
) -> Link:
    """Return a link on which a call was made; for whoever has no switchboard of its own."""
    link = await transport.connect(address)
    try:
        await link.send(encode(Call(purpose, job, fence)))
    except BaseException:
        await link.close()
        raise
    return link


async def hear(
    link: Link, kind: type[AnyMessage], *, bytes_max: int = MESSAGE_BYTES_MAX
) -> AnyMessage:
    """Return the next message of `link`, which must be of `kind`.

    Raises:
        CallRefused: the other side refused instead.
        MessageError: it sent something else.
        LinkLost: it is gone.
    """
    message = decode(await link.receive(), bytes_max=bytes_max)
    if isinstance(message, Refusal) and kind is not Refusal:
        raise CallRefused(link.peer, message)
    if not isinstance(message, kind):
        raise MessageUnexpected(f"a {type(message).__name__} came for a {kind.__name__}")
    return message


async def refuse(link: Link, code: str, message: str, next_step: str) -> None:
    """Tell the other side that it will not be, and why; harmless when it is gone."""
    refusal = Refusal(code[:64], message[:_TEXT_MAX], next_step[:_TEXT_MAX])
    with contextlib.suppress(LinkLost):
        await link.send(encode(refusal))
