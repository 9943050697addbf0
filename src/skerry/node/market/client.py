"""The client: the submitter's side of the market, beside a run on a network.

What    `MarketClient.open` opens its desk, `buy` awards a job, `join`, `committed` and `end` follow
        its run, `settled` waits until the money is where it belongs.
Why     Whoever pays for a job records its rounds on the chain, unless a node offers to.
Rule    A desk blocks on the chain, so it lives in a thread of its own. What it did is on the chain
        and in its folder: killed and opened again, it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from skerry.base.errors import SkerryError
from skerry.chain.localnet import FaucetAbsent
from skerry.messages.leased import Assignment
from skerry.messages.rounds import RunConfig
from skerry.node.clocks import wall_seconds
from skerry.node.market.awarding import Quote, buy, market_limits, quote, unbegun
from skerry.node.market.desk import Desk, obey, open_desk
from skerry.node.market.orders import Order, Place, Said
from skerry.node.network.pay import join_order
from skerry.roles.client import Asking
from skerry.settle import Job, Limits

P = ParamSpec("P")
T = TypeVar("T")
Told = Callable[[str], None]

_LOOK_SECONDS = 2.0
_QUIET_MOVES = ("refused",)


@dataclass
class MarketClient:
    """The submitter's desk.

    Attributes:
        desk: what moves.
        told: is told in words what it does.
        ended: whether no round will come any more.
    """

    desk: Desk
    told: Told = lambda words: None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "market"))
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _ticking: asyncio.Task[None] | None = None
    _closed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    _job: bytes = b""

    @classmethod
    async def open(
        cls, folder: Path, place: Place, told: Told = lambda words: None
    ) -> MarketClient:
        """Return the client whose key and memory are in a folder.

        Raises:
            ChainError: the chain cannot be used.
            KeyUnsafe: others can read its key.
        """
        thread = ThreadPoolExecutor(1, "market")
        desk = await asyncio.get_running_loop().run_in_executor(thread, open_desk, folder, place)
        return cls(desk, told, thread)

    @property
    def address(self) -> bytes:
        """Its address on the chain."""
        return self.desk.actor.me

    async def call(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with the desk, in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(do, *args, **kwargs))

    async def ask(self, order: Order) -> Said:
        """Let the desk obey a line.

        Raises:
            SkerryError: it cannot.
        """
        return await self.call(obey, self.desk, order)

    # -- the award

    async def quote(self, config: RunConfig, asking: Asking, among: Collection[bytes]) -> Quote:
        """Return what the award of a run would be now; see `awarding.quote`."""
        return await self.call(quote, self.desk.actor, config, asking, among)

    async def buy(self, quoted: Quote) -> Job:
        """Put the money in that is lacking, make the award, and return it.

        Raises:
            FundsShort: the client holds too little.
            MoveReverted: an offer was used meanwhile.
        """
        with contextlib.suppress(FaucetAbsent):
            await self.ask(Order("faucet", amount=quoted.locked))
        await self.ask(Order("fund", amount=quoted.locked))
        name = await self.call(buy, self.desk.actor, quoted)
        return self.job(name)

    async def unbegun(self, config: RunConfig) -> Job | None:
        """Return the award that an earlier call made for that run and did not begin."""
        return await self.call(unbegun, self.desk.actor, config)

    def job(self, name: bytes) -> Job:
        """Return a job as the chain had it last."""
        return self.desk.actor.keeper.books.jobs[name]

    async def limits(self) -> Limits:
        """Return what the market allows any job."""
        return await self.call(market_limits, self.desk.actor)

    def convicted(self, name: bytes) -> int:
        """Return how many solvers of a job the court has convicted so far."""
        job = self.desk.actor.keeper.books.jobs.get(name)
        return 0 if job is None else job.convicted.bit_count()

    # -- the run; see `network.pay.Paymaster`

    async def confirm(self, assignment: Assignment) -> None:
        """Confirm nothing: it is the client's own award."""

    async def join(
        self,
        job: bytes,
        run: Path,
        data: Path | None,
        signers: Mapping[bytes, bytes],
        fetch: Callable[[Sequence[bytes]], Awaitable[object]],
    ) -> None:
        """Follow a run, and make every move that is due, until it is closed."""
        await self.ask(join_order(job, run, data, signers))
        self._job = job
        if self._ticking is None:
            self._ticking = asyncio.ensure_future(self._tick())

    def committed(self, job: bytes) -> None:
        """Take note that a round was committed, or that something was heard."""
        self._due.set()

    async def end(self, job: bytes) -> None:
        """Take note that no round will come any more."""
        await self.ask(Order("end", job=job.hex()))
        self.ended = True
        self._due.set()

    async def _tick(self) -> None:
        while not self._closed.is_set():
            self._due.clear()
            try:
                said = await self.ask(Order("tick"))
            except SkerryError as error:  # the chain or the disk may come back
                self.told(f"waits: {error.message}")
                said = Said()
            for move in said.moves:
                if not any(word in move for word in _QUIET_MOVES):
                    self.told(move)
            if self.job(self._job).closed:
                self._closed.set()
                return
            later = _LOOK_SECONDS if said.wake is None else said.wake - wall_seconds()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(later, 0.2), _LOOK_SECONDS)):
                    await self._due.wait()

    async def settled(self, seconds: float) -> bool:
        """Wait until the job is closed, so long at most; return whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self._closed.is_set()

    async def close(self) -> None:
        """Let go of the chain and of all files."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await self.call(self.desk.close)
        self._thread.shutdown()
