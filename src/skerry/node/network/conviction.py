"""Conviction: what a node does once a coordinator of its job is proven to lie.

What    `Conviction.take` keeps a proof and takes back what is wrong by it; `stood` is told which
        states the node's own worker came to. `follow` asks another node for rounds, and passes on
        what is proven.
Why     Half of the nodes may have kept a false record, and one of them may coordinate next.
Rule    Only what a worker computed itself contradicts a record here, and only after a proof. What
        is taken back is fetched from others, or done again.
"""

from __future__ import annotations

import asyncio

from skerry.messages.leased import Contradiction, Follow
from skerry.node.network.replica import Replica
from skerry.node.network.roads import say
from skerry.transport import Link

_STOOD_MAX = 64


class Conviction:
    """One node's dealings with liars in one job.

    Args:
        replica: its rounds.
        catching: held while rounds are taken over.
    """

    def __init__(self, replica: Replica, catching: asyncio.Lock) -> None:
        self._replica, self._catching = replica, catching
        self._stood: dict[int, bytes] = {}  # states by how many rounds led to them

    async def take(self, proof: Contradiction) -> bool:
        """Take a proof; return whether it is one, and news."""
        if not self._replica.proofs.take(proof):
            return False
        await self.leave_what_is_wrong()
        return True

    async def stood(self, number: int, root: bytes) -> None:
        """Take note of the global state before round `number`, as the own worker computed it."""
        self._stood = {**dict(list(self._stood.items())[-_STOOD_MAX:]), number: root}
        await self.leave_what_is_wrong()

    async def leave_what_is_wrong(self) -> None:
        """Take rounds back where the own worker came to other states, once somebody lies."""
        if self._replica.proofs.since is None:
            return
        async with self._catching:
            for number, root in sorted(self._stood.items()):
                said = self._replica.read(number - 1)
                if said is not None and said.record.record.state_after != root:
                    await self._replica.take_back(number - 1)


async def follow(link: Link, replica: Replica, first: int, *, live: bool) -> None:
    """Ask for rounds from `first` on; pass on who is proven to lie, and who says it is over."""
    await say(link, Follow(replica.job, first, live=live))
    for proof in replica.proofs.found.values():
        await say(link, proof)
    for word in replica.ends.said:
        if word.rounds == replica.round:
            await say(link, word)
