"""Reception: answers the calls about jobs that other nodes and submitters make to this node.

What    `Reception.answer(link, call)` serves the purposes "lease", "run", "watch" and "blobs".
        `Reception.resume` goes on with the jobs that a kill interrupted.
Why     One node may have parts in several jobs; each call names the one it is about.
Rule    A job goes back to an earlier round when whoever submitted it says so. The part before ends,
        its folder stays as it was, and the next one begins in a folder of its own with the rounds
        that stay.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from skerry.base.errors import NodeError, PeerError, SkerryError
from skerry.base.ids import short
from skerry.messages.leased import (
    COMMITTED_BYTES_MAX,
    Assigned,
    Assignment,
    Closed,
    Committed,
    NodeAddress,
)
from skerry.messages.membership import Call, Refusal
from skerry.messages.signing import check_signature
from skerry.messages.wire import decode_as
from skerry.node.daemon.switchboard import CallRefused
from skerry.node.life import RunBlocked
from skerry.node.network.part import Part
from skerry.node.network.pay import NotPaidHere, Paymaster, Unpaid
from skerry.node.network.roads import Roads, hear, say
from skerry.node.network.staff import Identity, Staffing
from skerry.node.network.stocking import read_assignment
from skerry.node.network.trust import stays
from skerry.storage import BlobMissing, FileDamaged, StorageError, copy_rounds
from skerry.storage.partial import forget_partials
from skerry.transport import Link

PURPOSES = ("lease", "run", "watch", "blobs")
_GIVE_TRIES = 20
_GIVE_SECONDS = 1.0
_NOT_HERE = "this node has no part in that job"
_GIVEN_UP = "this node gave that job up"


class NotTheSubmitter(PeerError):
    """A job shall go back to an earlier round, and another than its submitter says so."""

    code = "peer.submitter"

    def __init__(self) -> None:
        super().__init__(
            "only who submitted a job can let it go back to an earlier round",
            next_step="run the job from the folder in which it was started",
        )


def _turn_back(before: Path, root: Path, kept: int) -> None:
    """Make the folder of a job's next turn from that of the one before."""
    if not (root / "assignment").is_file():
        shutil.rmtree(root, ignore_errors=True)  # a kill left it half made
        copy_rounds(before, root, kept, blobs=True)


class Reception:
    """The jobs in which one node has a part.

    Args:
        root: the node's folder.
        me: the node.
        roads: how other nodes are called.
        staff: starts workers.
        told: is told in words what happens.
        pay: the node's side of the market; None where it takes part in none.
        paced: is told how fast the workers of a job were, in counted operations a second.
    """

    def __init__(
        self,
        root: Path,
        me: Identity,
        roads: Roads,
        staff: Staffing,
        told: Callable[[str], None] = lambda words: None,
        pay: Paymaster | None = None,
        paced: Callable[[int], None] = lambda rate: None,
    ) -> None:
        self._root = root
        self._me = me
        self._roads = roads
        self._staff = staff
        self._told = told
        self._pay = pay
        self._paced = paced
        self.parts: dict[bytes, Part] = {}
        self._living: dict[bytes, asyncio.Task[None]] = {}
        self._passing: set[asyncio.Task[None]] = set()
        self._turning = asyncio.Lock()

    def resume(self) -> None:
        """Go on with the jobs that are kept in the node's folder."""
        latest: dict[bytes, Assignment] = {}
        for path in sorted((self._root / "jobs").glob("*/assignment")):
            try:
                found = read_assignment(path)
            except NodeError as error:
                self._told(f"the job in {path.parent} is left alone: {error}")
                continue
            before = latest.get(found.config.job)
            if before is None or before.revision < found.revision:
                latest[found.config.job] = found
        for assignment in latest.values():
            try:
                self._begin(assignment)
            except SkerryError as error:
                job = short(assignment.config.job)
                self._told(f"job {job} is given up here: {error}")

    async def close(self) -> None:
        """Leave all jobs as they are; others go on with them."""
        tasks = [*self._living.values(), *self._passing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, assignment: Assignment) -> Part:
        """Return this node's part in a job, or in the latest turn of one that went back.

        Raises:
            NotTheSubmitter: somebody else wants a job to go back.
        """
        async with self._turning:
            part = self.parts.get(assignment.config.job)
            if part is None:
                return self._begin(assignment)
            if assignment.revision <= part.assignment.revision:
                return part
            if assignment.signer != part.assignment.signer:
                raise NotTheSubmitter
            part.end()
            living = self._living[part.job]
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            await asyncio.to_thread(forget_partials, part.folder.blobs)
            kept = stays(assignment.kept, part.assignment.revision)
            root = self._folder(assignment)
            await asyncio.to_thread(_turn_back, part.folder.root, root, kept)
            self._told(f"job {short(part.job)} goes back: {kept} of its rounds stay")
            return self._begin(assignment)

    def _folder(self, assignment: Assignment) -> Path:
        turn = f"-{assignment.revision}" if assignment.revision else ""
        return self._root / "jobs" / (assignment.config.job.hex()[:16] + turn)

    def _begin(self, assignment: Assignment) -> Part:
        job, root = assignment.config.job, self._folder(assignment)
        part = Part(root, assignment, self._me, self._roads, self._staff, self._told)
        self.parts[job] = part
        self._living[job] = asyncio.ensure_future(self._live(part))
        return part

    async def _live(self, part: Part) -> None:
        paying = asyncio.ensure_future(self._follow_money(part))
        try:
            closed = await self._live_on(part)
            if part.pace.rate:
                self._paced(part.pace.rate)
            self._told(f"job {short(part.job)} is over: {closed.kind} {closed.detail}".rstrip())
            await paying
            await asyncio.to_thread(forget_partials, part.folder.blobs)
        except SkerryError as error:
            part.given_up = True  # who only answers would pass for one that goes on with it
            self._told(f"job {short(part.job)} is given up here: {error}")
        finally:
            paying.cancel()
            await asyncio.gather(paying, return_exceptions=True)

    async def _live_on(self, part: Part) -> Closed:
        """Do a part in a job; where this machine is unfit for a while, go on afterwards."""
        job, before = short(part.job), -1
        while True:
            try:
                return await part.live()
            except (StorageError, RunBlocked, FileDamaged, BlobMissing) as error:
                self._told(f"job {job} stands still here, others go on: {error}")
                moved, before = part.replica.round > before, part.replica.round
                await part.mending.until_fit(error, moved=moved)
                self._told(f"job {job} goes on here")
                part.replica.reload()

    async def _follow_money(self, part: Part) -> None:
        """Tell the node's side of the market what comes of a job that is paid."""
        awarded, pay = part.assignment.awarded, self._pay
        if awarded is None or pay is None:
            return
        await part.stocked.wait()
        root = part.folder.root
        data = root / "data" if part.assignment.files else None
        await pay.join(part.assignment, root, data, part.pantry.bring)
        async for said in part.replica.stream(part.replica.round, live=True):
            if isinstance(said, Committed):
                pay.committed(awarded.job)
        await pay.end(awarded.job)

    # -- calls

    async def answer(self, link: Link, call: Call) -> None:
        """Serve one call until the caller is gone."""
        try:
            if call.purpose == "lease":
                await self._lease(link)
                return
            part = self.parts.get(call.job or b"")
            if part is None:
                await say(link, Refusal("peer.job", _NOT_HERE, "ask another node"))
            elif not part.knows(link.peer_key):
                await say(link, Refusal("peer.stranger", "that job is not the caller's"))
            elif part.given_up and call.purpose != "blobs":
                await say(link, Refusal("peer.job", _GIVEN_UP, "ask another node"))
            elif call.purpose == "run" and not part.runs_lanes(link.peer_key):
                await say(link, Refusal("peer.observer", "the caller holds no lease of a lane"))
            elif call.purpose == "run":
                link.admit()
                await part.serve_run(link)
            elif call.purpose == "watch":
                await part.serve_watch(link)
            elif call.purpose == "blobs":
                await part.pantry.serve(link)
        except (PeerError, TimeoutError):
            pass
        finally:
            await link.close()

    async def _confirm(self, assignment: Assignment) -> None:
        """Refuse a job without pay, and one that says it is paid where the chain does not."""
        if assignment.awarded is None and self._pay is None:
            return
        if self._pay is None:
            raise NotPaidHere
        if assignment.awarded is None:
            raise Unpaid
        await self._pay.confirm(assignment)

    async def _lease(self, link: Link) -> None:
        """Take a part in a job; the answer comes when everything that it needs is here."""
        frame = await link.receive()
        assignment = decode_as(Assignment, frame, bytes_max=COMMITTED_BYTES_MAX)
        check_signature(assignment)
        if self._me.key not in {it.key for it in (*assignment.nodes, *assignment.observers)}:
            await say(link, Refusal("peer.assignment", "this node is not among those leased"))
            return
        try:
            await self._confirm(assignment)
            part = await self._take(assignment)
        except SkerryError as error:
            self._told(f"an assignment was refused: {error.message}")
            await say(link, Refusal(error.code, error.message[:1024], error.next_step[:1024]))
            return
        self._pass_on(assignment)
        await part.stocked.wait()
        await say(link, Assigned(part.job, part.assignment.revision))

    def _pass_on(self, assignment: Assignment) -> None:
        """Give their part to nodes that only call, and so could not be given it by anybody else."""
        for node in (*assignment.nodes, *assignment.observers):
            if node.address.endswith("@") and node.key != self._me.key:
                task = asyncio.ensure_future(self._give(node, assignment))
                self._passing.add(task)
                task.add_done_callback(self._passing.discard)

    async def _give(self, node: NodeAddress, assignment: Assignment) -> None:
        for _ in range(_GIVE_TRIES):
            try:
                link = await self._roads.call(node, Call("lease", assignment.config.job))
                try:
                    await say(link, assignment)
                    await hear(link, bytes_max=COMMITTED_BYTES_MAX)
                finally:
                    await link.close()
            except CallRefused:
                return
            except (PeerError, TimeoutError):
                await asyncio.sleep(_GIVE_SECONDS)
            else:
                return
