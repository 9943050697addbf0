"""The client: the submitter's side of the market, beside a run on a network.

What    `MarketClient.open` takes its place in the market, `buy` awards a job, `join`, `committed`
        and `end` follow its run, `settled` waits until the money is where it belongs.
Why     Whoever pays for a job records its rounds on the chain, unless a node offers to.
Rule    What it did is on the chain and in its folder: killed and opened again, it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from skerry.chain.localnet import FaucetAbsent
from skerry.chain.moves import Site
from skerry.messages.leased import Assignment
from skerry.messages.rounds import RunConfig
from skerry.node.clocks import RealClock
from skerry.node.market.awarding import Quote, buy, quote, unbegun
from skerry.node.market.desk_thread import DeskThread
from skerry.node.market.orders import Order
from skerry.node.market.spoiled import Spoiled, move_run, spoiled
from skerry.node.market.stall import Fetch, Stall, Ways, place_in
from skerry.node.network.pay import join_order
from skerry.roles.client import Asking
from skerry.settle import Job, Limits

Told = Callable[[str], None]

_QUIET_MOVES = ("refused",)


class MarketClient:
    """The submitter's place in the market.

    Args:
        folder: where it is kept.
        url: the chain's node.
        ways: how others are reached.
        told: is told in words what it does.
    """

    def __init__(self, folder: Path, url: str, ways: Ways, told: Told = lambda words: None) -> None:
        self.told = told
        self.ended = False
        self._line = DeskThread(folder, place_in(folder, url))
        self._stall = Stall(folder, self._line, ways, RealClock(), self._tell, self._look)
        self._closed = asyncio.Event()
        self._job = b""

    async def open(self, manifest: bytes) -> None:
        """Begin, over the contracts that a manifest's file names.

        Raises:
            ChainError: the chain cannot be used, or the contracts are not this package's.
            KeyUnsafe: others can read its key.
        """
        await self._stall.open(manifest)

    async def close(self) -> None:
        """End every task, and let go of the chain and of all files."""
        await self._stall.close()

    def stir(self) -> None:
        """Let it look soon at what is due."""
        self._stall.stir()

    @property
    def site(self) -> Site:
        """Where its signatures are good."""
        return self._line.desk.actor.wallet.site

    # -- the award

    async def quote(self, config: RunConfig, asking: Asking, among: Collection[bytes]) -> Quote:
        """Return what the award of a run would be now; see `awarding.quote`."""
        return await self._line.call(lambda desk: quote(desk.actor, config, asking, among))

    async def buy(self, quoted: Quote) -> Job:
        """Put the money in that is lacking, make the award, and return it.

        Raises:
            FundsShort: the client holds too little.
            MoveReverted: an offer was used meanwhile.
        """
        with contextlib.suppress(FaucetAbsent):
            await self._stall.ask(Order("faucet", amount=quoted.locked))
        await self._stall.ask(Order("fund", amount=quoted.locked))
        name = await self._line.call(lambda desk: buy(desk.actor, quoted))
        return self.jobs[name]

    async def unbegun(self, config: RunConfig) -> Job | None:
        """Return the award that an earlier call made for that run and did not begin."""
        return await self._line.call(lambda desk: unbegun(desk.actor, config))

    @property
    def jobs(self) -> Mapping[bytes, Job]:
        """The market's jobs as the chain had them last."""
        return self._line.desk.actor.keeper.books.jobs

    @property
    def limits(self) -> Limits:
        """What the market allows any job."""
        return self._line.desk.actor.keeper.books.limits

    async def spoiled(self, name: bytes) -> Spoiled | None:
        """Return what of a job the court convicted, or None."""
        return await self._line.call(spoiled, name)

    async def move_run(self, name: bytes, run: Path) -> None:
        """Let a job's bill be read from another copy of its run from now on."""
        await self._line.call(move_run, name, str(run))

    # -- the run; see `network.pay.Paymaster`

    async def confirm(self, assignment: Assignment) -> None:
        """Confirm nothing: it is the client's own award."""

    async def join(
        self, assignment: Assignment, run: Path, data: Path | None, fetch: Fetch
    ) -> None:
        """Follow a run, and make every move that is due, until it is closed."""
        order = join_order(assignment, run, data)
        self._job, self.ended = bytes.fromhex(order.job), False
        self._closed.clear()
        await self._stall.join(order, fetch)

    def committed(self, job: bytes) -> None:
        """Take note that a round was committed."""
        self.stir()

    async def end(self, job: bytes) -> None:
        """Take note that no round will come any more."""
        await self._stall.end(job)
        self.ended = True

    @property
    def closed(self) -> bool:
        """Whether the job that it follows is closed on the chain."""
        return self._closed.is_set()

    async def settled(self, seconds: float) -> bool:
        """Wait until the job is closed, so long at most; return whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self._closed.is_set()

    def _look(self) -> None:
        job = self.jobs.get(self._job)
        if job is not None and job.closed:
            self._closed.set()

    def _tell(self, kind: str, facts: Mapping[str, object]) -> None:
        """Say in words what its place in the market tells."""
        words = str(facts.get("words", ""))
        if kind == "move" and not any(it in words for it in _QUIET_MOVES):
            self.told(words)
        elif kind == "market":
            self.told(words or f"waits: {facts.get('reason', '')}")
