"""Links between strangers over QUIC, each side proved by its Ed25519 key.

What    `IrohTransport(seed)` has the identity of a node's key. It connects to an address
        "<node id>@ip:port,..." and gives a link only if that key answers there. It listens once
        it is asked to; a node that never is works by dialling out.
Why     Encryption, identity and congestion control in one library; no name, relay or directory of
        anybody else is asked.
Rule    Not exported by the room's `__init__`: importing it loads an 18 MB library, which worker
        processes of one machine never need.
Limits  `links_max` links, `GREETINGS_MAX` unfinished handshakes, `connect_seconds` for each. Nobody
        at an address, or a node that takes no calls, does not fail by itself: the deadline decides.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import final

from skerry.base.errors import NodeError
from skerry.transport.addresses import AddressMalformed, NodeAddress, parse_address
from skerry.transport.iroh_binding import iroh
from skerry.transport.iroh_link import CODE_FULL, CODE_LOST, IrohLink
from skerry.transport.port import Accept, LinkRefused, Pace

ALPN = b"skerry/1"
LOOPBACK = ("127.0.0.1:0", "[::1]:0")
STRANGERS_PACE = Pace(
    beat_seconds=1.0, silence_seconds=3.0, connect_seconds=10.0, hang_seconds=30.0
)
FRAME_BYTES_MAX = 1 << 28
FIRST_FRAME_BYTES_MAX = 1 << 20
LINKS_MAX = 256
GREETINGS_MAX = 64
CLOSE_SECONDS = 3.0
_NEXT_STEP = "check that the node is up and its address current (`skerry nodes`), or ask another"


class BindRefused(NodeError):
    """The machine does not give us the socket: the port is taken, or the address is not its own."""

    code = "node.bind"

    def __init__(self, binds: Sequence[str], reason: str) -> None:
        super().__init__(
            f"no socket at {', '.join(binds)}: {reason}",
            next_step="stop what uses that port, or choose another; port 0 takes any that is free",
        )


@final
class IrohTransport:
    """Listens on, and connects to, UDP sockets; see `port.Transport`.

    Args:
        seed: the 32-byte seed of the node's Ed25519 key; its public key is the node's id.
        binds: sockets to use, "ip:port". Loopback unless told otherwise.
        pace: how life is told from death.
        frame_bytes_max: longest frame that is sent, or taken from an admitted peer.
        first_frame_bytes_max: longest frame that is taken from a caller who is not admitted yet.
        links_max: links at once.
    """

    def __init__(
        self,
        seed: bytes,
        *,
        binds: Sequence[str] = LOOPBACK,
        pace: Pace | None = None,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        first_frame_bytes_max: int = FIRST_FRAME_BYTES_MAX,
        links_max: int = LINKS_MAX,
    ) -> None:
        self._seed = seed
        self._binds = tuple(binds)
        self._pace = pace or STRANGERS_PACE
        self._frame_bytes_max = frame_bytes_max
        self._first_frame_bytes_max = min(first_frame_bytes_max, frame_bytes_max)
        self._links_max = links_max
        self._key = bytes(iroh.SecretKey.from_bytes(seed).public().to_bytes())
        self._binding = asyncio.Lock()
        self._bound: iroh.Endpoint | None = None
        self._links: set[IrohLink] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._greetings = 0
        self._accepting: asyncio.Task[None] | None = None

    @property
    def key(self) -> bytes:
        """This node's public key, 32 bytes."""
        return self._key

    @property
    def links(self) -> int:
        """How many links live."""
        return len(self._links)

    async def _endpoint(self) -> iroh.Endpoint:
        """Return the endpoint, bound at the first call.

        Raises:
            BindRefused: the machine refuses the sockets.
        """
        async with self._binding:
            if self._bound is None:
                builder = iroh.EndpointBuilder()  # type: ignore[no-untyped-call]
                builder.apply_minimal()
                builder.relay_mode(iroh.RelayMode.disabled())
                builder.secret_key(self._seed)
                try:
                    for bind in self._binds:
                        builder.bind_addr(bind)
                    self._bound = await builder.bind()
                except iroh.IrohError as error:
                    raise BindRefused(self._binds, _cause(error)) from None
            return self._bound

    # -- being called

    async def listen(self, accept: Accept) -> str:
        """Await links, each given to `accept` in a task of its own; return this node's address.

        Raises:
            BindRefused: the machine refuses the sockets.
        """
        endpoint = await self._endpoint()
        endpoint.set_alpns([ALPN])
        self._accepting = asyncio.ensure_future(self._accept(endpoint, accept))
        return str(NodeAddress(self._key, tuple(_reachable(endpoint))))

    async def _accept(self, endpoint: iroh.Endpoint, accept: Accept) -> None:
        while (incoming := await endpoint.accept_next()) is not None:
            if self._greetings >= GREETINGS_MAX:
                with contextlib.suppress(iroh.IrohError):
                    await incoming.refuse()
                continue
            self._greetings += 1
            task = asyncio.ensure_future(self._welcome(incoming, accept))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _welcome(self, incoming: iroh.Incoming, accept: Accept) -> None:
        try:
            async with asyncio.timeout(self._pace.connect_seconds):
                connection = await (await incoming.accept()).connect()
                if len(self._links) >= self._links_max:
                    connection.close(CODE_FULL, b"this node has no room for another link")
                    return
                link = await self._open(connection, caller=False)
        except (iroh.IrohError, TimeoutError, LinkRefused):
            return
        finally:
            self._greetings -= 1
        await accept(link)

    # -- calling

    async def connect(self, address: str) -> IrohLink:
        """Return a link to the node whose key and sockets `address` names.

        Raises:
            LinkRefused: the address is malformed, or that key does not answer there in time.
            BindRefused: the machine refuses us a socket.
        """
        try:
            wanted = parse_address(address)
        except AddressMalformed as error:
            raise LinkRefused(address[:200], error.message, next_step=error.next_step) from None
        if not wanted.sockets:
            raise LinkRefused(address, "that node only dials out", next_step="wait for its call")
        endpoint = await self._endpoint()
        try:
            async with asyncio.timeout(self._pace.connect_seconds):
                there = iroh.EndpointAddr(
                    iroh.EndpointId.from_bytes(wanted.key), None, list(wanted.sockets)
                )
                connection = await endpoint.connect(there, ALPN)
                return await self._open(connection, caller=True)
        except TimeoutError:
            seconds = self._pace.connect_seconds
            reason = f"that key did not answer there within {seconds:g} s"
        except LinkRefused as error:
            reason = error.reason
        except iroh.IrohError as error:
            reason = _cause(error)
        raise LinkRefused(address, reason, next_step=_NEXT_STEP)

    async def _open(self, connection: iroh.Connection, *, caller: bool) -> IrohLink:
        try:
            control = await (connection.open_bi() if caller else connection.accept_bi())
            first = self._frame_bytes_max if caller else self._first_frame_bytes_max
            link = IrohLink(
                connection, control, self._pace, self._frame_bytes_max, first, self._links.discard
            )
            await link.greet(caller=caller)
        except BaseException:
            connection.close(CODE_LOST, b"no greeting")
            raise
        self._links.add(link)
        link.start()
        return link

    async def close(self) -> None:
        """Stop listening and end every link."""
        if self._accepting is not None:
            self._accepting.cancel()
        await asyncio.gather(*(link.close() for link in list(self._links)))
        for task in self._tasks:
            task.cancel()
        pending = [*self._tasks, *([self._accepting] if self._accepting else [])]
        await asyncio.gather(*pending, return_exceptions=True)
        if self._bound is not None:
            with contextlib.suppress(TimeoutError, iroh.IrohError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._bound.close()


def _reachable(endpoint: iroh.Endpoint) -> list[str]:
    """Return where to find us: the bound sockets, or, of a wildcard, the machine's addresses."""
    bound = endpoint.bound_sockets()
    wild = [it for it in bound if it.startswith(("0.0.0.0:", "[::]:"))]
    if not wild:
        return sorted(bound)
    return sorted(endpoint.addr().direct_addresses())[:8]


def _cause(error: iroh.IrohError) -> str:
    """Return the last line of an error's chain of causes, without places in the library's code."""
    text = error.debug_message().partition("\n\nStack backtrace")[0].strip()
    if "invalid peer certificate" in text:
        return "another key answers there"
    last = text.splitlines()[-1].strip() if text else "unknown"
    return last.partition(" (/")[0][:200]
