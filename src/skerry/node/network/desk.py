"""Desk: answers the calls about jobs that other nodes and submitters make to this node.

What    `Desk.answer(link, call)` serves the purposes "lease", "run", "watch" and "blobs".
        `Desk.resume` goes on with the jobs that a kill interrupted.
Why     One node may have parts in several jobs; each call names the one it is about.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from skerry.base.errors import PeerError, SkerryError
from skerry.base.ids import short
from skerry.messages.leased import COMMITTED_BYTES_MAX, Assigned, Assignment
from skerry.messages.membership import Call, Refusal
from skerry.messages.signing import check_signature
from skerry.messages.wire import decode_as
from skerry.node.network.part import Identity, Part
from skerry.node.network.roads import Roads, say
from skerry.node.network.staff import Staffing
from skerry.storage import read_file
from skerry.transport import Link

PURPOSES = ("lease", "run", "watch", "blobs")
_NOT_HERE = "this node has no part in that job"


class Desk:
    """The jobs in which one node has a part.

    Args:
        root: the node's folder.
        me: the node.
        roads: how other nodes are called.
        staff: starts workers.
        told: is told in words what happens.
    """

    def __init__(
        self,
        root: Path,
        me: Identity,
        roads: Roads,
        staff: Staffing,
        told: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._root = root
        self._me = me
        self._roads = roads
        self._staff = staff
        self._told = told
        self.parts: dict[bytes, Part] = {}
        self._living: dict[bytes, asyncio.Task[None]] = {}

    def resume(self) -> None:
        """Go on with the jobs that are kept in the node's folder."""
        for path in sorted((self._root / "jobs").glob("*/assignment")):
            with contextlib.suppress(PeerError):
                found = decode_as(Assignment, read_file(path), bytes_max=COMMITTED_BYTES_MAX)
                self._begin(found)

    async def close(self) -> None:
        """Leave all jobs as they are; others go on with them."""
        for task in self._living.values():
            task.cancel()
        await asyncio.gather(*self._living.values(), return_exceptions=True)

    def _begin(self, assignment: Assignment) -> Part:
        job = assignment.config.job
        if job in self.parts:
            self.parts[job].take(assignment)
            return self.parts[job]
        root = self._root / "jobs" / job.hex()[:16]
        part = Part(root, assignment, self._me, self._roads, self._staff, self._told)
        self.parts[job] = part
        self._living[job] = asyncio.ensure_future(self._live(part))
        return part

    async def _live(self, part: Part) -> None:
        try:
            closed = await part.live()
            self._told(f"job {short(part.job)} is over: {closed.kind} {closed.detail}".rstrip())
        except SkerryError as error:
            self._told(f"job {short(part.job)} is given up here: {error}")

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

    async def _lease(self, link: Link) -> None:
        """Take a part in a job; the answer comes when everything that it needs is here."""
        frame = await link.receive()
        assignment = decode_as(Assignment, frame, bytes_max=COMMITTED_BYTES_MAX)
        check_signature(assignment)
        if self._me.key not in {node.key for node in assignment.nodes}:
            await say(link, Refusal("peer.assignment", "this node is not among those leased"))
            return
        part = self._begin(assignment)
        await part.stocked.wait()
        await say(link, Assigned(part.job, part.assignment.revision))
