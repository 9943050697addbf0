"""Spoiled: what the chain says of a job of one's own that was convicted of false work.

What    `spoiled(desk, name)` returns which round was false, what else may be, and by whom.
Why     The client must not trust anybody about it, and reads it from the log, as it does a bill.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from skerry.node.market.desk import Desk, joined_orders, read_place
from skerry.node.market.statements import Ledgers, history
from skerry.roles.spoiled import convicted_of, convicted_round, doubtful


@dataclass(frozen=True, slots=True)
class Spoiled:
    """What was convicted of a job.

    Attributes:
        false: the first round of which a unit was convicted.
        doubtful: units before it that may be false too, by round and lane, in order.
        convicted: addresses of who was.
        gained: what the client got of their stakes.
    """

    false: int
    doubtful: tuple[tuple[int, int], ...]
    convicted: frozenset[bytes]
    gained: int


def spoiled(desk: Desk, name: bytes) -> Spoiled | None:
    """Return what was convicted of a job, or None where nobody was."""
    actor = desk.actor
    actor.keeper.catch_up()
    job = actor.keeper.books.jobs.get(name)
    orders = joined_orders(desk.folder)
    if job is None or not job.convicted or name not in orders:
        return None
    epochs, _ = history(actor.keeper, name)
    false = convicted_round(job, epochs.values())
    ledgers = Ledgers(actor.keeper, actor.me, read_place(desk.folder), orders)
    convicted = convicted_of(job)
    if false is None:
        return None
    doubted = doubtful(false, epochs, ledgers.statement(name).units, convicted)
    stakes = [it.stake for it in job.leases if it.node in convicted]
    return Spoiled(false, doubted, convicted, sum((it >> 1) - (it >> 2) for it in stakes))


def move_run(desk: Desk, name: bytes, run: str) -> None:
    """Let a job's bill be read from another copy of its run from now on."""
    order = joined_orders(desk.folder).get(name)
    if order is not None and order.run != run:
        desk.keep_order(msgspec.structs.replace(order, run=run))
