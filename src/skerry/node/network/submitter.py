"""Submitter: gives a job to nodes, watches it, and fetches what it came to.

What    `submit_job(job, ...)` offers the job's blobs, gives each node its assignment, follows the
        committed rounds, and ends with the final state in the run's own folder.
Why     The command line watches a run on other machines as it watches one here.
Rule    Once the nodes have answered, the submitter is not needed any more: when it is killed the
        job goes on, and the same command finds it again by the assignment in the run's folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from skerry.base.errors import NodeError, PeerError
from skerry.base.ids import nickname
from skerry.messages.leased import (
    COMMITTED_BYTES_MAX,
    Assigned,
    Assignment,
    Awarded,
    Chair,
    Closed,
    Committed,
    Contradiction,
    NodeAddress,
    Reached,
)
from skerry.messages.membership import Call
from skerry.messages.rounds import Trouble
from skerry.messages.signing import sign
from skerry.messages.wire import MessageUnexpected, encode
from skerry.node.events import RunEvent, ring_bytes
from skerry.node.keys import load_key
from skerry.node.life import RunJob, RunResult, keep_programs, parameter_count, raise_unless_fine
from skerry.node.network.conviction import follow
from skerry.node.network.ends import Quiet
from skerry.node.network.gathering import tell_kept
from skerry.node.network.pantry import Pantry
from skerry.node.network.pay import Paymaster
from skerry.node.network.replica import Replica
from skerry.node.network.roads import Roads, hear, say
from skerry.node.network.stocking import read_assignment
from skerry.node.network.trust import Trust
from skerry.node.telling import Watch
from skerry.program import to_bytes
from skerry.storage import (
    Checkpoint,
    FileDamaged,
    RunFolder,
    blob_digest,
    make_folder,
    read_file,
    read_lines,
    write_file,
)
from skerry.train.rounds import End
from skerry.transport import Link

_LEASE_SECONDS = 600.0
_AGAIN_SECONDS = 0.5
_GONE_SECONDS = 60.0
COPY_NAME = "assignment.copy"
_LOST = (
    "restore it from a copy, or move it away (mv {0} {0}.bad) and run the same command again: nodes"
    " that have the job go on with it, and an award of which nothing was recorded is found again"
)
DATA_NAMES = ("manifest.json", "*-[0-9][0-9][0-9][0-9][0-9].bin")


class NobodyLeased(NodeError):
    """No node took the job."""

    code = "node.leased"

    def __init__(self, asked: int, why: Sequence[BaseException] = ()) -> None:
        reasons = dict.fromkeys(it.message for it in why if isinstance(it, PeerError))
        words = ": " + "; ".join(reasons) if reasons else ""
        super().__init__(
            f"none of {asked} nodes took the job{words}"[:900],
            next_step="look who is there with `skerry nodes`, then run the same command again",
        )


class JobGone(NodeError):
    """None of the nodes that were given the job can be reached."""

    code = "node.gone"

    def __init__(self, nodes: int) -> None:
        super().__init__(
            f"none of the {nodes} nodes that have the job could be reached for {_GONE_SECONDS:g} s",
            next_step="start them again, then run the same command again: they keep the job",
        )


class StateGone(NodeError):
    """The job ended, and the state that it ended with cannot be had as it was named."""

    code = "node.state.gone"

    def __init__(self, nodes: int) -> None:
        super().__init__(
            f"the last state that {nodes} of the job's nodes named is not there or is another one, "
            f"and no other node named one for {_GONE_SECONDS:g} s",
            next_step="start the job's other nodes again, then run the same command again",
        )


@dataclass(frozen=True)
class Turn:
    """One stretch of a job: the first, or one after it went back to an earlier round.

    Attributes:
        kept: rounds that stayed, each time that it went back.
        earlier: keys of the nodes that were leased before, ascending.
    """

    kept: tuple[int, ...] = ()
    earlier: tuple[bytes, ...] = ()


FIRST = Turn()


@dataclass(frozen=True)
class NetworkTerms:
    """Where a job is given.

    Attributes:
        nodes: who is asked, the first coordinator first.
        observers: who keeps the records and runs no lane.
        awarded: where the money lies; None where nobody is paid.
        holders: how many other nodes keep a lane's own state.
        hold_rounds: rounds between two such times.
        turn: how often the job went back to an earlier round, and what stays.
    """

    nodes: Sequence[NodeAddress]
    observers: Sequence[NodeAddress] = ()
    awarded: Awarded | None = None
    holders: int = 1
    hold_rounds: int = 5
    turn: Turn = FIRST


async def submit_job(
    job: RunJob,
    folder: RunFolder,
    data: Path | None,
    terms: NetworkTerms,
    listen: Callable[[Callable[[Link, Call], Any]], Any],
    roads: Roads,
    watch: Watch = lambda event: None,
    pay: Paymaster | None = None,
) -> RunResult:
    """Let nodes run `job`, or find it again where they already do.

    Args:
        job: the terms and the Programs.
        folder: the run's folder here.
        data: the prepared data.
        terms: who is asked.
        listen: starts to answer calls; returns the address of this process.
        roads: how nodes are called.
        watch: is told each event.
        pay: follows the money of an assignment that is awarded.

    Raises:
        NobodyLeased: no node took the job.
        JobGone: the nodes that took it are gone.
        RunFailed, RunBlocked, RunCrashing, RunConflict: as for a local run.
    """
    folder.lock()
    try:
        key, by = load_key(folder.root / "keys" / "submitter.key")
        assignment = kept_assignment(folder, job)
        offering = [*(assignment or terms).nodes, *(assignment or terms).observers]
        pantry = Pantry(folder.blobs, job.config.job, roads, lambda: offering)

        followed: list[Replica] = []
        address = await listen(_answers(job.config.job, pantry, followed))
        fresh = assignment is None
        if assignment is None:
            unsigned = _assignment(job, folder, data, terms, NodeAddress(key, address))
            assignment = sign(unsigned, by)
        replica = Replica(folder, job.config, Trust.of(assignment), holds="records")
        followed.append(replica)  # who is given the job may ask at once for what stays of it
        if fresh:
            await _give(assignment, roads)
            _keep_assignment(folder, assignment)
        for line in read_lines(folder.log):  # what an earlier session was told
            if line.get("type") == "started":
                watch(msgspec.convert(line, type=RunEvent))
        paying = _Paying(assignment, replica, pay)
        await paying.begin(data, pantry)
        closed = await _follow_to_end(replica, assignment, roads, watch, paying)
        while not await _has_state(pantry, closed):
            await replica.disbelieve(closed)
            closed = await _follow_to_end(replica, assignment, roads, watch, paying)
        await paying.end()
        if closed.state is not None and closed.root is not None:
            checkpoint = Checkpoint(job.config.job, closed.round, closed.root, closed.state, ())
            folder.write_checkpoint(checkpoint, lanes_too=False)
        trouble = None
        if closed.code:
            trouble = Trouble(closed.round, "lane", 0, closed.code, closed.detail, closed.next_step)
        raise_unless_fine(End(closed.kind, closed.detail), trouble, folder)
        return _result(job, folder, closed)
    finally:
        folder.unlock()


def _answers(
    job: bytes, pantry: Pantry, followed: Sequence[Replica]
) -> Callable[[Link, Call], Awaitable[None]]:
    """Return what answers calls: for blobs, and for the rounds that stay once they are known."""

    async def answer(link: Link, call: Call) -> None:
        with contextlib.suppress(PeerError, TimeoutError):
            if call.purpose == "blobs" and call.job == job:
                await pantry.serve(link)
            elif call.purpose == "watch" and call.job == job and followed:
                await tell_kept(link, followed[0])
        await link.close()

    return answer


def kept_assignment(folder: RunFolder, job: RunJob) -> Assignment | None:
    """Return the assignment of an earlier session of this very job.

    Raises:
        FileDamaged: neither it nor its copy can be read.
    """
    path = folder.root / "assignment"
    if not path.is_file():
        return None
    try:
        found = read_assignment(path)
    except FileDamaged as damaged:
        try:
            found = read_assignment(path.with_name(COPY_NAME))
        except NodeError:
            raise FileDamaged(path, "so is its copy", _LOST.format(path)) from damaged
        write_file(path, encode(found))
    return found if found.config.job == job.config.job else None


def _keep_assignment(folder: RunFolder, assignment: Assignment) -> None:
    """Keep an assignment twice: without it nobody finds the job, or its money, again."""
    for name in (COPY_NAME, "assignment"):
        write_file(folder.root / name, encode(assignment))


def _assignment(
    job: RunJob, folder: RunFolder, data: Path | None, terms: NetworkTerms, me: NodeAddress
) -> Assignment:
    """Put everything that the job needs into the store, and name it."""
    keep_programs(job, folder)
    programs = []
    for name, program in sorted(job.programs.items()):
        programs.append((name, folder.blobs.put(to_bytes(program))))
    files = []
    if data is not None and job.config.data is not None:
        for pattern in DATA_NAMES:
            for path in sorted(data.glob(pattern)):
                files.append((path.name, _link_blob(folder, path)))
    write_file(folder.root / "run.config", encode(job.config))
    return Assignment(
        signer=me.key,
        config=job.config,
        kept=terms.turn.kept,
        earlier=terms.turn.earlier,
        programs=tuple(programs),
        files=tuple(files),
        nodes=tuple(terms.nodes),
        observers=tuple(terms.observers),
        awarded=terms.awarded,
        source=me,
        holders=terms.holders,
        hold_rounds=terms.hold_rounds,
    )


def _link_blob(folder: RunFolder, path: Path) -> bytes:
    """Give a file of the data a name in the store, without a copy where the disk allows it."""
    name = blob_digest(read_file(path))
    place = folder.blobs.path(name)
    if not place.is_file():
        make_folder(place.parent)
        try:
            os.link(path, place)
        except OSError:
            folder.blobs.put(read_file(path))
    return name


async def _give(assignment: Assignment, roads: Roads) -> None:
    """Give every node its assignment; one that takes it is enough to begin."""

    async def give(node: NodeAddress) -> bool:
        link = await roads.call(node, Call("lease", assignment.config.job))
        try:
            await say(link, assignment)
            async with asyncio.timeout(_LEASE_SECONDS):
                answer = await hear(link, bytes_max=COMMITTED_BYTES_MAX)
            return isinstance(answer, Assigned)
        finally:
            await link.close()

    asked = [give(node) for node in (*assignment.nodes, *assignment.observers)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    bugs = [it for it in answers if isinstance(it, BaseException)]
    for bug in bugs:
        if not isinstance(bug, PeerError | TimeoutError):
            raise bug
    if True not in answers[: len(assignment.nodes)]:
        raise NobodyLeased(len(assignment.nodes), bugs) from (bugs[0] if bugs else None)


@dataclass(frozen=True)
class _Paying:
    """Tells the submitter's side of the market what comes of the job, where it is paid."""

    assignment: Assignment
    replica: Replica
    pay: Paymaster | None

    async def begin(self, data: Path | None, pantry: Pantry) -> None:
        if self.assignment.awarded is not None and self.pay is not None:
            run = self.replica.folder.root
            await self.pay.join(self.assignment, run, data, pantry.bring)

    def committed(self) -> None:
        if self.assignment.awarded is not None and self.pay is not None:
            self.pay.committed(self.assignment.awarded.job)

    async def end(self) -> None:
        if self.assignment.awarded is not None and self.pay is not None:
            await self.pay.end(self.assignment.awarded.job)


async def _follow_to_end(
    replica: Replica, assignment: Assignment, roads: Roads, watch: Watch, paying: _Paying
) -> Closed:
    """Follow the job, at whichever of its nodes answers, until it is closed."""
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    quiet = Quiet(tuple(node.key for node in assignment.nodes))
    if replica.closed is not None:
        return replica.closed
    while replica.closed is None:
        for node in assignment.nodes:
            if replica.proofs.lies(node.key):
                continue
            before = replica.round
            with contextlib.suppress(PeerError, TimeoutError):
                await _follow(replica, node, roads, watch, paying, quiet)
            await replica.settle(quiet.silent(replica.ending, loop.time()))
            if replica.closed is not None:
                break
            if replica.round > before:
                heard_at = loop.time()
        else:
            if loop.time() - heard_at > _GONE_SECONDS:
                lost = len(replica.ends.refused)
                raise StateGone(lost) if lost else JobGone(len(assignment.nodes))
            await asyncio.sleep(_AGAIN_SECONDS)
    _tell(replica.closed.told, watch)
    return replica.closed


async def _follow(
    replica: Replica,
    node: NodeAddress,
    roads: Roads,
    watch: Watch,
    paying: _Paying,
    quiet: Quiet,
) -> None:
    """Follow the job at one of its nodes, until that one is lost, done, or proven to lie."""
    link = await roads.call(node, Call("watch", replica.job))
    try:
        await follow(link, replica, replica.round, live=True)
        while True:
            said = await hear(link, bytes_max=COMMITTED_BYTES_MAX)
            quiet.hear(node.key, asyncio.get_running_loop().time())
            match said:
                case Committed():
                    if await replica.adopt(said):
                        _tell(said.told, watch)
                        paying.committed()
                case Closed():
                    await replica.hear_end(said)
                    if replica.closed is not None or said.signer == node.key:
                        return
                case Contradiction():
                    if replica.proofs.take(said) and replica.proofs.lies(node.key):
                        return
                case Chair():
                    pass
                case Reached():  # it had to take back what comes next; others may know better
                    return
                case _:
                    raise MessageUnexpected(f"{nickname(node.key)} sent no committed round")
    finally:
        await link.close()


def _tell(told: Sequence[bytes], watch: Watch) -> None:
    for line in told:
        with contextlib.suppress(msgspec.MsgspecError):
            watch(msgspec.json.decode(line, type=RunEvent))


async def _has_state(pantry: Pantry, closed: Closed) -> bool:
    """Fetch the state with which a job ended; return whether it is the one that was named."""
    from skerry.node.states import blob_root  # loads torch

    if closed.state is None or closed.root is None:
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_SECONDS):
            while await pantry.bring([closed.state]):  # noqa: ASYNC110 - the nodes change
                await asyncio.sleep(_AGAIN_SECONDS)
        blob = pantry.store.get(closed.state)
        return await asyncio.to_thread(blob_root, blob) == closed.root
    return False


def _result(job: RunJob, folder: RunFolder, closed: Closed) -> RunResult:
    """Return what the whole run came to, from the log that the nodes wrote."""
    lines = read_lines(folder.log)
    rounds = {int(line["round"]): line for line in lines if line.get("type") == "round"}
    evaluations = {
        int(line["round"]): line["sums"] for line in lines if line.get("type") == "evaluation"
    }
    lanes = [line for line in lines if line.get("type") == "lane"]
    last: Mapping[str, Any] = rounds[max(rounds)] if rounds else {}
    spent = {
        kind: sum(float(line[f"{kind}_seconds"]) for line in lanes)
        for kind in ("compute", "commit", "storage")
    }
    workers = max((int(line["workers"]) for line in lines if line["type"] == "started"), default=1)
    steps = job.config.rounds * job.config.local_steps
    return RunResult(
        finished=closed.kind == "finished",
        folder=folder.root,
        round=closed.round,
        root=closed.root or b"",
        state=folder.blobs.path(closed.state) if closed.state else folder.root,
        losses={at: float(line["loss"]) for at, line in rounds.items()},
        evaluations=evaluations,
        bytes_sent=dict(last.get("bytes_sent") or {}),
        ring_bytes=ring_bytes(parameter_count(job), workers, steps),
        receipts=len(folder.receipts()),
        deaths=sum(line.get("type") == "worker_down" for line in lines),
        seconds={**spent, "wall": max((float(it["seconds"]) for it in rounds.values()), default=0)},
    )
