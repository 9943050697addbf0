"""Replay: a lane's own state made again from the last copy that anybody holds.

What    `replay_lane` brings a lane's state into this node's store by running the lane's rounds
        since, on this node's own worker, with the messages that a coordinator would send.
Why     A node may die with its disk between two times at which others copied its lanes' states.
Rule    The rounds and their merges are the committed ones, so the bits are those that were lost;
        each state that comes out must be the one that its record names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from skerry.messages.rounds import (
    FromWorker,
    Join,
    LaneDone,
    Merge,
    RoundRecord,
    RunLane,
    Standing,
    Trouble,
)
from skerry.messages.wire import Message
from skerry.node.network.pantry import Pantry
from skerry.storage import BlobMissing, Checkpoint

Ask: TypeAlias = Callable[[Message], Awaitable[FromWorker]]


class Past(Protocol):
    """The committed rounds of a job, as far as they are known here."""

    def record(self, number: int) -> RoundRecord | None:
        """Return the record of a round."""
        ...

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints, oldest first."""
        ...

    def keepers(self, at: int, lane: int) -> list[bytes]:
        """Return keys of nodes that should hold the lane's own state at the start of `at`."""
        ...

    async def until(self, at: int) -> None:
        """Wait until the rounds before `at` are known here; raise TimeoutError if it is long."""
        ...


def lane_state(past: Past, lane: int, at: int) -> bytes | None:
    """Return the blob of a lane's own state at the start of round `at`; None where it is new."""
    record = past.record(at - 1) if at else None
    return record.lanes[lane].state if record else None


async def replay_lane(
    ask: Ask, pantry: Pantry, past: Past, lane: int, at: int, wanted: bytes | None
) -> Trouble | None:
    """Make the lane's state at the start of round `at` again; return what forbids it, or None."""
    await past.until(at)
    start = await _last_held(pantry, past, lane, at)
    answer = await _join(ask, pantry, past, start)
    state = lane_state(past, lane, start)
    for number in range(start, at):
        record = past.record(number)
        if not isinstance(answer, Standing) or record is None:
            return _trouble(answer, at, lane)
        done = await ask(RunLane(number, lane, state))
        if not isinstance(done, LaneDone) or done.state != record.lanes[lane].state:
            return _trouble(done, at, lane)
        state = done.state
        names = [it.update for it in record.lanes]
        if await pantry.bring(names):
            return _trouble(done, at, lane)
        updates = tuple(pantry.store.get(name) for name in names)
        answer = await ask(Merge(number, updates))
    if not isinstance(answer, Standing) or state != wanted:
        return _trouble(answer, at, lane)
    return None


async def _last_held(pantry: Pantry, past: Past, lane: int, at: int) -> int:
    """Return the last round before `at` at whose start the lane's state can be had."""
    for number in range(at - 1, 0, -1):
        name = lane_state(past, lane, number)
        if name is None or not await pantry.bring([name], first=past.keepers(number, lane)):
            return number
    return 0


async def _join(ask: Ask, pantry: Pantry, past: Past, at: int) -> FromWorker:
    """Let the worker hold the state of round `at`, from the last checkpoint that can be had."""
    for checkpoint in [it for it in reversed(past.checkpoints()) if it.round <= at]:
        if not await pantry.bring([checkpoint.state]):
            return await ask(await _order(pantry, past, checkpoint.round, checkpoint.state, at))
    return await ask(await _order(pantry, past, 0, None, at))


async def _order(pantry: Pantry, past: Past, base: int, state: bytes | None, at: int) -> Join:
    records = [past.record(number) for number in range(base, at)]
    rows = tuple(tuple(it.update for it in record.lanes) for record in records if record)
    await pantry.bring([name for row in rows for name in row])
    return Join(at, base, state, rows)


def _trouble(answer: FromWorker, at: int, lane: int) -> Trouble:
    if isinstance(answer, Trouble):
        return Trouble(at, "lane", lane, answer.code, answer.message, answer.next_step)
    words = f"the state of lane {lane} at round {at} could not be made again"
    return Trouble(at, "lane", lane, BlobMissing.code, words)
