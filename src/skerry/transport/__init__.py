"""Transport: frames of bytes between two parties that know each other.

In      A peer's address, a secret or identity that both hold, and frames to send.
Does    Connects, authenticates, cuts the stream into frames, beats while idle, notices silence.
Out     Whole frames in order, or a `PeerError` that says why the peer is gone; bytes counted.
Never   Looks into a frame, decides who may do what, or retries on its own.
Start   reading at `port`, then `tcp`; strangers' links are in `iroh_transport`, which is not
        loaded here because worker processes never need its library.
"""

from skerry.transport.addresses import AddressMalformed, NodeAddress, parse_address
from skerry.transport.memory import MemoryTransport
from skerry.transport.port import (
    FRAME_BYTES_MAX,
    Link,
    LinkCounts,
    LinkLost,
    LinkRefused,
    Pace,
    Transport,
)
from skerry.transport.tcp import TcpTransport

__all__ = [
    "FRAME_BYTES_MAX",
    "AddressMalformed",
    "Link",
    "LinkCounts",
    "LinkLost",
    "LinkRefused",
    "MemoryTransport",
    "NodeAddress",
    "Pace",
    "TcpTransport",
    "Transport",
    "parse_address",
]
