"""One link over one QUIC connection: frames in order, long ones striped, silence noticed.

What    The caller opens one stream both ways; each side greets on it, then sends frames: 4 bytes
        of length, and the frame. A frame that `stripes` calls long sends only its length there
        and its bytes over up to eight one-way streams, opened when first needed. Heartbeats are
        datagrams, so no full window holds them back.
Why     The traps of the wire are hidden here. A cancelled read of a QUIC stream loses bytes:
        only this module's tasks read, and nobody cancels them on a living link. The library tells
        of a killed peer after 35 s: we count what its machine sends. Closing drops what was not
        acknowledged: `close` first ends its stream and waits for the peer to close.
Limits  A peer may open one stream both ways and `STRIPES` one way; one more loses the link. A
        length above the limit loses it before anything is allocated; memory grows only with bytes
        that came.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import final

from skerry.transport.inbox import WAITING_BYTES_MAX, Inbox
from skerry.transport.iroh_binding import iroh
from skerry.transport.port import LENGTH_BYTES, LinkCounts, LinkLost, LinkRefused, Pace
from skerry.transport.stripes import STRIPES, is_striped, stripes

GREETING = b"skerry/1"
BEAT = b"\x00"
READ_BYTES = 1 << 16
REASON_CHARS_MAX = 120
STRANGER_BYTES_MAX = 1 << 21
CODE_CLOSED = 0
CODE_LOST = 1
CODE_FULL = 2
_OTHER_CLOSED = "the other side closed"


class _StreamEnded(Exception):
    """The peer ended a stream; at a boundary between frames that is a farewell."""

    def __init__(self, *, within: bool) -> None:
        self.within = within


@final
class _Lengths:
    """The stream of lengths and short frames, read in as few calls as possible."""

    def __init__(self, stream: iroh.RecvStream) -> None:
        self._stream = stream
        self._held = bytearray()

    async def exactly(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        while len(self._held) < count:
            data = await self._stream.read(READ_BYTES)
            if not data:
                raise _StreamEnded(within=bool(self._held))
            self._held += data
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


@final
class IrohLink:
    """A conversation over one connection; see `port.Link`."""

    def __init__(
        self,
        connection: iroh.Connection,
        control: iroh.BiStream,
        pace: Pace,
        frame_bytes_max: int,
        frame_bytes_first: int,
        ended: Callable[[IrohLink], None],
    ) -> None:
        self._connection = connection
        self._lengths_out = control.send()
        self._lengths_in = _Lengths(control.recv())
        self._pace = pace
        self._frame_bytes_max = frame_bytes_max
        self._frame_bytes_now = frame_bytes_first
        self._ended = ended
        self._key = bytes(connection.remote_id().to_bytes())
        self._peer = self._key.hex()[:16]
        self._counts = LinkCounts()
        admitted = frame_bytes_first == frame_bytes_max
        waiting = WAITING_BYTES_MAX if admitted else STRANGER_BYTES_MAX
        self._inbox = Inbox(self._peer, bytes_max=waiting)
        self._sending = asyncio.Lock()
        self._stripes_out: list[iroh.SendStream] = []
        loop = asyncio.get_running_loop()
        self._stripes_in: list[asyncio.Future[iroh.RecvStream]] = [
            loop.create_future() for _ in range(STRIPES)
        ]
        self._spoke = False
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._writes: set[asyncio.Task[None]] = set()

    @property
    def peer(self) -> str:
        """A name for error messages: the first digits of the peer's key."""
        return self._peer

    @property
    def peer_key(self) -> bytes:
        """The peer's Ed25519 public key, which QUIC's handshake proved."""
        return self._key

    @property
    def counts(self) -> LinkCounts:
        """The bytes so far, as the port counts them."""
        return self._counts

    @property
    def datagram_bytes(self) -> tuple[int, int]:
        """UDP payload sent and received so far: everything, acknowledgements and repeats too."""
        stats = self._connection.stats()
        return stats.udp_tx_bytes, stats.udp_rx_bytes

    def admit(self) -> None:
        """Take frames up to the transport's limit from now on."""
        self._frame_bytes_now = self._frame_bytes_max
        self._inbox.widen(WAITING_BYTES_MAX)

    # -- the handshake

    async def greet(self, *, caller: bool) -> None:
        """Greet and be greeted; the caller first, since its stream is unseen until it writes.

        Raises:
            LinkRefused: the other side hung up, or speaks something else.
        """
        try:
            if caller:
                await self._write_greeting()
            if await self._lengths_in.exactly(len(GREETING)) != GREETING:
                raise LinkRefused(self._peer, "it does not speak skerry/1")
            self._counts.received += len(GREETING)
            self._counts.received_control += len(GREETING)
            if not caller:
                await self._write_greeting()
        except (iroh.IrohError, _StreamEnded):
            raise LinkRefused(self._peer, self.close_reason("it hung up")) from None

    async def _write_greeting(self) -> None:
        await self._lengths_out.write_all(GREETING)
        self._counts.sent += len(GREETING)
        self._counts.sent_control += len(GREETING)

    def close_reason(self, otherwise: str) -> str:
        """Return why the connection closed, made safe to print: the peer may have written it."""
        reason = self._connection.close_reason() or otherwise
        return "".join(it if it.isprintable() else "?" for it in reason[:REASON_CHARS_MAX])

    def start(self) -> None:
        """Begin to read and to beat."""
        bodies = (self._read(), self._accept_stripes(), self._refuse_streams(), self._hear(),
                  self._beat())  # fmt: skip
        self._tasks = [asyncio.ensure_future(body) for body in bodies]

    # -- out

    async def send(self, frame: bytes) -> None:
        """Send one frame; one that is cancelled while sending is sent all the same."""
        if not 0 < len(frame) <= self._frame_bytes_max:
            raise ValueError(f"a frame of {len(frame)} bytes cannot be sent")
        write = asyncio.ensure_future(self._write(frame))
        self._writes.add(write)
        write.add_done_callback(self._wrote)
        await asyncio.shield(write)

    def _wrote(self, write: asyncio.Task[None]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # who sent may have been cancelled: then nobody else looks at it

    async def _write(self, frame: bytes) -> None:
        async with self._sending:
            if self._inbox.lost or self._closing:
                raise LinkLost(self._peer, self._inbox.lost or "closed here")
            head = len(frame).to_bytes(LENGTH_BYTES, "big")
            self._counts.sent += LENGTH_BYTES + len(frame)
            try:
                if is_striped(len(frame)):
                    await self._lengths_out.write_all(head)
                    await self._write_stripes(frame)
                else:
                    await self._lengths_out.write_all(head + frame)
            except iroh.IrohError:
                self._lose(self.close_reason("the connection broke"))
                raise LinkLost(self._peer, self._inbox.lost) from None

    async def _write_stripes(self, frame: bytes) -> None:
        plan = stripes(len(frame))
        while len(self._stripes_out) < len(plan):
            self._stripes_out.append(await self._connection.open_uni())
        view = memoryview(frame)

        async def write(stripe: iroh.SendStream, stretches: list[tuple[int, int]]) -> None:
            for start, stop in stretches:
                await stripe.write_all(bytes(view[start:stop]))

        writes = [write(*pair) for pair in zip(self._stripes_out, plan, strict=False)]
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    # -- in

    async def receive(self) -> bytes:
        """Return the next frame."""
        return await self._inbox.take()

    async def _read(self) -> None:
        """Move frames from the connection to the inbox until the link is lost."""
        try:
            while True:
                length = int.from_bytes(await self._lengths_in.exactly(LENGTH_BYTES), "big")
                if not 0 < length <= self._frame_bytes_now:
                    self._lose(
                        f"it announced a frame of {length} bytes where {self._frame_bytes_now} "
                        f"are allowed"
                    )
                    return
                if is_striped(length):
                    frame = await self._read_stripes(length)
                else:
                    frame = await self._lengths_in.exactly(length)
                self._spoke = True
                self._counts.received += LENGTH_BYTES + length
                await self._inbox.put(frame)
        except _StreamEnded as end:
            self._lose("it ended within a frame" if end.within else _OTHER_CLOSED)
        except iroh.IrohError:
            self._lose(self.close_reason("it ended within a frame"))

    async def _read_stripes(self, length: int) -> bytes:
        plan = stripes(length)
        found: dict[int, bytes] = {}

        async def read(turn: int) -> None:
            stripe = await self._stripes_in[turn]
            for start, stop in plan[turn]:
                found[start] = await stripe.read_exact(stop - start)

        reads = [asyncio.ensure_future(read(turn)) for turn in range(len(plan))]
        try:
            await asyncio.gather(*reads)
        finally:
            for one in reads:
                one.cancel()  # all are done, or the link is lost
        return b"".join(found[start] for start in sorted(found))

    async def _accept_stripes(self) -> None:
        with contextlib.suppress(iroh.IrohError):  # the connection ended: `_read` says why
            for place in self._stripes_in:
                place.set_result(await self._connection.accept_uni())
            await self._connection.accept_uni()
            self._lose("it opened more streams than a link has")

    async def _refuse_streams(self) -> None:
        with contextlib.suppress(iroh.IrohError):
            await self._connection.accept_bi()
            self._lose("it opened more streams than a link has")

    # -- life and death

    async def _hear(self) -> None:
        with contextlib.suppress(iroh.IrohError):
            while True:
                data = await self._connection.read_datagram()
                self._spoke = True
                self._counts.received += len(data)
                self._counts.received_control += len(data)

    async def _beat(self) -> None:
        """Send heartbeats; lose the link when the peer's machine or its program is gone."""
        loop = asyncio.get_running_loop()
        silent = hung = 0.0
        heard, before = 0, loop.time()
        while not self._inbox.lost:
            try:
                self._connection.send_datagram(BEAT)
            except iroh.IrohError:
                self._lose(self.close_reason("it takes no heartbeats"))
                return
            self._counts.sent += len(BEAT)
            self._counts.sent_control += len(BEAT)
            await asyncio.sleep(self._pace.beat_seconds)
            now = loop.time()
            passed = min(now - before, 2 * self._pace.beat_seconds)  # our own stalls are not his
            before = now
            received = self._connection.stats().udp_rx_bytes
            silent = 0.0 if received != heard or self._inbox.full else silent + passed
            hung = 0.0 if self._spoke else hung + passed
            heard, self._spoke = received, False
            if silent > self._pace.silence_seconds:
                self._lose(f"nothing came for {self._pace.silence_seconds:g} s")
            elif hung > self._pace.hang_seconds:
                self._lose(f"its program said nothing for {self._pace.hang_seconds:g} s")

    async def close(self) -> None:
        """End the conversation, after what was sent."""
        if not self._inbox.lost:
            try:
                async with asyncio.timeout(self._pace.silence_seconds):
                    async with self._sending:
                        self._closing = True
                        await self._lengths_out.finish()
                    await self._connection.closed()  # the peer closes once it has read to the end
            except (TimeoutError, iroh.IrohError):
                pass  # he had his time
            finally:
                self._lose("closed here")
        await asyncio.gather(*self._tasks, *self._writes, return_exceptions=True)

    def _lose(self, reason: str) -> None:
        if self._inbox.lost:
            return
        self._inbox.end(reason)
        code = CODE_CLOSED if reason in ("closed here", _OTHER_CLOSED) else CODE_LOST
        self._connection.close(code, reason.encode() if code else b"")
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._ended(self)
