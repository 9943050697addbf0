"""The coordinator: carries out what `train.rounds` decides.

What    `Coordinator.serve` takes a link; `run` feeds every message, death and deadline to `tick`,
        one at a time, and does what it says until the run ends.
Why     All decisions are in the pure rule and all records in the ledger; this is the wiring.
Rule    An accepted result is on the disk before the next event is looked at. Nothing here computes
        on tensors, and disk writes leave the event loop, so that heartbeats go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from skerry.base.errors import PeerError, SkerryError
from skerry.base.ids import nickname
from skerry.messages.rounds import (
    PROTOCOL,
    UPDATE_BYTES_MAX,
    Evaluate,
    Evaluated,
    Farewell,
    FromWorker,
    Hello,
    LaneDone,
    Merge,
    RunConfig,
    RunLane,
    Save,
    Saved,
    Standing,
    Supply,
    Trouble,
    Want,
    Welcome,
)
from skerry.messages.signing import check_signature
from skerry.messages.wire import Message, MessageUnexpected, decode, encode
from skerry.node.clocks import RealClock
from skerry.node.events import RunEvent, WorkerDown, WorkerUp
from skerry.node.ledger import Ledger, Start
from skerry.node.processes import Death
from skerry.node.telling import Telling
from skerry.roles.units import LaneWord, altered
from skerry.storage import BlobMissing
from skerry.train.rounds import (
    Accept,
    Begin,
    Drop,
    Effect,
    End,
    Event,
    Record,
    RoundTerms,
    StartFailed,
    StopAsked,
    Task,
    TaskDone,
    TaskFailed,
    TaskMissed,
    TimePassed,
    WorkerJoined,
    WorkerLost,
    begin_rounds,
    tick,
)
from skerry.transport import Link, LinkLost

FRAME_BYTES_MAX = UPDATE_BYTES_MAX + (1 << 20)
_HELLO_SECONDS = 20.0
_EXIT_SECONDS = 10.0
_FAREWELL_SECONDS = 2.0

Payload: TypeAlias = FromWorker | None
Bring: TypeAlias = Callable[[bytes, bytes], Awaitable[None]]  # from the party of this key, a blob


def round_terms(config: RunConfig, *, has_evaluation: bool) -> RoundTerms:
    """Return what the pure rule must know of a run."""
    parts = min(config.lanes, config.eval_batches) if has_evaluation else 0
    return RoundTerms(
        rounds=config.rounds,
        lanes=config.lanes,
        save_every=config.save_rounds,
        eval_every=config.eval_rounds,
        eval_parts=parts,
    )


def supply_of(programs: Mapping[bytes, bytes], wanted: Sequence[bytes]) -> Supply:
    """Return the wanted ones of a run's Programs, which are given by digest, as a worker gets them.

    Raises:
        MessageUnexpected: one of them is not of this run.
    """
    if not all(name in programs for name in wanted):
        raise MessageUnexpected("a Program was wanted that is not of this run")
    return Supply(tuple(zlib.compress(programs[name], 9) for name in wanted))


class Hands(Protocol):
    """Worker processes that this machine may end; `processes.Crew` is one."""

    def owns(self, pid: int) -> bool:
        """Return whether the process is one of them and alive."""
        ...

    def kill(self, pid: int) -> None:
        """End the process if it is one of them."""
        ...


@dataclass
class Peer:
    """A connected worker."""

    name: str
    link: Link
    key: bytes
    pid: int
    made: set[tuple[int, int]] = field(default_factory=set)  # (round, lane) that it ran


class Coordinator:
    """One run's coordinator.

    Args:
        config: the run's terms.
        programs: canonical bytes of its Programs, by digest.
        ledger: what the run has come to so far.
        start: where the ledger says to go on.
        clock: tells when tasks are overdue.
        telling: counts bytes and tells events.
        hands: the worker processes of this machine.
        bring: brings a blob that a worker reported into this store, where it is another one.
    """

    def __init__(
        self,
        config: RunConfig,
        programs: Mapping[bytes, bytes],
        ledger: Ledger,
        start: Start,
        clock: RealClock,
        telling: Telling,
        hands: Hands,
        bring: Bring | None = None,
    ) -> None:
        self._config = config
        self._programs = programs
        self._ledger = ledger
        self._clock = clock
        self._telling = telling
        self._hands = hands
        self._bring = bring
        terms = round_terms(config, has_evaluation="evaluate" in dict(config.programs))
        self._state = begin_rounds(terms, at=start.round, root=start.root, saved=start.saved)
        self._events: asyncio.Queue[tuple[Event, Payload]] = asyncio.Queue()
        self._peers: dict[str, Peer] = {}
        self._exits: dict[int, asyncio.Future[Death]] = {}
        self._joined = 0
        self._bug: Exception | None = None
        self._banned: set[bytes] = set()
        self._failed: dict[Task, set[bytes]] = {}

    # -- links

    async def serve(self, link: Link) -> None:
        """Talk to one worker until it is gone; every report becomes an event."""
        try:
            await self._serve(link)
        except Exception as error:  # a bug of ours must end the run and not just one talk
            self._bug = error
            self.stop("a bug in the coordinator")
            raise

    async def _serve(self, link: Link) -> None:
        self._telling.watch(link)
        try:
            peer = await self._welcome(link)
        except (PeerError, TimeoutError):
            await link.close()
            return
        self._peers[peer.name] = peer
        self._exits.setdefault(peer.pid, asyncio.get_running_loop().create_future())
        self._events.put_nowait((WorkerJoined(peer.name), None))
        detail = "its link was lost"
        try:
            while True:
                await self._hear(peer, await link.receive())
        except LinkLost as lost:
            detail = lost.reason
        except PeerError as error:
            detail = error.message
            if self._bring is not None:  # a stranger, who would only do so again
                self._banned.add(peer.key)
        await link.close()
        death = await self._death(peer, detail)
        self._events.put_nowait((WorkerLost(peer.name, death.words, death.killed), None))

    async def _welcome(self, link: Link) -> Peer:
        hello = await self._first(link)
        if not isinstance(hello, Hello):
            raise MessageUnexpected(f"a {type(hello).__name__} came where a Hello was due")
        if hello.protocol != PROTOCOL:
            await self._say(link, Farewell(f"this run speaks protocol {PROTOCOL}"))
            raise MessageUnexpected(f"it speaks protocol {hello.protocol}")
        if link.peer_key is not None and link.peer_key != hello.signer:
            raise MessageUnexpected("it speaks for a key that is not its own")
        if hello.signer in self._banned and self.signers - self._banned:
            raise MessageUnexpected("it broke the rules of this run before")
        await self._say(link, Welcome(self._config))
        want = await self._first(link)
        if not isinstance(want, Want):
            raise MessageUnexpected(f"a {type(want).__name__} came where a Want was due")
        await self._say(link, supply_of(self._programs, want.programs))
        self._joined += 1
        name = f"{nickname(hello.signer)}.{self._joined}"  # a respawned worker is another one
        return Peer(name, link, hello.signer, hello.pid)

    async def _first(self, link: Link) -> Message:
        """Return one of the messages that a worker must send soon after it connects."""
        async with asyncio.timeout(_HELLO_SECONDS):
            message = decode(await link.receive())
        self._telling.heard(message)
        return message

    async def _hear(self, peer: Peer, frame: bytes) -> None:
        message = decode(frame, bytes_max=FRAME_BYTES_MAX)
        self._telling.heard(message)
        match message:
            case Standing(at, root):
                known = self._state.workers.get(peer.name)
                if known and known.task and known.task.kind in ("join", "merge"):
                    if at != known.task.round + (known.task.kind == "merge"):
                        raise MessageUnexpected(f"it stands at round {at}")
                    self._events.put_nowait((TaskDone(peer.name, known.task, root), None))
            case LaneDone(round=at, lane=lane):
                self._check_lane(peer, message)
                peer.made.add((at, lane))
                done = TaskDone(peer.name, Task(at, "lane", lane))
                self._events.put_nowait((done, message))
            case Evaluated(round=at, part=part):
                done = TaskDone(peer.name, Task(at, "evaluate", part))
                self._events.put_nowait((done, message))
            case Saved(round=at, state=state):
                if self._bring is not None:
                    await self._bring(peer.key, state)
                self._events.put_nowait((TaskDone(peer.name, Task(at, "save")), message))
            case Trouble():
                task = Task(message.round, message.task, message.index)
                elsewhere = message.task == "join" or self._bring is not None
                gone = message.code == BlobMissing.code and elsewhere
                failure = TaskMissed if gone else TaskFailed
                if not self._agreed(peer, task, gone=gone):
                    raise MessageUnexpected(f"it alone says: {message.message}")
                self._events.put_nowait((failure(peer.name, task, message.message), message))
            case _:
                raise MessageUnexpected(f"a {type(message).__name__} came from a worker")

    def _agreed(self, peer: Peer, task: Task, *, gone: bool) -> bool:
        """Return whether a task counts as failed: among strangers two must say so, if there are.

        That something was gone a worker may say once alone: next time it should have fetched it.
        """
        said = self._failed.setdefault(task, set())
        again = peer.key in said
        said.add(peer.key)
        alone = len(said) == 1 and self.signers != {peer.key}
        return self._bring is None or not alone or (gone and not again)

    def _check_lane(self, peer: Peer, done: LaneDone) -> None:
        """Refuse a lane whose receipts are not this worker's word on this very lane."""
        for receipt in done.receipts:
            where = receipt.unit.id
            if (where.round, where.lane) != (done.round, done.lane):
                raise MessageUnexpected("a receipt is about another lane")
            if where.job != self._ledger.job or receipt.signer != peer.key:
                raise MessageUnexpected("a receipt is of another run or signer")
            check_signature(receipt)
        if done.update and not self._config.merges(done.round):
            raise MessageUnexpected("an update came where nothing is merged")
        root = self._state.roots.get(done.round)
        if root is None:
            return  # a lane of another round, which is not taken anyway
        before = self._ledger.left(done.round, done.lane)
        lane = LaneWord(done.receipts, done.left, before, done.start)
        if (what := altered(self._config, done.round, done.lane, lane, root)) is not None:
            raise MessageUnexpected(f"a lane is not what was ordered: its {what} differs")

    async def _say(self, link: Link, message: Message) -> None:
        frame = encode(message)
        self._telling.said(message, len(frame))
        await link.send(frame)

    # -- deaths

    async def _death(self, peer: Peer, detail: str) -> Death:
        """Return why a worker is gone: its process's own words where it is one of ours."""
        if self._bring is not None:  # its machine or the way to it: that blames no task
            return Death(detail, killed=True)
        if not self._exits[peer.pid].done() and not self._hands.owns(peer.pid):
            return Death(detail)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self._exits[peer.pid]), _EXIT_SECONDS)
        self._hands.kill(peer.pid)
        return Death(detail)

    def process_ended(self, pid: int, death: Death) -> None:
        """Take note that a local worker process ended."""
        if pid in self._exits:
            if not self._exits[pid].done():
                self._exits[pid].set_result(death)
        else:
            self._events.put_nowait((StartFailed(death.words, death.killed), None))

    @property
    def signers(self) -> set[bytes]:
        """The keys of the workers that are connected."""
        return {peer.key for peer in self._peers.values()}

    def stop(self, detail: str) -> None:
        """Ask the run to stop."""
        self._events.put_nowait((StopAsked(detail), None))

    # -- the loop

    async def run(self) -> tuple[End, Trouble | None]:
        """Feed events to the rule until the run ends; return how, and the trouble if that is why.

        Raises:
            StorageError: this machine's disk refuses what must be kept.
        """
        while True:
            event, payload = await self._next_event()
            before = self._state
            self._state, effects = tick(before, event, self._clock.milliseconds())
            if isinstance(event, WorkerLost):
                self._forget(event)
            for effect in effects:
                if isinstance(effect, End):
                    if self._bug is not None:
                        raise self._bug
                    trouble = payload if isinstance(payload, Trouble) else None
                    return effect, trouble
                await self._do(effect, payload)

    async def _next_event(self) -> tuple[Event, Payload]:
        due = self._state.next_due
        seconds = None if due is None else max(0.0, (due - self._clock.milliseconds()) / 1000)
        try:
            async with asyncio.timeout(seconds):
                return await self._events.get()
        except TimeoutError:
            return TimePassed(), None

    def _forget(self, event: WorkerLost) -> None:
        if self._peers.pop(event.worker, None):
            self._tell(WorkerDown(event.worker, event.detail, len(self._state.workers)))

    def _tell(self, event: RunEvent) -> None:
        self._telling.tell(event)

    async def _do(self, effect: Effect, payload: Payload) -> None:
        match effect:
            case Begin(worker, task):
                await self._begin(self._peers[worker], task)
            case Accept(worker, task):
                await self._accept(worker, task, payload)
            case Record(number, root):
                before = self._state.roots[number]
                await asyncio.to_thread(self._ledger.keep_round, root, before)
                self._telling.round_finished(number, root)
            case Drop(worker, reason):
                peer = self._peers.pop(worker)
                self._hands.kill(peer.pid)
                self._tell(WorkerDown(worker, reason, len(self._state.workers)))
                await peer.link.close()
            case End():
                raise AssertionError("the end is not carried out but returned")

    async def _accept(self, worker: str, task: Task, payload: Payload) -> None:
        match payload:
            case LaneDone():
                await asyncio.to_thread(self._ledger.keep_lane, payload)
                self._telling.lane_finished(worker, payload)
            case Saved(state=state):
                root = self._state.roots[task.round]
                await asyncio.to_thread(self._ledger.keep_state, state, root)
                self._telling.checkpoint_written(task.round, root)
            case Evaluated():
                self._telling.evaluated(payload, self._state.terms.eval_parts)
            case _:
                raise AssertionError(f"{worker} had {task} accepted without a result")

    async def _begin(self, peer: Peer, task: Task) -> None:
        message: Message
        match task.kind:
            case "join":
                message = self._ledger.order_to_join(task.round)
                self._tell(WorkerUp(peer.name, peer.pid, len(self._state.workers)))
            case "merge":
                updates = await asyncio.to_thread(self._ledger.updates, task.round)
                message = Merge(
                    task.round,
                    tuple(
                        b"" if (task.round, lane) in peer.made else update
                        for lane, update in enumerate(updates)
                    ),
                )
                peer.made.clear()
            case "lane":
                state = self._ledger.lane_state(task.index)
                message = RunLane(task.round, task.index, state)
            case "save":
                message = Save(task.round)
            case "evaluate":
                message = Evaluate(task.round, task.index, self._state.terms.eval_parts)
        with contextlib.suppress(LinkLost):  # its death is an event of its own
            await self._say(peer.link, message)

    async def farewell(self, reason: str) -> None:
        """Tell all workers that it is over."""
        for peer in self._peers.values():
            with contextlib.suppress(SkerryError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._say(peer.link, Farewell(reason))


__all__ = ["FRAME_BYTES_MAX", "Coordinator", "Peer", "round_terms", "supply_of"]
