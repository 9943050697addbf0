"""Links over TCP on this machine, with a secret that both sides must know.

What    Frames are a 4-byte length and that many bytes. Length 0 is a heartbeat. Before the first
        frame each side sends a nonce and proves the secret by an HMAC over both nonces.
Why     Worker processes share no memory; any other program of this machine can reach a loopback
        port, so a link must belong to this run.
Source  RFC 2104 (HMAC). The two proofs are over different labels, so none can be reflected.
Limits  Authentication is at the start only and nothing is encrypted: this is for loopback.
        Strangers get a transport with keys (iroh_transport.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
from typing import final

from skerry.transport.inbox import Inbox
from skerry.transport.port import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    Accept,
    Link,
    LinkCounts,
    LinkLost,
    LinkRefused,
    Pace,
)

_MAGIC = b"skerry/1"
_NONCE_BYTES = 32
_PROOF_BYTES = 32


def _proof(secret: bytes, label: bytes, first: bytes, second: bytes) -> bytes:
    return hmac.digest(secret, _MAGIC + label + first + second, "sha256")


@final
class TcpLink:
    """A conversation over one socket; see `port.Link`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pace: Pace,
        frame_bytes_max: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._pace = pace
        self._frame_bytes_max = frame_bytes_max
        self._counts = LinkCounts()
        host, port = (writer.get_extra_info("peername") or ("?", 0))[:2]
        self._peer = f"{host}:{port}"
        self._inbox = Inbox(self._peer)
        self._wrote = False
        self._heard_at = 0.0
        self._sending = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def peer(self) -> str:
        """A name for error messages."""
        return self._peer

    @property
    def peer_key(self) -> bytes | None:
        """None: the secret proves the run, not who of it this is."""
        return None

    def admit(self) -> None:
        """Do nothing: who holds the secret may send frames up to the limit."""

    @property
    def counts(self) -> LinkCounts:
        """The bytes so far."""
        return self._counts

    # -- handshake

    async def greet(self, secret: bytes, *, caller: bool) -> None:
        """Prove the secret to the other side and see its proof; the caller proves first."""
        mine = os.urandom(_NONCE_BYTES)  # must be new each time and is never part of a result
        await self._write_control(_MAGIC + mine)
        head = await self._read_control(len(_MAGIC) + _NONCE_BYTES)
        if not head.startswith(_MAGIC):
            raise LinkRefused(self._peer, "it does not speak skerry/1")
        theirs = head[len(_MAGIC) :]
        nonces = (mine, theirs) if caller else (theirs, mine)
        proofs = (_proof(secret, b"caller", *nonces), _proof(secret, b"listener", *nonces))
        own, due = proofs if caller else (proofs[1], proofs[0])
        if caller:  # the listener never answers to who cannot prove the secret
            await self._write_control(own)
        if not hmac.compare_digest(await self._read_control(_PROOF_BYTES), due):
            raise LinkRefused(self._peer, "it does not hold this run's secret")
        if not caller:
            await self._write_control(own)

    async def _write_control(self, data: bytes) -> None:
        self._writer.write(data)
        self._counts.sent += len(data)
        self._counts.sent_control += len(data)
        await self._writer.drain()

    async def _read_control(self, count: int) -> bytes:
        data = await self._reader.readexactly(count)
        self._counts.received += count
        self._counts.received_control += count
        return data

    # -- frames

    def start(self) -> None:
        """Begin to read and to beat."""
        self._heard_at = asyncio.get_running_loop().time()
        self._tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._beat())]

    async def send(self, frame: bytes) -> None:
        """Send one frame."""
        if not 0 < len(frame) <= self._frame_bytes_max:
            raise ValueError(f"a frame of {len(frame)} bytes cannot be sent")
        async with self._sending:
            if self._inbox.lost:
                raise LinkLost(self._peer, self._inbox.lost)
            self._writer.write(len(frame).to_bytes(LENGTH_BYTES, "big"))
            self._writer.write(frame)
            self._counts.sent += LENGTH_BYTES + len(frame)
            self._wrote = True
            try:
                await self._writer.drain()
            except OSError as error:
                self._lose(f"the connection broke ({error.strerror or error})")
                raise LinkLost(self._peer, self._inbox.lost) from None

    async def receive(self) -> bytes:
        """Return the next frame."""
        return await self._inbox.take()

    async def close(self) -> None:
        """End the conversation, after what was sent."""
        self._lose("closed here")
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(OSError):
            # Cancelled bare, it would stay cancelled for whoever closes again.
            await asyncio.shield(asyncio.ensure_future(self._writer.wait_closed()))

    def _lose(self, reason: str) -> None:
        if not self._inbox.lost:
            self._inbox.end(reason)
            self._writer.close()

    async def _read(self) -> None:
        """Move frames from the socket to the queue until the link is lost."""
        try:
            while True:
                head = await self._reader.readexactly(LENGTH_BYTES)
                length = int.from_bytes(head, "big")
                if length > self._frame_bytes_max:
                    self._lose(f"it announced a frame of {length} bytes")
                    break
                frame = await self._reader.readexactly(length)
                self._counts.received += LENGTH_BYTES + length
                self._heard_at = asyncio.get_running_loop().time()
                if length:
                    await self._inbox.put(frame)
                    self._heard_at = asyncio.get_running_loop().time()
                else:
                    self._counts.received_control += LENGTH_BYTES
        except (asyncio.IncompleteReadError, OSError):
            self._lose("the connection was closed")

    async def _beat(self) -> None:
        """Send a heartbeat when idle; lose the link when the other side is silent for too long."""
        loop = asyncio.get_running_loop()
        while not self._inbox.lost:
            await asyncio.sleep(self._pace.beat_seconds)
            if loop.time() - self._heard_at > self._pace.silence_seconds:
                if not self._inbox.full:
                    self._lose(f"nothing came for {self._pace.silence_seconds:g} s")
                continue
            if not self._wrote and not self._inbox.lost:
                self._writer.write(bytes(LENGTH_BYTES))
                self._counts.sent += LENGTH_BYTES
                self._counts.sent_control += LENGTH_BYTES
            self._wrote = False


@final
class TcpTransport:
    """Listens on, and connects to, ports of the loopback interface."""

    def __init__(
        self, secret: bytes, *, pace: Pace | None = None, frame_bytes_max: int = FRAME_BYTES_MAX
    ) -> None:
        self._secret = secret
        self._pace = pace or Pace()
        self._frame_bytes_max = frame_bytes_max
        self._server: asyncio.Server | None = None
        self._links: set[TcpLink] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, accept: Accept) -> str:
        """Await links on a free port of 127.0.0.1; return "host:port"."""

        async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                link = await self._open(reader, writer, caller=False)
            except LinkRefused:
                return
            task = asyncio.ensure_future(_run(accept, link))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._server = await asyncio.start_server(welcome, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def connect(self, address: str) -> Link:
        """Return a link to who listens at "host:port" and holds the secret."""
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise LinkRefused(address, "an address is host:port")
        try:
            async with asyncio.timeout(self._pace.connect_seconds):
                reader, writer = await asyncio.open_connection(host, int(port))
        except (OSError, TimeoutError, OverflowError) as error:
            raise LinkRefused(address, str(error) or "no answer in time") from None
        return await self._open(reader, writer, caller=True)

    async def _open(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, caller: bool
    ) -> TcpLink:
        link = TcpLink(reader, writer, self._pace, self._frame_bytes_max)
        try:
            async with asyncio.timeout(self._pace.connect_seconds):
                await link.greet(self._secret, caller=caller)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            await link.close()
            reason = "no proof in time" if isinstance(error, TimeoutError) else "it hung up"
            raise LinkRefused(link.peer, reason) from None
        except LinkRefused:
            await link.close()
            raise
        link.start()
        self._links.add(link)
        return link

    async def close(self) -> None:
        """Stop listening and end every link."""
        if self._server is not None:
            self._server.close()
        for link in self._links:
            await link.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()


async def _run(accept: Accept, link: Link) -> None:
    await accept(link)
