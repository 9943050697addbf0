"""A desk in a thread of this process, for who needs more of it than what orders can say.

What    `DeskThread.ask(order)` returns what the desk answers; `call` does anything with it.
Why     A desk blocks on the chain. A submitter lives no longer than its job, and must see offers
        and books that no order asks for.
Rule    One thread does everything with the desk, its opening too, which comes with the first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from skerry.node.market.desk import Desk, obey, open_desk
from skerry.node.market.orders import Order, Place, Said

P = ParamSpec("P")
T = TypeVar("T")


class DeskThread:
    """The desk of one folder.

    Args:
        folder: the desk's folder.
        place: where it works.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self.starts = 0
        self._open = partial(open_desk, folder, place)
        self._thread = ThreadPoolExecutor(1, "desk")
        self._desk: Desk | None = None

    @property
    def desk(self) -> Desk:
        """The desk, once it was used."""
        assert self._desk is not None, "it is opened by its first use"
        return self._desk

    async def call(
        self, do: Callable[Concatenate[Desk, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do something with the desk, in its thread.

        Raises:
            ChainError: the chain cannot be used.
            KeyUnsafe: others can read its key.
        """
        return await self._within(lambda: do(self._opened(), *args, **kwargs))

    async def ask(self, order: Order) -> Said:
        """Let the desk obey an order.

        Raises:
            SkerryError: it cannot.
        """
        return await self.call(obey, order)

    def _opened(self) -> Desk:
        if self._desk is None:
            self._desk = self._open()
            self.starts += 1
        return self._desk

    async def _within(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    async def close(self) -> None:
        """Let go of the chain and of all files."""
        if self._desk is not None:
            await self._within(self._desk.close)
        self._thread.shutdown()
