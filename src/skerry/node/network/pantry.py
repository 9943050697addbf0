"""Pantry: a job's blobs on this node, and how the ones that are not here are brought.

What    `Pantry.bring(names)` fetches from whoever has them; `serve` answers others.
Why     Messages name blobs by digest, and nodes share no disk.
Rule    Who should have a blob is asked before the others are. A node that could not be reached is
        not asked again for a while: what it held is made again sooner than it comes back. What one
        task is fetching already, another waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from skerry.base.errors import PeerError
from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Call
from skerry.node.network.blobs import BlobClient, BlobServer, BlobsUnavailable
from skerry.node.network.roads import Roads
from skerry.storage import BlobStore
from skerry.transport import Link

_SHUN_SECONDS = 10.0


class Pantry:
    """The blobs of one job.

    Args:
        store: where they are.
        job: the job.
        roads: how other nodes are called.
        peers: returns who may have them; those who are to be asked first come first.
    """

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
        self._client = BlobClient(store, self._call)
        self._server = BlobServer(store, lambda key, blob: True)  # who calls was looked at before
        self._shunned: dict[bytes, float] = {}
        self._coming: dict[bytes, asyncio.Event] = {}
        self.bytes_fetched = 0

    def lacks(self, names: Iterable[bytes | None]) -> list[bytes]:
        """Return which of `names` are not here, each once."""
        return [it for it in dict.fromkeys(names) if it is not None and not self.store.has(it)]

    def drop_damaged(self, names: Iterable[bytes | None]) -> None:
        """Drop which of `names` are damaged here, so that they are brought again; reads them."""
        for name in names:
            if name is not None and self.store.has(name):
                self.store.holds(name)

    async def bring(
        self, names: Iterable[bytes | None], first: Sequence[bytes] = ()
    ) -> list[bytes]:
        """Fetch what is not here; return what nobody had.

        Args:
            names: the blobs; None stands for none.
            first: keys of nodes to ask before the others.

        Raises:
            StorageError: the disk is full or forbids it.
        """
        wanted = self.lacks(names)
        under_way = {it: self._coming[it] for it in wanted if it in self._coming}
        ours = [it for it in wanted if it not in self._coming]
        came = asyncio.Event()
        self._coming |= dict.fromkeys(ours, came)
        try:
            await self._fetch(ours, first)
        finally:
            for it in ours:
                del self._coming[it]
            came.set()
        for other in under_way.values():
            await other.wait()
        if left := self.lacks(under_way):  # who asked first may not have known whom to ask
            await self._fetch(left, first)
        return self.lacks(wanted)

    async def _fetch(self, left: Sequence[bytes], first: Sequence[bytes]) -> None:
        """Fetch what can be had, from those who should have it before the others."""
        now = asyncio.get_running_loop().time()
        peers = [it for it in self._peers() if self._shunned.get(it.key, 0.0) <= now]
        likely = [it for it in peers if it.key in first]
        for asked in (likely, [it for it in peers if it.key not in first]):
            if left and asked:
                try:
                    fetched = await self._client.fetch(left, asked)
                except BlobsUnavailable as error:
                    left = error.missing
                else:
                    self.bytes_fetched += fetched.bytes
                    return

    async def _call(self, peer: NodeAddress) -> Link:
        try:
            return await self._roads.call(peer, Call("blobs", self._job))
        except (PeerError, TimeoutError):
            self._shunned[peer.key] = asyncio.get_running_loop().time() + _SHUN_SECONDS
            raise

    async def serve(self, link: Link) -> None:
        """Answer one caller until he is gone."""
        await self._server.serve(link)
