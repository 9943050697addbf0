"""The port: what every way of moving frames between machines offers.

What    `Transport.listen` and `.connect` give `Link`s; a `Link` sends and receives whole frames.
Why     TCP sockets, QUIC and memory must look the same to the rooms above.
Rule    Everything is authenticated before the first frame: by a secret that both hold (TCP), or
        by the peer's key, which is then `Link.peer_key` (iroh).
        A frame arrives whole, once and in order, or the link is lost. A cancelled `receive` loses
        nothing: the next call returns the frame. An empty frame never reaches the caller.
Units   Counted bytes are what the link itself puts on the wire: frame lengths, handshakes and
        heartbeats included; headers of the protocols below it are not visible here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from skerry.base.errors import PeerError

FRAME_BYTES_MAX = 1 << 30
LENGTH_BYTES = 4


class LinkLost(PeerError):
    """The other side is gone: it closed, fell silent, or sent what is no frame."""

    code = "peer.lost"

    def __init__(self, peer: str, reason: str) -> None:
        self.peer = peer
        self.reason = reason
        super().__init__(f"lost {peer}: {reason}", next_step="connect again, or ask another peer")


class LinkRefused(PeerError):
    """No link came about: nobody listens there, or the two sides hold different secrets."""

    code = "peer.refused"

    def __init__(self, address: str, reason: str, *, next_step: str = "") -> None:
        self.address = address
        self.reason = reason
        super().__init__(
            f"no link to {address}: {reason}",
            next_step=next_step
            or "check that the run is alive (`skerry ps`) and that its folder is the same",
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """How a link tells life from death.

    Attributes:
        beat_seconds: send a heartbeat when nothing else was sent for this long.
        silence_seconds: call a peer lost when nothing came for this long.
        connect_seconds: the time that a connection and its handshake may take.
        hang_seconds: where a transport can tell a dead machine from a program that hangs: call a
            peer lost when its machine answers but its program said nothing for this long.
    """

    beat_seconds: float = 2.0
    silence_seconds: float = 15.0
    connect_seconds: float = 10.0
    hang_seconds: float = 30.0


@dataclass(slots=True)
class LinkCounts:
    """Bytes of one link, both ways, framing included; of these, what was not frames of a caller."""

    sent: int = 0
    received: int = 0
    sent_control: int = 0
    received_control: int = 0


class Link(Protocol):
    """A conversation with one authenticated peer."""

    @property
    def peer(self) -> str:
        """A name for error messages."""
        ...

    @property
    def peer_key(self) -> bytes | None:
        """The peer's Ed25519 public key, proved by the transport; None where it proves none."""
        ...

    @property
    def counts(self) -> LinkCounts:
        """The bytes so far."""
        ...

    def admit(self) -> None:
        """Take frames up to the transport's limit from now on.

        Who accepts a link says this once he knows what the peer may do. Until then a transport
        for strangers takes short frames only, so that nobody can fill the memory by dialling.
        """
        ...

    async def send(self, frame: bytes) -> None:
        """Send one frame; returns when it is handed over and the way is not congested.

        Raises:
            LinkLost: the peer is gone.
        """
        ...

    async def receive(self) -> bytes:
        """Return the next frame.

        Raises:
            LinkLost: the peer is gone.
        """
        ...

    async def close(self) -> None:
        """End the conversation; harmless when it has ended."""
        ...


Accept: TypeAlias = Callable[[Link], Awaitable[None]]


class Transport(Protocol):
    """A way to reach peers."""

    async def listen(self, accept: Accept) -> str:
        """Await links, each given to `accept` in a task of its own; return the address."""
        ...

    async def connect(self, address: str) -> Link:
        """Return a link to who listens at `address`.

        Raises:
            LinkRefused: nobody is there, or it is not who it should be.
        """
        ...

    async def close(self) -> None:
        """Stop listening and end every link."""
        ...
