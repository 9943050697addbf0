"""The links by which a node that takes no calls can be called all the same.

What    `Standby` keeps links open to nodes that take calls, says "standby" on each, and answers
        what is said there first as if it had come in.
Why     A home's router lets nobody in; its owner wants to earn without setting it up.
Rule    As soon as a link is used another one waits in its place. A node that refuses is tried
        again after a while, and so is one that cannot be reached.
"""

from __future__ import annotations

import asyncio
from typing import final

from skerry.base.errors import PeerError
from skerry.messages.membership import Refusal
from skerry.messages.wire import MessageError, decode
from skerry.node.daemon.host import Host
from skerry.transport import Link

PURPOSE = "standby"
PEERS_MAX = 32
LINKS_EACH = 2
TURN_SECONDS = 0.5
RETRY_SECONDS = 5.0


@final
class Standby:
    """Lets this node be called by whoever it can call itself."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self._going: asyncio.Task[None] | None = None
        self._lines: dict[tuple[bytes, int], asyncio.Task[None]] = {}
        self._held: set[asyncio.Task[None]] = set()

    async def start(self, host: Host) -> None:
        """Begin to open links."""
        self._host = host
        self._going = asyncio.ensure_future(self._go_round(host))

    async def stop(self) -> None:
        """End every link that waits, and every conversation on one that was used."""
        going = [self._going] if self._going is not None else []
        tasks = [*going, *self._lines.values(), *self._held]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _go_round(self, host: Host) -> None:
        while True:
            callable_ = [it for it in host.peers.live() if it.endpoints and it.signer != host.key]
            for peer in callable_[:PEERS_MAX]:
                for number in range(LINKS_EACH):
                    line = self._lines.get((peer.signer, number))
                    if line is None or line.done():
                        work = self._wait_at(host, peer.signer)
                        self._lines[peer.signer, number] = asyncio.ensure_future(work)
            await asyncio.sleep(TURN_SECONDS)

    async def _wait_at(self, host: Host, key: bytes) -> None:
        """Let a link wait at a node, and another one once it is used, until that fails."""
        try:
            while True:
                link = await host.switchboard.call(host.peers.address(key), PURPOSE)
                try:
                    first = await link.receive()
                    said = decode(first)
                except BaseException:
                    await link.close()
                    raise
                if isinstance(said, Refusal):
                    await link.close()
                    break
                self._hold(host, link, first)
        except (PeerError, MessageError):
            pass
        await asyncio.sleep(RETRY_SECONDS)

    def _hold(self, host: Host, link: Link, first: bytes) -> None:
        task = asyncio.ensure_future(host.switchboard.accept(link, first))
        self._held.add(task)
        task.add_done_callback(self._held.discard)
