"""Where a node is reached, and who must be there.

What    A `NodeAddress` is written "<node id>@<ip:port>[,<ip:port>]": the node's Ed25519 public key
        in hexadecimal, then its sockets. IPv6 stands in brackets. A node that only dials has none.
Why     The key is what is checked; a socket is only a place to look, and may be stale or a lie.
Pure    No name is looked up: an address holds numbers only.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from skerry.base.errors import PeerError

KEY_BYTES = 32
SOCKETS_MAX = 8


class AddressMalformed(PeerError):
    """A text is not the address of a node."""

    code = "peer.address"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"{text[:120]!r} is no address of a node: {why}",
            next_step="give NODE_ID@IP:PORT, as the node prints it when it starts",
        )


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node's public key, and the sockets at which it may be found."""

    key: bytes
    sockets: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the one spelling of this address."""
        return f"{self.key.hex()}@{','.join(self.sockets)}"


def parse_address(text: str) -> NodeAddress:
    """Return the address that `text` spells.

    Raises:
        AddressMalformed: it spells none.
    """
    head, at, tail = text.partition("@")
    if not at or len(head) != 2 * KEY_BYTES:
        raise AddressMalformed(text, "it must begin with a node id of 64 digits and @")
    try:
        key = bytes.fromhex(head)
    except ValueError:
        raise AddressMalformed(text, "a node id has hexadecimal digits only") from None
    parts = tail.split(",") if tail else []
    if len(parts) > SOCKETS_MAX:
        raise AddressMalformed(text, f"it has more than {SOCKETS_MAX} sockets")
    return NodeAddress(key, tuple(_socket(text, part) for part in parts))


def _socket(text: str, part: str) -> str:
    """Return the one spelling of `part`, which must be an IP and a port."""
    host, colon, port = part.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (colon and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise AddressMalformed(text, f"{part!r} has no port from 1 to 65535")
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise AddressMalformed(text, f"{host!r} is no IP address") from None
    if bracketed != (ip.version == 6) or "%" in host:
        raise AddressMalformed(text, "an IPv6 address stands in brackets, without a zone")
    return f"[{ip}]:{int(port)}" if bracketed else f"{ip}:{int(port)}"
