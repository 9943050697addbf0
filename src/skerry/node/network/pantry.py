"""Pantry: a job's blobs on this node, and how the ones that are not here are brought.

What    `Pantry.bring(names)` fetches from whoever has them; `serve` answers others.
Why     Messages name blobs by digest, and nodes share no disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence

from skerry.base.errors import PeerError
from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Call
from skerry.messages.rounds import Supply, Want
from skerry.messages.wire import decode_as
from skerry.node.network.roads import Roads, hear, say
from skerry.storage import BlobStore, StorageError
from skerry.storage.blobs import BlobMissing
from skerry.transport import FRAME_BYTES_MAX, Link

_SECONDS = 30.0


class Pantry:
    """The blobs of one job."""

    def __init__(
        self,
        store: BlobStore,
        job: bytes,
        roads: Roads,
        peers: Callable[[], Sequence[NodeAddress]],
    ) -> None:
        self.store = store
        self._job = job
        self._roads = roads
        self._peers = peers
        self.bytes_fetched = 0

    def lacks(self, names: Iterable[bytes | None]) -> list[bytes]:
        """Return which of `names` are not here, each once."""
        return [it for it in dict.fromkeys(names) if it is not None and not self.store.has(it)]

    async def bring(
        self, names: Iterable[bytes | None], first: Sequence[bytes] = ()
    ) -> list[bytes]:
        """Fetch what is not here; return what nobody had.

        Args:
            names: the blobs; None stands for none.
            first: keys of nodes to ask before the others.
        """
        left = self.lacks(names)
        peers = sorted(self._peers(), key=lambda it: it.key not in first)
        for peer in peers:
            if not left:
                break
            with contextlib.suppress(PeerError, TimeoutError):
                await self._ask(peer, left)
            left = self.lacks(left)
        return left

    async def _ask(self, peer: NodeAddress, names: Sequence[bytes]) -> None:
        link = await self._roads.call(peer, Call("blobs", self._job))
        try:
            for name in names:
                await say(link, Want((name,)))
                async with asyncio.timeout(_SECONDS):
                    supply = await hear(link, bytes_max=FRAME_BYTES_MAX)
                if isinstance(supply, Supply) and supply.programs:
                    self.bytes_fetched += len(supply.programs[0])
                    await asyncio.to_thread(self._keep, name, supply.programs[0])
        finally:
            await link.close()

    def _keep(self, name: bytes, content: bytes) -> None:
        from skerry.storage import blob_digest

        if blob_digest(content) == name:
            self.store.put(content)

    async def serve(self, link: Link) -> None:
        """Answer one caller until he is gone."""
        while True:
            want = decode_as(Want, await link.receive())
            found = []
            for name in want.programs:
                with contextlib.suppress(BlobMissing, StorageError):
                    found.append(await asyncio.to_thread(self.store.get, name))
            await say(link, Supply(tuple(found)))
