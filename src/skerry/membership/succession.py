"""Who coordinates a job: the leased nodes take turns, and a majority makes each change final.

What    `Succession` is one node's part. It is told what arrives and what is lost, and returns
        actions: what to keep, what to say, and whether to take over, follow or stand down.
Why     The coordinator may be killed, cut off or slow. The job must go on within seconds, no
        accepted round may be lost, and a coordinator that comes back must change nothing.
Rule    The coordinator of a fence follows from the fence alone: the leased nodes in order, round
        and round. So two nodes never coordinate under one fence. A node that gives up a fence
        promises, on its disk, never to follow that fence or a lower one again; with exactly that
        promise of more than half of the leased nodes the next one takes over, from the furthest
        record among them. A round counts when more than half have kept its record under one fence,
        and any two majorities share a node, so the next coordinator hears of it.
        One node alone cannot unseat a coordinator that the others still hear.
        A node whose disk was lost has forgotten its promises: it works, but neither votes nor
        counts, until the submitter leases anew.
Source  Oki and Liskov 1988, "Viewstamped replication"; Ongaro and Ousterhout 2014, "Raft". That a
        node without its memory must not vote: Michael et al. 2017, "Recovering shared objects
        without stable storage".
Pure    The time is an argument. Whoever carries out the actions does so in their order: `Keep` is
        on the disk before anything after it is said.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from skerry.base.errors import FaultError, PeerError
from skerry.base.ids import nickname, short
from skerry.membership.leases import FenceOver
from skerry.messages.membership import NOTHING, Lead, Lease, Suspect
from skerry.messages.signing import SignatureWrong, check_signature

FENCE_LEAP_MAX = 4096  # no honest node runs so far ahead; a dishonest one could end all fences
_REPEAT_SECONDS = 1.0
_BACKOFF_MAX = 3


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node must never forget of a job.

    Attributes:
        given_up: the highest fence that it will never follow again.
        round: rounds whose records it has accepted.
        record: digest of the last of them.
        record_fence: the fence under which it was accepted.
    """

    given_up: int
    round: int = 0
    record: bytes = NOTHING
    record_fence: int = 0

    @property
    def reach(self) -> tuple[int, int]:
        """How far it knows the job: of two, the greater is nearer to the truth."""
        return self.record_fence, self.round


class LeadUnproven(PeerError):
    """Somebody claims to coordinate without the votes of a majority."""

    code = "peer.lead"

    def __init__(self, job: bytes, fence: int, reason: str) -> None:
        self.job = job
        self.fence = fence
        super().__init__(
            f"nobody has shown that fence {fence} of job {short(job)} began: {reason}",
            next_step="show the votes of more than half of the leased nodes",
        )


class Equivocation(FaultError):
    """A coordinator named two records for one round under one fence."""

    code = "fault.equivocation"

    def __init__(self, job: bytes, fence: int, at: int, coordinator: bytes) -> None:
        self.job = job
        super().__init__(
            f"{nickname(coordinator)} named two records for round {at} of job {short(job)}"
            f" under fence {fence}",
            next_step="keep both: two signed records of one round cost their author the stake",
        )


@dataclass(frozen=True, slots=True)
class Keep:
    """Write the promise to the disk before going on."""

    promise: Promise


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message to a node, or to all other leased nodes where `to` is None.

    A `Suspect` is unsigned here; whoever holds the key signs it.
    """

    to: bytes | None
    message: Suspect | Lead


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Coordinate from now on.

    Attributes:
        fence: the fence to act under.
        round: rounds that are accepted: go on with the round of this number.
        record: digest of the record of the last of them, zeros before the first.
        holders: nodes that have that record.
    """

    fence: int
    round: int
    record: bytes
    holders: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Follow:
    """Another node coordinates now."""

    fence: int
    coordinator: bytes


@dataclass(frozen=True, slots=True)
class StandDown:
    """Stop coordinating: the fence is over."""

    fence: int


Action: TypeAlias = Keep | Say | TakeOver | Follow | StandDown


def _order(vote: Suspect) -> tuple[int, int, int]:
    return vote.fence, vote.record_fence, vote.round


class Succession:
    """One node's part in choosing the coordinators of one job.

    Make it by `begin` when a lease is taken, and by `resume` when the node starts again.
    """

    def __init__(self, lease: Lease, me: bytes, promise: Promise | None) -> None:
        assert me in lease.order, "only a leased node takes part"
        self.job = lease.job
        self.order = lease.order
        self.me = me
        self.base = lease.fence
        self.forgetful = promise is None
        self.promise = promise or Promise(given_up=lease.fence - 1)
        self.fence = max(self.base, self.promise.given_up + 1)
        self.acting = False
        self.established = self.fence == 1
        self._votes: dict[bytes, Suspect] = {}
        self._proof: tuple[Suspect, ...] = ()
        self._kept: dict[bytes, int] = {}
        self._since: float | None = None
        self._said_at: float | None = None
        self._tries = 0

    @classmethod
    def begin(
        cls, lease: Lease, me: bytes, earlier: Promise | None = None
    ) -> tuple[Succession, list[Action]]:
        """Return a node's part in a lease that it takes now, and what to do first.

        Args:
            lease: the lease, which has been checked.
            me: this node.
            earlier: what it promised under an earlier lease of the job.
        """
        known = earlier or Promise(given_up=0)
        promise = msgspec.structs.replace(known, given_up=max(known.given_up, lease.fence - 1))
        it = cls(lease, me, promise)
        actions: list[Action] = [Keep(promise)]
        if it.established and it.coordinator == me:
            actions += it._take_over(())
        elif not it.established:
            actions += it._vote()
        return it, actions

    @classmethod
    def resume(
        cls, lease: Lease, me: bytes, promise: Promise | None
    ) -> tuple[Succession, list[Action]]:
        """Return a node's part after it has started again, from what it kept.

        A coordinator that was killed does not know what it had said, so it gives up its fence.
        Where nothing was kept the node takes no further part in the choice.
        """
        it = cls(lease, me, promise)
        if not it.forgetful and it.coordinator == me:
            return it, it._give_up(it.fence, lost=())
        return it, []

    # -- what is known

    @property
    def majority(self) -> int:
        """How many nodes decide."""
        return len(self.order) // 2 + 1

    def coordinator_of(self, fence: int) -> bytes:
        """Return who coordinates under a fence."""
        return self.order[(fence - self.base) % len(self.order)]

    @property
    def coordinator(self) -> bytes:
        """Who coordinates under the fence that this node follows."""
        return self.coordinator_of(self.fence)

    @property
    def committed(self) -> int:
        """As coordinator: the rounds whose records more than half have kept under this fence."""
        if not self.acting:
            return 0
        kept = sorted((self._kept.get(node, 0) for node in self.order), reverse=True)
        return kept[self.majority - 1]

    # -- what happens

    def tick(self, now: float, *, lost: Collection[bytes], patience: float) -> list[Action]:
        """Return what to do as time goes by.

        Args:
            now: seconds of a monotonic clock.
            lost: nodes that the failure detector has given up.
            patience: seconds to wait for a coordinator that nobody has heard yet.
        """
        if self._since is None:
            self._since = now
        if self.forgetful:
            return []
        actions: list[Action] = []
        waits = patience * (1 << min(self._tries, _BACKOFF_MAX))
        overdue = not self.established and now - self._since > waits
        leaderless = self.coordinator in lost and self.coordinator != self.me
        if leaderless or overdue or self._is_blocked(lost):
            self._tries += not self.established
            actions += self._give_up(self.fence, lost)
            self._since, self._said_at = now, now
        elif self._said_at is None or now - self._said_at >= _REPEAT_SECONDS:
            self._said_at = now
            if self.acting and self.fence > 1:
                actions += [Say(node, self._lead()) for node in self._strangers()]
            elif not self.established:
                actions.append(Say(None, self._word()))
        return actions

    def vote(self, vote: Suspect) -> list[Action]:
        """Return what to do about a vote that arrived.

        Raises:
            SignatureWrong: its signer did not sign it.
        """
        leap = vote.fence - self.promise.given_up
        if vote.job != self.job or vote.signer not in self.order or vote.signer == self.me:
            return []
        if leap > FENCE_LEAP_MAX:
            return []
        check_signature(vote)
        held = self._votes.get(vote.signer)
        if held is None or _order(vote) > _order(held):
            self._votes[vote.signer] = vote
        if self.forgetful:
            return []
        if self.acting and vote.fence < self.fence:
            return [Say(vote.signer, self._lead())]
        if vote.fence < self.promise.given_up:
            return [Say(vote.signer, self._word())]
        joined = self._fence_to_join()
        if joined > self.promise.given_up:
            return self._give_up(joined, lost=())
        return self._elect()

    def lead(self, lead: Lead) -> list[Action]:
        """Return what to do when somebody shows that it coordinates.

        Raises:
            FenceOver: the fence was given up before.
            LeadUnproven: the votes are not those of a majority.
        """
        if lead.job != self.job:
            return []
        if lead.fence < self.fence:
            raise FenceOver(self.job, lead.fence, self.fence)
        if lead.fence == self.fence and self.established:
            return []
        self._check_proof(lead)
        actions: list[Action] = []
        if self.acting:
            actions.append(StandDown(self.fence))
        self.acting, self.fence, self.established, self._tries = False, lead.fence, True, 0
        if lead.fence - 1 > self.promise.given_up and not self.forgetful:
            self.promise = msgspec.structs.replace(self.promise, given_up=lead.fence - 1)
            actions.append(Keep(self.promise))
        return [*actions, Follow(self.fence, self.coordinator)]

    def accept(self, fence: int, at: int, record: bytes) -> list[Action]:
        """Keep the record of a round that the coordinator named; then it may be acknowledged.

        The coordinator does the same with its own record before it sends it.

        Args:
            fence: the fence under which it was named.
            at: rounds that are accepted with it, counted from the beginning of the job.
            record: digest of the record.

        Raises:
            FenceOver: that fence was given up.
            LeadUnproven: that fence is not known to have begun, or this node lost its memory.
            Equivocation: another record of the round was named before, under this fence.
        """
        if fence < self.fence:
            raise FenceOver(self.job, fence, self.fence)
        if fence != self.fence or not self.established:
            raise LeadUnproven(self.job, fence, f"fence {self.fence} is the last one known here")
        if self.forgetful:
            raise LeadUnproven(self.job, fence, "this node lost its memory and does not count")
        before = self.promise
        if before.record_fence == fence:
            if at == before.round and record != before.record:
                raise Equivocation(self.job, fence, at, self.coordinator)
            if at <= before.round:
                return []
        self.promise = Promise(before.given_up, at, record, fence)
        if self.acting:
            self._kept[self.me] = at
        return [Keep(self.promise)]

    def acknowledged(self, node: bytes, fence: int, at: int) -> int:
        """Note that a node has kept the record of a round; return the rounds that count now."""
        if self.acting and fence == self.fence and node in self.order:
            self._kept[node] = max(self._kept.get(node, 0), at)
        return self.committed

    # -- inside

    def _word(self) -> Suspect:
        it = self.promise
        return Suspect(
            signer=self.me,
            job=self.job,
            fence=it.given_up,
            round=it.round,
            record=it.record,
            record_fence=it.record_fence,
        )

    def _votes_for(self, fence: int) -> list[Suspect]:
        """Return the votes of others that give up exactly the fence before `fence`."""
        return [it for it in self._votes.values() if it.fence == fence - 1]

    def _lead(self) -> Lead:
        return Lead(self.job, self.fence, self._proof)

    def _check_proof(self, lead: Lead) -> None:
        coordinator = self.coordinator_of(lead.fence)
        voters = {it.signer for it in lead.votes if it.fence == lead.fence - 1}
        voters &= set(self.order) - {coordinator}
        if len(voters) + 1 < self.majority:
            reason = f"{len(voters)} votes besides its own came where {self.majority - 1} are due"
            raise LeadUnproven(self.job, lead.fence, reason)
        try:
            for vote in lead.votes:
                if vote.job != self.job:
                    raise LeadUnproven(self.job, lead.fence, "a vote is about another job")
                check_signature(vote)
        except SignatureWrong:
            raise LeadUnproven(self.job, lead.fence, "a vote is not its signer's") from None

    def _strangers(self) -> list[bytes]:
        """Return the nodes that have not yet kept a record of this coordinator's."""
        return [node for node in self.order if node != self.me and node not in self._kept]

    def _is_blocked(self, lost: Collection[bytes]) -> bool:
        """Return whether the present fence can get no majority any more, but a later one may."""
        left = {node for node, it in self._votes.items() if it.fence >= self.fence}
        return bool(left) and len(left.union(lost)) > len(self.order) - self.majority

    def _fence_to_join(self) -> int:
        """Return the highest fence that others have given up and that this node must, too."""
        given = sorted((it.fence for it in self._votes.values()), reverse=True)
        needed = len(self.order) - self.majority + 1 if self.established else 1
        return given[needed - 1] if len(given) >= needed else -1

    def _give_up(self, fence: int, lost: Collection[bytes]) -> list[Action]:
        """Give up the fences up to `fence`, and those after it whose coordinator is lost."""
        actions: list[Action] = []
        if self.acting:
            actions.append(StandDown(self.fence))
        following = fence + 1
        while self.coordinator_of(following) in lost and following - fence < len(self.order):
            following += 1
        self.acting, self.established, self.fence = False, False, following
        self._since = None
        self._kept.clear()
        self.promise = msgspec.structs.replace(self.promise, given_up=following - 1)
        return [*actions, Keep(self.promise), *self._vote()]

    def _vote(self) -> list[Action]:
        return [Say(None, self._word()), *self._elect()]

    def _elect(self) -> list[Action]:
        """Take over where it is this node's turn and a majority has given up the one before."""
        if self.acting or self.established or self.coordinator != self.me:
            return []
        votes = self._votes_for(self.fence)
        if len(votes) + 1 < self.majority:
            return []
        return self._take_over(votes)

    def _take_over(self, votes: Collection[Suspect]) -> list[Action]:
        best = max([self._word(), *votes], key=lambda it: (it.record_fence, it.round))
        same = (best.record_fence, best.round)
        holders = tuple(
            it.signer for it in [self._word(), *votes] if (it.record_fence, it.round) == same
        )
        self.acting, self.established, self._tries = True, True, 0
        self._kept.clear()
        self._proof = tuple(sorted(votes, key=lambda it: it.signer))
        actions: list[Action] = [TakeOver(self.fence, best.round, best.record, holders)]
        if self.fence > 1:
            actions.append(Say(None, self._lead()))
        return actions
