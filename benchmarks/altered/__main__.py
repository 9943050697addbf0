"""`python -m benchmarks.altered WAY join ...`: the command line of skerry, altered.

Why     A daemon starts its worker and its desk by name; here those names lead to altered ones.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from benchmarks.altered.ways import WAY_VARIABLE, way
from skerry.cli import main
from skerry.node.network.desk import Desk
from skerry.transport import Link

INSTEAD = {
    "skerry.node.worker": "benchmarks.altered.worker",
    "skerry.node.market.desk": "benchmarks.altered.desk",
}


def alter_children() -> None:
    """Let every worker and desk that this process starts be an altered one."""
    start = asyncio.create_subprocess_exec

    async def altered(*command: Any, **how: Any) -> asyncio.subprocess.Process:
        return await start(*(INSTEAD.get(word, word) for word in command), **how)

    asyncio.create_subprocess_exec = altered


def alter_life() -> None:
    """Let a node that bids and vanishes do so."""
    if way() != "bid and vanish":
        return
    lease = Desk._lease

    async def vanish(self: Desk, link: Link) -> None:
        await lease(self, link)
        os._exit(0)  # it has its lease and the job counts on it

    Desk._lease = vanish  # type: ignore[method-assign]


if __name__ == "__main__":
    os.environ[WAY_VARIABLE] = sys.argv.pop(1)
    alter_children()
    alter_life()
    main()
