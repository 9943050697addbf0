"""A caller that speaks QUIC and the greeting, and after that says what it likes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skerry.transport import parse_address
from skerry.transport.iroh_binding import iroh
from skerry.transport.iroh_link import GREETING
from skerry.transport.iroh_transport import ALPN

SEED = b"h" * 32


@asynccontextmanager
async def raw_endpoint(seed: bytes = SEED) -> AsyncIterator[iroh.Endpoint]:
    """Yield an endpoint of the library itself, on loopback."""
    builder = iroh.EndpointBuilder()  # type: ignore[no-untyped-call]
    builder.apply_minimal()
    builder.relay_mode(iroh.RelayMode.disabled())
    builder.secret_key(seed)
    builder.bind_addr("127.0.0.1:0")
    builder.bind_addr("[::1]:0")
    endpoint = await builder.bind()
    try:
        yield endpoint
    finally:
        await endpoint.close()


async def dial(endpoint: iroh.Endpoint, address: str) -> iroh.Connection:
    """Return a connection to a node's address."""
    wanted = parse_address(address)
    key = iroh.EndpointId.from_bytes(wanted.key)
    return await endpoint.connect(iroh.EndpointAddr(key, None, list(wanted.sockets)), ALPN)


async def greeted(connection: iroh.Connection) -> iroh.BiStream:
    """Return the control stream after the greeting of both sides."""
    control = await connection.open_bi()
    await control.send().write_all(GREETING)
    assert await control.recv().read_exact(len(GREETING)) == GREETING
    return control
