"""Hearing: what a node takes over from the others that have a part in its job.

What    `Hearing.take_all` adopts what a link brings, `claims` asks everybody at once, `catch_up`
        does so for the rounds that are missing.
Why     Rounds, proofs and ends reach a node in many ways, and each way must come to the same.
Rule    Who is proven to lie coordinates nothing, and neither does who said that the job is over.
        A node that hears nobody waits `ALONE_SECONDS` before it takes all of several others for
        dead: an isolated one would run rounds that nobody follows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from skerry.base.errors import PeerError
from skerry.base.ids import nickname
from skerry.messages.leased import (
    COMMITTED_BYTES_MAX,
    Assignment,
    Chair,
    Closed,
    Committed,
    Contradiction,
    NodeAddress,
    Reached,
)
from skerry.messages.membership import Call
from skerry.messages.wire import MessageUnexpected
from skerry.node.network.chairs import better
from skerry.node.network.conviction import follow
from skerry.node.network.ends import Quiet
from skerry.node.network.replica import Replica
from skerry.node.network.roads import Roads, hear
from skerry.transport import Link

ALONE_SECONDS = 15.0


class Hearing:
    """What one node hears of one job.

    Args:
        assignment: the job.
        me: this node's key.
        roads: how other nodes are called.
        replica: where what is heard is kept.
        catching: held while a round is taken over.
        keep: is told each round that is news.
        convict: takes a proof that somebody lies.
        told: is told in words what happens.
    """

    def __init__(
        self,
        assignment: Assignment,
        me: bytes,
        roads: Roads,
        replica: Replica,
        catching: asyncio.Lock,
        keep: Callable[[Committed], None],
        convict: Callable[[Contradiction], Awaitable[None]],
        told: Callable[[str], None],
    ) -> None:
        self.others = [node for node in assignment.nodes if node.key != me]
        self.quiet = Quiet(tuple(node.key for node in self.others))
        self._source = assignment.source
        self._roads = roads
        self._replica = replica
        self._catching = catching
        self._keep, self._convict, self._told = keep, convict, told

    def hear(self, key: bytes | None) -> None:
        """Take note that a node said something just now."""
        if key is not None:
            self.quiet.hear(key, asyncio.get_running_loop().time())

    async def end(self, said: Closed) -> None:
        """Take a word that the job is over, and say in words why it goes on if it does."""
        news = not self._replica.ends.of(said.signer, said.rounds)
        why = await self._replica.hear_end(said, self._silent())
        if why is not None and news:
            kind, who = said.kind, nickname(said.signer)
            self._told(f"{who} said that the job is over ({kind}), which is not believed: {why}")

    async def settle(self) -> None:
        """Close the job if those who say that it is over are all that there are."""
        await self._replica.settle(self._silent())

    def may_be_away(self) -> bool:
        """Return whether this node may rather be cut off than all the others be dead.

        Of two nodes that cannot reach each other neither can tell, so the one that is left goes on.
        """
        seconds = self.quiet.seconds(asyncio.get_running_loop().time())
        return len(self.others) > 1 and seconds is not None and seconds < ALONE_SECONDS

    def _silent(self) -> frozenset[bytes]:
        return self.quiet.silent(self._replica.ending, asyncio.get_running_loop().time())

    def seats(self, chair: Chair) -> bool:
        """Return whether who claims a chair may sit in it."""
        return not (self._replica.proofs.lies(chair.node) or self._replica.ends.left(chair))

    async def take_all(self, link: Link, chair: Chair | None = None) -> None:
        """Take over what a link brings until there is no more, or until who sits there leaves."""
        while self._replica.closed is None:
            said = await hear(link, bytes_max=COMMITTED_BYTES_MAX)
            if chair is not None:
                self.hear(chair.node)
            match said:
                case Committed():
                    if await self._adopt(said):
                        self._keep(said)
                case Closed():
                    await self.end(said)
                case Reached():
                    return
                case Contradiction():
                    await self._convict(said)
                case _:
                    raise MessageUnexpected(f"a {type(said).__name__} is no committed round")
            if chair is not None and not self.seats(chair):
                return

    async def _adopt(self, said: Committed) -> bool:
        async with self._catching:
            if said.record.record.round > self._replica.round:
                return False
            return await self._replica.adopt(said)

    async def catch_up(self) -> Chair | None:
        """Take over what other nodes have; return the highest claim to coordinate."""
        best: Chair | None = None
        for claim in (await self.claims(self._replica.round)).values():
            best = better(best, claim if claim.fence else None)
        stays = self._replica.trust.stays
        if self._replica.round < stays and self._source is not None:
            await self.ask(self._source, self._replica.round)
        return best

    async def claims(self, first: int) -> dict[bytes, Chair]:
        """Take over what others have from round `first` on; return what they say of the chair."""
        others = self.others
        said = await asyncio.gather(*(self.ask(it, first) for it in others))
        return {it.key: claim for it, claim in zip(others, said, strict=True) if claim is not None}

    async def ask(self, node: NodeAddress, first: int) -> Chair | None:
        """Take over what one node has from round `first` on; return its claim, if it answers."""
        claim: Chair | None = None
        with contextlib.suppress(PeerError, TimeoutError):
            link = await self._roads.call(node, Call("watch", self._replica.job))
            try:
                await follow(link, self._replica, first, live=False)
                async with asyncio.timeout(self._roads.seconds):
                    seen = await hear(link, bytes_max=COMMITTED_BYTES_MAX)
                if isinstance(seen, Chair) and self._of_this_turn(seen):
                    claim = seen
                    self.hear(node.key)
                await self.take_all(link)
            finally:
                await link.close()
        if claim is None or self.seats(claim):
            return claim
        return Chair(claim.job, 0, node.key)

    def _of_this_turn(self, claim: Chair) -> bool:
        return not claim.fence or claim.fence in self._replica.trust.fences
