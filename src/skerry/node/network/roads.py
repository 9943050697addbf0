"""Roads: how one node calls another.

What    `Roads.call(node, call)` connects, says what it wants, and returns the link.
Why     Every conversation between nodes begins alike, and where a node is now can change while
        its key does not.
Rule    A node whose pulse is gone is called all the same, but not waited for: who follows a lost
        coordinator asks all others first, the lost one included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Announcement, Call, Refusal
from skerry.messages.wire import Message, decode, encode
from skerry.node.daemon.switchboard import CallRefused
from skerry.transport import Link, Transport

CALL_SECONDS = 4.0
LOST_SECONDS = 0.75


@dataclass(frozen=True)
class Roads:
    """The ways to other nodes.

    Attributes:
        transport: carries the links.
        locate: returns where a node of that key was seen last, or "" where it was not.
        lost: returns whether the node of that key has been silent for too long.
        seconds: how long connecting to any other may take.
    """

    transport: Transport
    locate: Callable[[bytes], str] = lambda key: ""
    lost: Callable[[bytes], bool] = lambda key: False
    seconds: float = CALL_SECONDS

    def patience(self, key: bytes) -> float:
        """Return for how long a call to a node is waited for, in seconds."""
        return min(LOST_SECONDS, self.seconds) if self.lost(key) else self.seconds

    async def call(self, node: NodeAddress, call: Call) -> Link:
        """Return a link to `node` on which `call` has been said.

        Raises:
            LinkRefused, LinkLost: it cannot be reached.
            TimeoutError: not in time.
        """
        async with asyncio.timeout(self.patience(node.key)):
            link = await self.transport.connect(self.locate(node.key) or node.address)
            await link.send(encode(call))
            return link


def address_of(it: Announcement) -> NodeAddress:
    """Return where a node can be called, or the address without a place of one that only calls."""
    return NodeAddress(it.signer, it.endpoints[0] if it.endpoints else f"{it.signer.hex()}@")


async def hear(link: Link, *, bytes_max: int) -> Message:
    """Return the next message on a link.

    Raises:
        CallRefused: it is a refusal.
        MessageError: it is no message of ours.
        LinkLost: the peer is gone.
    """
    message = decode(await link.receive(), bytes_max=bytes_max)
    if isinstance(message, Refusal):
        raise CallRefused(link.peer, message)
    return message


async def say(link: Link, message: Message) -> None:
    """Send a message."""
    await link.send(encode(message))
