"""A party's place in the market: its desk, its board, and the carriage between it and others.

What    `Stall.open` starts the desk of a folder and returns its address; `ask` tells it an order;
        `join`, `stir` and `end` are what a run tells it; it ticks by itself. A `DeskLine` leads to
        the desk, be it a child process or a thread.
Why     A node and a client differ in what they ask of a desk, not in how they live with one.
Rule    FOLDER is the desk's own, FOLDER/board what is heard and told. The desk ticks when a
        round was committed, when something came to the board, when the chain's clock makes a move
        due, and now and then anyway. What a tick wants fetched is fetched before the next one.
Units   Seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skerry.base.clock import Clock
from skerry.base.errors import SkerryError
from skerry.node.clocks import wall_seconds
from skerry.node.market.board import FolderBoard
from skerry.node.market.carriage import Carriage, Dial
from skerry.node.market.desk_process import DeskDied, DeskRefused
from skerry.node.market.orders import JOINED, Order, Place, Said
from skerry.node.market.shelf import Shelf, SignerOf
from skerry.storage import make_folder, write_file

MANIFEST_NAME, BOARD_NAME = "manifest.json", "board"
IDLE_SECONDS = 20.0
BUSY_SECONDS = 2.0
LEAST_SECONDS = 0.3
FETCH_SECONDS = 6.0
ASKED_MAX = 4096

Fetch = Callable[[Sequence[bytes]], Awaitable[object]]
Told = Callable[[str, dict[str, object]], None]


class DeskLine(Protocol):
    """What leads to a desk, which is started when it is first needed."""

    starts: int

    async def ask(self, order: Order) -> Said:
        """Tell the desk something and return its answer."""
        ...

    async def close(self) -> None:
        """End the desk."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """How a stall reaches others.

    Attributes:
        dial: opens a link to an address for a purpose.
        peers: where others can be called, by their keys.
        pushes: whether this party tells others unasked, since nobody can call it.
    """

    dial: Dial
    peers: Callable[[], Mapping[bytes, str]]
    pushes: bool = False


def place_in(folder: Path, url: str) -> Place:
    """Return where the desk of a stall's folder works."""
    return Place(url, str(folder / MANIFEST_NAME), str(folder / BOARD_NAME), fetches=True)


class Stall:
    """One party's place in the market.

    Args:
        folder: where it is kept.
        line: leads to its desk, which works at `place_in(folder, ...)`.
        ways: how others are reached.
        clock: monotonic seconds.
        told: is told what happens, as an event and its facts.
        ticked: is told after each tick.
    """

    def __init__(
        self,
        folder: Path,
        line: DeskLine,
        ways: Ways,
        clock: Clock,
        told: Told = lambda kind, facts: None,
        ticked: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder, self.line, self.told, self.ticked = folder, line, told, ticked
        self.carriage = Carriage(
            ways.dial,
            ways.peers,
            clock,
            self._accounts,
            news=self.stir,
            told=told,
            pushes=ways.pushes,
        )
        self.address = b""
        self.jobs: dict[bytes, Fetch] = {}
        self.renewed: Sequence[Order] = ()
        self._joined: dict[bytes, Order] = {}
        self._ended: set[bytes] = set()
        self._starts = 0
        self._trouble = ""
        self._stirred = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None

    @property
    def manifest(self) -> Path:
        """The file that says where the contracts are."""
        return self.folder / MANIFEST_NAME

    # -- life

    async def open(self, manifest: bytes, standing: Sequence[Order] = ()) -> bytes:
        """Start the desk over these contracts, and the carriage; return the desk's address.

        Args:
            manifest: where the contracts are, as a manifest's file says it.
            standing: what the desk is told whenever it starts.

        Raises:
            DeskRefused: the chain, its contracts or the key will not do, or money is short.
            DeskDied: the desk ended.
        """
        make_folder(self.folder / BOARD_NAME)
        write_file(self.manifest, manifest)
        self.carriage.manifest = manifest
        self.address = bytes.fromhex((await self.line.ask(Order("hello"))).address)
        self.renewed = standing
        await self._renew()
        if self.carriage.shelf is None:
            signer_of = await asyncio.to_thread(self._signer_of)
            shelf = Shelf(FolderBoard(self.folder / BOARD_NAME), signer_of, os.urandom(8))
            await asyncio.to_thread(shelf.own)
            self.carriage.shelf = shelf
            self.carriage.start()
        if self._ticking is None:
            self._ticking = asyncio.ensure_future(self._tick_in_turn())
        return self.address

    def _signer_of(self) -> SignerOf:
        from skerry.chain.deploy import Manifest  # a chain's client takes a second to load
        from skerry.chain.moves import Site
        from skerry.node.market.signatures import signer_of

        manifest = Manifest.read(self.manifest)
        site = Site(manifest.chain, manifest.at("market"))
        return lambda message: signer_of(message, site)

    async def close(self) -> None:
        """End the desk and every task."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await self.carriage.stop()
        await self.line.close()

    async def _accounts(self) -> frozenset[bytes]:
        said = await self.line.ask(Order("accounts"))
        return frozenset(bytes.fromhex(it) for it in said.accounts)

    # -- what a run tells it

    async def ask(self, order: Order) -> Said:
        """Tell the desk something, and let the board take up what it told.

        Raises:
            DeskRefused: it does not do it.
            DeskDied: it ended meanwhile.
        """
        said = await self.line.ask(order)
        if self.carriage.shelf is not None:
            await self.carriage.look()
        return said

    async def join(self, order: Order, fetch: Fetch) -> None:
        """Take part in a job's money from now on; `fetch` brings blobs by their digests.

        Raises:
            DeskRefused: the desk knows no such job.
            DeskDied: it ended meanwhile.
        """
        job = bytes.fromhex(order.job)
        self.jobs[job], self._joined[job] = fetch, order
        await self.ask(order)
        self.stir()

    async def end(self, job: bytes) -> None:
        """Take note that no round will come any more."""
        self._ended.add(job)
        with contextlib.suppress(DeskRefused, DeskDied):
            await self.ask(Order("end", job=job.hex()))
        self.stir()

    def stir(self) -> None:
        """Let the desk tick soon."""
        self._stirred.set()

    # -- ticks

    async def _renew(self) -> None:
        """Tell a desk that was started what it must know again."""
        if self._starts == self.line.starts:
            return
        for order in self.renewed:
            await self.line.ask(order)
        for job in self._ended:  # jobs are kept in its folder; that they are over is not
            with contextlib.suppress(DeskRefused):
                await self.line.ask(Order("end", job=job.hex()))
        self._starts = self.line.starts

    async def _tick_in_turn(self) -> None:
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stirred.wait()
            self._stirred.clear()
            await asyncio.sleep(LEAST_SECONDS)  # so that what comes together is looked at once
            try:
                pause = await self._tick()
            except SkerryError as error:  # the chain or the disk may come back
                self._tell_once(error.message, error.next_step)
                pause = BUSY_SECONDS

    def _tell_once(self, trouble: str, next_step: str) -> None:
        """Tell what is in the way, but not again while it is the same; and that it is over."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self.told("market", {"reason": trouble, "next": next_step})
        else:
            self.told("market", {"words": "goes on: what was in the way is gone"})

    async def _tick(self) -> float:
        """Let the desk move; return for how long nothing is due."""
        await self._renew()
        said = await self.ask(Order("tick"))
        self._tell_once(said.warns, said.next_step)
        for move in said.moves:
            self.told("move", {"words": move})
        self.ticked()
        await self._clear_board()
        if said.wanted:
            await self._fetch(said.wanted)
            self.stir()
        idle = IDLE_SECONDS if said.closed or not self.jobs else BUSY_SECONDS
        return idle if said.wake is None else min(idle, max(0.0, said.wake - wall_seconds()))

    async def _clear_board(self) -> None:
        """Forget what is about jobs that are closed, or nobody would have room in the end."""
        shelf = self.carriage.shelf
        if shelf is None:
            return
        asked = tuple(sorted(it.hex() for it in shelf.jobs()))[:ASKED_MAX]
        over = (await self.line.ask(Order("over", jobs=asked))).over if asked else ()
        own = [it for it in over if (self.folder / JOINED / f"{it}.json").is_file()]
        names, kept = (list(map(bytes.fromhex, it)) for it in (over, own))
        await asyncio.to_thread(shelf.clear, names, wall_seconds(), kept)

    async def _fetch(self, wanted: Mapping[str, Sequence[str]]) -> None:
        for job, names in wanted.items():
            fetch = self.jobs.get(bytes.fromhex(job))
            if fetch is None:
                continue
            try:
                async with asyncio.timeout(FETCH_SECONDS):  # what is missing then is computed
                    await fetch([bytes.fromhex(it) for it in names])
            except (SkerryError, TimeoutError) as error:
                self.told("market", {"reason": f"blobs for a replay cannot be had: {error}"})
