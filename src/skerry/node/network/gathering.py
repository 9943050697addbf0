"""Gathering: what a job that goes back needs of the rounds that stay, while somebody still has it.

What    `gather_kept` brings the updates of these rounds, and the lanes' states after them, to the
        submitter; `tell_kept` tells a node of the rounds that it lacks. `keep_last_good` makes the
        state after them a checkpoint of the run's folder.
Why     Nodes that joined late never had the first rounds, and those that had them may not be leased
        again. And if nobody can be hired any more, the last good state must be there.
Rule    Blobs are checked by their names, so they may come from anybody, a convicted node included.
        What cannot be had is computed again by whoever needs it. A state counts if its root is the
        one that the record of the last kept round leads to.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from skerry.base.errors import PeerError
from skerry.messages.leased import Assignment, Chair, Follow, Reached
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.messages.wire import decode_as
from skerry.node.ledger import read_record
from skerry.node.network.pantry import Pantry
from skerry.node.network.replica import Replica
from skerry.node.network.roads import Roads, say
from skerry.storage import Checkpoint, RunFolder
from skerry.transport import Link

GATHER_SECONDS = 120.0


async def gather_kept(
    folder: RunFolder,
    before: Assignment,
    roads: Roads,
    kept: int,
    also: tuple[int, int] | None = None,
) -> list[bytes]:
    """Bring what the first `kept` rounds of a job left; return the updates that nobody has.

    Args:
        folder: the submitter's folder of the run.
        before: the assignment under which the rounds were run.
        roads: how its nodes are called.
        kept: how many rounds stay.
        also: a round and a lane whose own state at the start of it is wanted too.
    """
    peers = [*before.nodes, *before.observers]
    pantry = Pantry(folder.blobs, before.config.job, roads, lambda: peers)
    records = kept_records(folder, before.config, kept)
    updates = [lane.update for record in records for lane in record.lanes]
    states = [lane.state for record in records[-1:] for lane in record.lanes]
    if also is not None and also[0]:
        states.append(records[also[0] - 1].lanes[also[1]].state)
    with contextlib.suppress(PeerError, TimeoutError):
        async with asyncio.timeout(GATHER_SECONDS):
            await pantry.bring([*updates, before.config.initial, *states])
    return pantry.lacks([*updates, before.config.initial])


async def tell_kept(link: Link, replica: Replica) -> None:
    """Tell a node that is leased the rounds that stay, from the one that it lacks on."""
    if link.peer_key is not None and link.peer_key not in replica.trust.signers:
        return
    async with asyncio.timeout(GATHER_SECONDS):
        follow = decode_as(Follow, await link.receive())
        await say(link, Chair(replica.job, 0, bytes(32)))  # a submitter coordinates nothing
        at = follow.round
        while at < replica.trust.stays and (said := replica.read(at)) is not None:
            await say(link, said)
            at += 1
        await say(link, Reached(replica.job, at))


def kept_records(folder: RunFolder, config: RunConfig, kept: int) -> list[RoundRecord]:
    """Return the records of the first `kept` rounds, as far as they are there."""
    found = (read_record(folder, config.job, number) for number in range(kept))
    return [record for record in found if record is not None]


def keep_last_good(folder: RunFolder, data: Path | None, kept: int) -> bool:
    """Write a checkpoint of the state after `kept` rounds, made from their updates; say if it is.

    Args:
        folder: the submitter's folder of the run, with the updates.
        data: the prepared data.
        kept: how many rounds stay.
    """
    from skerry.node.past import PastRun  # loads torch
    from skerry.node.states import StateDigests, state_bytes

    past = PastRun.open(folder.root, data)
    records = kept_records(folder, past.config, kept)
    if not kept or len(records) < kept:
        return False
    state = past.globals_at(kept)
    root = StateDigests().root(state)
    if root != records[-1].state_after:
        return False
    name = folder.blobs.put(state_bytes(state), durable=True)
    folder.write_checkpoint(Checkpoint(past.config.job, kept, root, name, ()), lanes_too=False)
    return True
