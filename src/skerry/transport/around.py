"""A link around another one, which changes some of what it does."""

from __future__ import annotations

from skerry.transport.port import Link, LinkCounts


class LinkAround:
    """Does what the link within does; see `port.Link`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def peer(self) -> str:
        """A name for error messages."""
        return self._link.peer

    @property
    def peer_key(self) -> bytes | None:
        """The peer's key, where the transport proved one."""
        return self._link.peer_key

    @property
    def counts(self) -> LinkCounts:
        """The bytes so far."""
        return self._link.counts

    def admit(self) -> None:
        """Take long frames from now on."""
        self._link.admit()

    async def send(self, frame: bytes) -> None:
        """Send one frame."""
        await self._link.send(frame)

    async def receive(self) -> bytes:
        """Return the next frame."""
        return await self._link.receive()

    async def close(self) -> None:
        """End the conversation."""
        await self._link.close()
