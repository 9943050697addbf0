"""Gateway: between a worker of this node and the coordinator on another one.

What    `Gateway.serve` takes a worker's link. It hands the coordinator's tasks on to the worker and
        the answers back, and sees to it that the blobs which a task names are here first.
Why     The worker and the coordinator speak as if they shared a disk; across nodes they share none.
Rule    Every update of a merge is kept here, so that this node can answer for the round. A worker
        outlives its coordinator: the next one is greeted in its name, and an answer that only the
        lost one had heard is said again. What worker and coordinator say is never changed, but that
        a merge always reaches the worker whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from skerry.base.errors import NodeError, PeerError
from skerry.messages.rounds import (
    PROTOCOL,
    Evaluate,
    Farewell,
    FromWorker,
    Hello,
    Join,
    LaneDone,
    Merge,
    RunConfig,
    RunLane,
    Save,
    Saved,
    Standing,
    Trouble,
    Want,
    Welcome,
)
from skerry.messages.wire import Message, MessageUnexpected, decode, decode_as, encode
from skerry.node.coordinator import FRAME_BYTES_MAX, supply_of
from skerry.node.network.mending import Mending
from skerry.node.network.pace import Pace
from skerry.node.network.pantry import Pantry
from skerry.node.network.replay import Past, replay_lane
from skerry.node.network.roads import hear, say
from skerry.storage import BlobMissing
from skerry.train.rounds import save_due
from skerry.transport import Link, LinkLost

_RETRY_SECONDS = 0.2
_HELLO_SECONDS = 20.0


class WorkerGone(NodeError):
    """The worker of this node ended in the middle of a task; another one is started."""

    code = "node.worker"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the worker is gone: {reason}", next_step="wait: another one is started")


@dataclass
class WorkerDesk:
    """A worker of this node: one task at a time, one answer each."""

    link: Link
    hello: Hello
    standing: Standing | None = None
    saved: Saved | None = None
    made: dict[tuple[int, int], tuple[bytes | None, LaneDone]] = field(default_factory=dict)

    async def ask(self, message: Message) -> FromWorker:
        """Give the worker a task and return its answer.

        Raises:
            WorkerGone: it ended first.
        """
        try:
            await self.link.send(encode(message))
            answer = decode(await self.link.receive(), bytes_max=FRAME_BYTES_MAX)
        except LinkLost as lost:
            raise WorkerGone(lost.reason) from None
        if not isinstance(answer, FromWorker):
            raise WorkerGone(f"it sent a {type(answer).__name__}")
        if isinstance(answer, Standing):
            self.standing = answer
        elif isinstance(answer, Trouble) and answer.task in ("join", "merge"):
            self.standing = None
        return answer


class Surroundings(Protocol):
    """What a gateway must know of the job on this node; `part.Part` is it."""

    config: RunConfig
    pantry: Pantry
    programs: Mapping[bytes, bytes]
    mending: Mending
    pace: Pace

    @property
    def past(self) -> Past:
        """The committed rounds."""
        ...

    def note(self, words: str) -> None:
        """Say in words what happens."""
        ...

    async def reach_coordinator(self) -> Link:
        """Return a link to whoever coordinates now; waits until somebody does."""
        ...

    async def stood(self, number: int, root: bytes) -> None:
        """Take note of the global state that this node's own worker came to."""
        ...

    async def state_saved(self, number: int, state: bytes, root: bytes) -> None:
        """Take note that the global state of a round is in the store here."""
        ...


class Gateway:
    """The gateway of one job on one node."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        has_evaluation = "evaluate" in dict(around.config.programs)
        self._has_evaluation = has_evaluation

    async def serve(self, link: Link) -> None:
        """Let one worker take part until it is gone."""
        try:
            worker = await self._welcome(link)
            await self._until_gone(worker)
        except (PeerError, WorkerGone, TimeoutError):
            pass
        except NodeError as error:  # this machine is unfit for now; the worker is ended
            self._around.mending.note(error)
        finally:
            await link.close()

    async def _welcome(self, link: Link) -> WorkerDesk:
        """Greet a worker as a coordinator would: the terms and the Programs are here."""
        async with asyncio.timeout(_HELLO_SECONDS):
            hello = decode_as(Hello, await link.receive())
            await say(link, Welcome(self._around.config))
            want = decode_as(Want, await link.receive())
            await say(link, supply_of(self._around.programs, want.programs))
        return WorkerDesk(link, hello)

    async def _until_gone(self, worker: WorkerDesk) -> None:
        while True:
            upstream = await self._around.reach_coordinator()
            try:
                await self._work(worker, upstream)
            except (PeerError, TimeoutError):
                pass
            finally:
                await upstream.close()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _work(self, worker: WorkerDesk, upstream: Link) -> None:
        """Take tasks from one coordinator until it is gone or says farewell."""
        await say(upstream, Hello(PROTOCOL, worker.hello.signer, worker.hello.pid))
        async with asyncio.timeout(_HELLO_SECONDS):
            welcome = await hear(upstream, bytes_max=FRAME_BYTES_MAX)
            if not isinstance(welcome, Welcome) or welcome.config != self._around.config:
                raise MessageUnexpected("the coordinator runs another job")
            await say(upstream, Want((welcome.config.programs[0][1],)))
            await hear(upstream, bytes_max=FRAME_BYTES_MAX)
        while True:
            message = await self._next(worker, upstream)
            if isinstance(message, Farewell):
                return
            answer = await self._do(worker, message)
            if isinstance(answer, Trouble):
                await self._around.mending.look(answer)
            await say(upstream, answer)

    async def _next(self, worker: WorkerDesk, upstream: Link) -> Message:
        """Return the coordinator's next message, unless the idle worker ends first."""
        waiting = asyncio.ensure_future(hear(upstream, bytes_max=FRAME_BYTES_MAX))
        listening = asyncio.ensure_future(worker.link.receive())
        try:
            await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
                raise WorkerGone("it spoke without being asked")
            return await waiting
        except LinkLost as lost:
            if listening.done():
                raise WorkerGone(lost.reason) from None
            raise
        finally:
            for each in (waiting, listening):
                if not each.cancel():
                    each.exception()
            await asyncio.gather(waiting, listening, return_exceptions=True)

    # -- tasks

    async def _do(self, worker: WorkerDesk, message: Message) -> FromWorker:
        match message:
            case Join():
                return await self._join(worker, message)
            case Merge():
                return await self._merge(worker, message)
            case RunLane():
                return await self._run_lane(worker, message)
            case Save(round=at):
                if worker.saved is not None and worker.saved.round == at:
                    return worker.saved
                return await worker.ask(message)
            case Evaluate():
                return await worker.ask(message)
            case _:
                raise MessageUnexpected(f"a {type(message).__name__} is no task")

    async def _join(self, worker: WorkerDesk, order: Join) -> FromWorker:
        if worker.standing is not None and worker.standing.round == order.round:
            return worker.standing  # said to a coordinator that is gone
        names = [order.state, self._around.config.initial]
        names += [name for row in order.updates for name in row]
        await asyncio.to_thread(self._around.pantry.drop_damaged, names)
        left = await self._around.pantry.bring(names)
        if left:
            return _missing("join", order.round, 0, left[0])
        worker.made = {key: it for key, it in worker.made.items() if key[0] >= order.round}
        return await self._stand(worker, order)

    async def _stand(self, worker: WorkerDesk, order: Join | Merge) -> FromWorker:
        """Let the worker reach a state, and store the state where a checkpoint is due."""
        answer = await worker.ask(order)
        if not isinstance(answer, Standing):
            return answer
        await self._around.stood(answer.round, answer.root)
        config = self._around.config
        if save_due(config.rounds, config.save_rounds, answer.round):
            saved = await worker.ask(Save(answer.round))
            if isinstance(saved, Saved):
                worker.saved = saved
                await self._around.state_saved(saved.round, saved.state, answer.root)
        return answer

    async def _merge(self, worker: WorkerDesk, message: Merge) -> FromWorker:
        at = message.round
        whole = []
        for lane, update in enumerate(message.updates):
            own = worker.made.get((at, lane))
            whole.append(update or (own[1].update if own else b""))
        await asyncio.to_thread(self._keep_updates, whole)
        answer = await self._stand(worker, Merge(at, tuple(whole)))
        worker.made = {key: it for key, it in worker.made.items() if key[0] > at}
        return answer

    def _keep_updates(self, updates: list[bytes]) -> None:
        for update in updates:
            if update:
                self._around.pantry.store.put(update)

    async def _run_lane(self, worker: WorkerDesk, message: RunLane) -> FromWorker:
        at, lane, state = message.round, message.lane, message.state
        known = worker.made.get((at, lane))
        if known is not None and known[0] == state:
            return known[1]
        pantry = self._around.pantry
        if await pantry.bring([state], first=self._around.past.keepers(at, lane)):
            self._around.note(f"lane {lane} at round {at} is made again by replay")
            trouble = await replay_lane(worker.ask, pantry, self._around.past, lane, at, state)
            if trouble is not None:
                return trouble
        answer = await worker.ask(message)
        if isinstance(answer, Trouble) and answer.code == BlobMissing.code:
            await pantry.bring([state])  # it was damaged here, and is dropped
            answer = await worker.ask(message)
        if isinstance(answer, LaneDone):
            self._around.pace.took(answer)
            worker.made[at, lane] = state, answer
        return answer


def _missing(task: str, at: int, index: int, name: bytes) -> Trouble:
    words = f"no node that can be reached has blob {name.hex()[:16]}"
    return Trouble(at, task, index, BlobMissing.code, words)  # type: ignore[arg-type]
