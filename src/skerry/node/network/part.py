"""Part: what one leased node does for one job, from the lease to the end.

What    `Part.live` fetches what the job names, starts a worker behind a gateway, follows whoever
        coordinates, and coordinates itself when it is its turn.
Why     A reader should find the whole sentence in one place: stock, ask around, work, follow or
        coordinate, and in the end keep what others may ask for.
Rule    A node follows one chair at a time and never a lower fence than it followed before. Who
        comes back asks around first: it may have been replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from skerry.base.errors import PeerError, SkerryError
from skerry.messages.leased import (
    COMMITTED_BYTES_MAX,
    Assignment,
    Chair,
    Closed,
    Committed,
    Contradiction,
    Follow,
    Holding,
    NodeAddress,
    Reached,
)
from skerry.messages.membership import Call
from skerry.messages.rounds import ROUNDS_MAX, RunConfig
from skerry.messages.signing import check_signature
from skerry.messages.wire import MessageUnexpected, decode, decode_as, encode
from skerry.node.ledger import Holds
from skerry.node.life import RunJob, keep_programs
from skerry.node.network import chairs
from skerry.node.network.chairs import better, first_chair, still_held, successors
from skerry.node.network.conviction import Conviction, follow
from skerry.node.network.gateway import Gateway
from skerry.node.network.hearing import Hearing
from skerry.node.network.keeping import Keeping
from skerry.node.network.mending import Mending
from skerry.node.network.office import Office
from skerry.node.network.pace import Pace
from skerry.node.network.pantry import Pantry
from skerry.node.network.replica import FolderPast, Replica, RoundTakenBack
from skerry.node.network.roads import Roads, hear, say
from skerry.node.network.staff import Identity, Staffing
from skerry.node.network.stocking import unpack
from skerry.node.network.trust import Trust
from skerry.node.processes import Death
from skerry.node.session import SECRET_BYTES
from skerry.storage import RunFolder, append_line, read_file, write_file
from skerry.transport import Link, LinkLost, TcpTransport
from skerry.transport.memory import MemoryLink

_AGAIN_SECONDS = 0.3
_FIRST_SECONDS = 9.0
_STOCK_SECONDS = 1.0
_PROBE_SECONDS = 5.0


class Part:
    """One node's part in one job.

    Args:
        root: the job's folder on this node.
        assignment: the job.
        me: this node.
        roads: how other nodes are called.
        staff: starts workers that connect to this node's gateway.
        told: is told in words what happens.
    """

    def __init__(
        self,
        root: Path,
        assignment: Assignment,
        me: Identity,
        roads: Roads,
        staff: Staffing,
        told: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.folder = RunFolder(root)
        self.assignment = assignment
        self.config: RunConfig = assignment.config
        self.job = self.config.job
        self.me = me
        self.roads = roads
        self._staff = staff
        self._told = told
        self.pantry = Pantry(self.folder.blobs, self.job, roads, self._sources)
        runs = any(node.key == me.key for node in assignment.nodes)
        holds: Holds = "updates" if runs else "records"  # who runs nothing can do without updates
        self.trust = Trust.of(assignment)
        self.replica = Replica(self.folder, self.config, self.trust, holds, me.key)
        self.past = FolderPast(self.replica)
        self.mending, self.pace = Mending(self.folder, assignment), Pace()
        self.programs: Mapping[bytes, bytes] = {}
        self.stocked = asyncio.Event()
        self.given_up = False
        self.office: Office | None = None
        self.chair: Chair | None = None  # who is tried now, or coordinates
        self._known: Chair | None = None  # who was last seen to coordinate
        self._taken: Chair | None = None  # what this node asks the others about before it sits down
        self._sure = asyncio.Event()  # the chair was confirmed and its link holds
        self._followers: set[asyncio.Task[None]] = set()
        self._coordinating: set[asyncio.Task[None]] = set()
        self._catching = asyncio.Lock()
        self.conviction = Conviction(self.replica, self._catching)
        self.stood = self.conviction.stood
        self.keeping = Keeping(me.key, me.sign, self.job, self.pantry, self.past)
        self.hearing = Hearing(
            assignment, me.key, roads, self.replica, self._catching, self._keep, self._convict, told
        )

    @property
    def order(self) -> list[bytes]:
        """The keys of the leased nodes, in the order in which they coordinate."""
        return [node.key for node in self.assignment.nodes]

    def _sources(self) -> list[NodeAddress]:
        it = self.assignment
        observing = [node for node in it.observers if node.key != self.me.key]
        return [*self.hearing.others, *observing, *([it.source] if it.source is not None else [])]

    # -- the whole sentence

    async def live(self) -> Closed:
        """Do this node's part until the job is closed, and return how it ended."""
        self.folder.lock()
        write_file(self.folder.root / "assignment", encode(self.assignment))
        secret = os.urandom(SECRET_BYTES)
        loopback = TcpTransport(secret)
        try:
            job = await self._stock()
            self.stocked.set()
            if self.replica.closed is not None:
                return self.replica.closed
            if self.me.key not in self.order:
                return await self.mending.watch(self._coordinated(job))
            data = self.folder.root / "data" if self.assignment.files else None
            crew = self._staff(self.folder.root, data, self._worker_ended)
            address = await loopback.listen(Gateway(self).serve)
            await crew.start(address, secret)
            try:
                return await self.mending.watch(self._coordinated(job))
            finally:
                await crew.dismiss()
        finally:
            await loopback.close()
            self.folder.unlock()

    def _worker_ended(self, pid: int, death: Death) -> None:
        self._told(f"worker {pid}: {death.words}")
        said = {"pid": pid, "words": death.words}
        with self.mending.noting():
            append_line(self.folder.root / "logs" / "deaths.jsonl", said)

    async def _stock(self) -> RunJob:
        """Fetch Programs, data and given weights, so that this node can go on without anybody."""
        names = [name for _, name in self.assignment.programs]
        names += [name for _, name in self.assignment.files]
        await asyncio.to_thread(self.pantry.drop_damaged, names)
        while left := await self.pantry.bring([*names, self.config.initial]):
            self._told(f"{len(left)} blobs of the job cannot be had yet")
            await asyncio.sleep(_STOCK_SECONDS)
        job = await asyncio.to_thread(unpack, self.folder, self.assignment)
        self.programs = keep_programs(job, self.folder)
        key = self.folder.root / "keys" / "worker-0.key"
        write_file(key, read_file(self.me.key_file), mode=0o600)
        return job

    # -- who coordinates

    async def _coordinated(self, job: RunJob) -> Closed:
        """Follow or coordinate until the job is closed."""
        heard = await self.hearing.catch_up()
        if heard is not None and heard.node == self.me.key:  # the others think that I still do
            heard = successors(self.order, heard)[-1]
        begun = heard or chairs.remembered(self.folder.root, self.order, self.me.key)
        sure = begun or first_chair(self.job, self.order, self.trust.fences.start)
        # Who has just been leased may be called before the others have heard of the job.
        now = asyncio.get_running_loop().time
        patient_until = now() + (0.0 if begun else _FIRST_SECONDS)
        while self.replica.round < self.trust.stays and now() < patient_until:
            await asyncio.sleep(_AGAIN_SECONDS)  # who has the rounds that stay may come yet
            await self.hearing.catch_up()
        trying = [sure]
        held: set[int] = set()
        while self.replica.closed is None:
            if not trying:
                await asyncio.sleep(_AGAIN_SECONDS)
                heard = await self.hearing.catch_up()
                await self.hearing.settle()
                if heard is not None and heard.node != self.me.key:
                    sure = better(sure, heard) or sure
                patient = now() < patient_until and self.hearing.seats(sure)
                trying = [sure] if patient else [sure, *successors(self.order, sure)]
                continue
            chair = trying.pop(0)
            self.chair = chair
            if chair.node == self.me.key:
                over = self.replica.ends.of(self.me.key, self.replica.round)
                if chair.fence in held or over:
                    continue  # it was mine and ended; somebody else must follow
                if heard := await self._taking(chair, sure):
                    trying = [heard]
                    continue
                if self.replica.closed is not None:
                    break
                held.add(chair.fence)
                sure, other = chair, await self._coordinate(job, chair)
            else:
                other = await self._follow(chair)
                if other is None and not self._sure.is_set():
                    await asyncio.sleep(_AGAIN_SECONDS)
                elif other is None and self.replica.closed is None:
                    sure = chair if self.chair is None else self.chair
                    self._told(f"the coordinator of fence {sure.fence} is lost")
                    trying = successors(self.order, sure)
            self._sure.clear()
            if other is not None:
                trying = [other, *successors(self.order, other)]
                if other.fence <= sure.fence:  # somebody has not noticed yet what we have
                    await asyncio.sleep(_AGAIN_SECONDS)
                sure = better(sure, other) or sure
        return self.replica.closed

    def _confirm(self, chair: Chair) -> None:
        self.chair, self._known, self._taken = chair, chair, None
        chairs.remember(self.folder.root, chair)
        self._sure.set()

    def _node(self, key: bytes) -> NodeAddress | None:
        return next((node for node in self.assignment.nodes if node.key == key), None)

    async def _follow(self, chair: Chair) -> Chair | None:
        """Follow a coordinator until it is lost; return who coordinates instead, if it knew."""
        node = self._node(chair.node)
        if node is None or not self.hearing.seats(chair):
            return None
        link = None
        try:
            link = await self.roads.call(node, Call("watch", self.job, chair.fence))
            await follow(link, self.replica, self.replica.round, live=True)
            async with asyncio.timeout(self.roads.seconds):
                seen = await hear(link, bytes_max=COMMITTED_BYTES_MAX)
            if not isinstance(seen, Chair) or seen.job != self.job:
                raise MessageUnexpected("it did not say who coordinates")
            # One that does not coordinate now may still know how the job ended.
            if seen.node != node.key or seen.fence not in self.trust.fences:
                other = await self.hearing.ask(node, self.replica.round)
                return other if other is not None and other.fence else None
            self.hearing.hear(node.key)
            self._confirm(seen)
            self.keeping.upward = link
            await self.hearing.take_all(link, seen)
        except RoundTakenBack as back:
            self._told(f"not sure any more: {back.message}")
            return None if self.replica.proofs.lies(chair.node) else chair
        except (SkerryError, TimeoutError) as error:
            words = error.message if isinstance(error, SkerryError) else "no answer in time"
            self.mending.note(error)
            await self.conviction.leave_what_is_wrong()
            self._told(f"not following fence {chair.fence}: {words}")
        finally:
            if self._sure.is_set():
                self.hearing.hear(chair.node)  # until now its link held, however little it said
            self.keeping.upward = None
            if link is not None:
                await link.close()
        return None

    def _keep(self, said: Committed) -> None:
        self.keeping.begin(said, updates=self.me.key not in self.order)

    async def _convict(self, proof: Contradiction) -> None:
        """Take a proof, and follow whom it convicts no longer."""
        if await self.conviction.take(proof):
            self._told(f"the coordinator of fence {proof.first.fence} is proven to lie")
            if self.keeping.upward and self.chair and self.replica.proofs.lies(self.chair.node):
                await self.keeping.upward.close()

    async def _taking(self, mine: Chair, sure: Chair) -> Chair | None:
        """Ask around before this node takes a chair; return the one to follow instead, if any.

        That is one that most others hear, or the last one known where it may be this node that is
        away from all the others.

        Who calls meanwhile is told that this node takes it, and waits here: else each of those who
        lost the same coordinator would find the next chair empty and take its own.
        """
        if mine.fence == self.trust.fences.start:
            return None
        self._taken = mine  # until it is confirmed
        claims = await self.hearing.claims(self.replica.round)
        found = still_held(claims, mine.fence)
        if found is not None:
            self._told(f"the others still hear the coordinator of fence {found.fence}")
        elif not claims and self.hearing.may_be_away():
            found = sure
        if found is not None:
            self._taken = None
            for task in self._followers:
                task.cancel()
            await asyncio.sleep(_AGAIN_SECONDS)
        return found

    async def _coordinate(self, job: RunJob, chair: Chair) -> Chair | None:
        """Coordinate until the job is closed; return who does instead when somebody does."""
        self._told(f"coordinating under fence {chair.fence} from round {self.replica.round}")
        if chair.fence > 1:
            await self.conviction.leave_what_is_wrong()
            last = self.folder.last_checkpoint(lanes_too=False)
            await self.keeping.bring_updates(range(last.round if last else 0, self.replica.round))
        me = (self.me.key, self.me.sign)
        office = Office(self.assignment, job, self.replica, me, chair.fence, self._bring)
        self.office = office
        self._confirm(chair)
        probing = asyncio.ensure_future(self._probe(chair))
        running = asyncio.ensure_future(office.run())
        try:
            await asyncio.wait({probing, running}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                return None
            return probing.result()
        except SkerryError as error:
            self._told(f"gave up coordinating: {error}")
            self.mending.note(error)
            return None
        finally:
            self.office = None
            probing.cancel()
            running.cancel()
            await asyncio.gather(probing, running, return_exceptions=True)
            if self.replica.closed is None:
                for task in [*self._followers, *self._coordinating]:
                    task.cancel()
                self.replica.reload()

    async def _probe(self, chair: Chair) -> Chair:
        """Ask around until somebody knows a coordinator of a higher fence, and return it."""
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            for claim in (await self.hearing.claims(ROUNDS_MAX)).values():
                if claim.fence > chair.fence:
                    return claim

    async def _bring(self, key: bytes, blob: bytes) -> None:
        if await self.pantry.bring([blob], first=[key]):
            raise MessageUnexpected("the state that it saved cannot be had from it")

    # -- what a gateway asks

    def note(self, words: str) -> None:
        """Say in words what happens."""
        self._told(words)

    async def reach_coordinator(self) -> Link:
        """Return a link to whoever coordinates now; waits until somebody does."""
        while True:
            await self._sure.wait()
            chair, office = self.chair, self.office
            if office is not None:
                here, there = MemoryLink.pair("this node", "this node")
                self._serve(office, there)
                return here
            node = self._node(chair.node) if chair is not None else None
            if node is not None and chair is not None:
                with contextlib.suppress(PeerError, TimeoutError):
                    return await self.roads.call(node, Call("run", self.job, chair.fence))
            await asyncio.sleep(_AGAIN_SECONDS)

    async def state_saved(self, number: int, state: bytes, root: bytes) -> None:
        """Take note that the global state of a round is in the store here."""
        if self.office is None:
            await asyncio.to_thread(self.replica.saved, number, state, root)

    # -- what other nodes ask

    def knows(self, key: bytes | None) -> bool:
        """Return whether a caller has to do with the job; None is one the transport trusts."""
        observing = {node.key for node in self.assignment.observers}
        return self.runs_lanes(key) or key in observing or key == self.assignment.signer

    def runs_lanes(self, key: bytes | None) -> bool:
        """Return whether a caller may be given lanes; None is one the transport trusts."""
        return key is None or key in self.order

    async def serve_run(self, link: Link) -> None:
        """Let another node's worker take part, if this node coordinates."""
        if self.office is not None:
            await self._serve(self.office, link)

    def _serve(self, office: Office, link: Link) -> asyncio.Task[None]:
        task = asyncio.ensure_future(office.coordinator.serve(link))
        self._coordinating.add(task)
        task.add_done_callback(self._coordinating.discard)
        return task

    async def serve_watch(self, link: Link) -> None:
        """Tell a caller who coordinates, and what was committed."""
        async with asyncio.timeout(self.roads.seconds):
            follow = decode_as(Follow, await link.receive())
        self.hearing.hear(link.peer_key)
        await say(link, self._claim())
        for proof in self.replica.proofs.found.values():
            await say(link, proof)
        sending = asyncio.ensure_future(self._send_rounds(link, follow))
        self._followers.add(sending)
        listening = asyncio.ensure_future(self._hear_follower(link))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.cancelled():  # else who followed shall look for somebody else
                await listening
        except LinkLost:
            return
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            self._followers.discard(sending)
            await link.close()

    async def _hear_follower(self, link: Link) -> None:
        while True:
            match decode(await link.receive(), bytes_max=COMMITTED_BYTES_MAX):
                case Contradiction() as proof:
                    await self._convict(proof)
                case Closed() as said:
                    await self.hearing.end(said)
                case Holding() as holding:
                    check_signature(holding)
                    if self.office is not None and holding.job == self.job:
                        self.office.hold(holding)
                case _:
                    raise MessageUnexpected("a word about what a node keeps was due")

    def end(self) -> None:
        """Let go of whoever is served, since the job goes on from an earlier round elsewhere."""
        for task in [*self._followers, *self._coordinating, *self.keeping.tasks]:
            task.cancel()

    def _claim(self) -> Chair:
        """Return who coordinates as far as this node knows; fence 0 where it does not."""
        known = self._known
        if self._taken is not None:
            return msgspec.structs.replace(self._taken, held=True)
        if known is None or (known.node == self.me.key and self.office is None):
            return Chair(self.job, 0, self.me.key)
        return msgspec.structs.replace(known, held=self._sure.is_set())

    async def _send_rounds(self, link: Link, follow: Follow) -> None:
        at = follow.round
        async for said in self.replica.stream(at, live=follow.live):
            await say(link, said)
            at += isinstance(said, Committed)
        await say(link, Reached(self.job, at))
