"""Who may act for a job, until when, and under which fence.

What    `check_lease` refuses a lease that binds nobody; `LeaseBook` holds a node's leases and the
        highest fence it has seen of each job, and says who may still act.
Why     A coordinator that was cut off does not know that it was replaced. When it returns, every
        node must refuse what it says, and it must learn why.
Rule    The highest fence of a job that was ever seen is never forgotten while the job's lease
        lasts, and no lower one may act. A job has one submitter; its later lease replaces an
        earlier one only with a higher fence, or as a renewal of the same terms.
Units   Seconds of Unix time.
Pure    The time is an argument. `LeaseBook` is replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from skerry.base.errors import PeerError
from skerry.base.ids import nickname, short
from skerry.membership.roster import SKEW_SECONDS_MAX
from skerry.messages.membership import Lease
from skerry.messages.signing import SignatureWrong, check_signature

LEASE_SECONDS_MAX = 30 * 24 * 3600
LEASES_MAX = 256


class LeaseRefused(PeerError):
    """A lease binds nobody: it is not signed, is over, or contradicts another."""

    code = "peer.lease"

    def __init__(self, job: bytes, reason: str, next_step: str) -> None:
        self.job = job
        self.reason = reason
        super().__init__(
            f"the lease for job {short(job)} was refused: {reason}", next_step=next_step
        )


class FenceOver(PeerError):
    """Somebody acts under a fence that is over: another coordinator has taken the job over."""

    code = "peer.fence"

    def __init__(self, job: bytes, fence: int, highest: int) -> None:
        self.job = job
        self.fence = fence
        self.highest = highest
        super().__init__(
            f"fence {fence} of job {short(job)} is over: fence {highest} was seen",
            next_step="stop acting for it, and follow its present coordinator",
        )


def check_lease(lease: Lease, *, me: bytes, now: int) -> None:
    """Refuse a lease that does not bind `me` at `now`.

    Raises:
        LeaseRefused: with the reason.
    """
    ahead, lasts = lease.issued - now, lease.expires - lease.issued
    clock = "set the clock of that machine, or of this one (`skerry doctor`)"
    reasons = (
        (lease.node != me, f"it binds {nickname(lease.node)}", "send it to that node"),
        (ahead > SKEW_SECONDS_MAX, f"it was signed {ahead} s in the future", clock),
        (lasts > LEASE_SECONDS_MAX, f"it lasts for {lasts} s", "lease for 30 days at most"),
        (lease.expires < now, f"it ended {now - lease.expires} s ago", "sign a new one"),
    )
    for broken, reason, next_step in reasons:
        if broken:
            raise LeaseRefused(lease.job, reason, next_step)
    try:
        check_signature(lease)
    except SignatureWrong:
        raise LeaseRefused(lease.job, "its submitter did not sign it", "sign it") from None


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease that a node has taken, and the highest fence that it saw for the job."""

    lease: Lease
    fence: int


@dataclass(frozen=True)
class LeaseBook:
    """The leases of one node by job."""

    me: bytes
    holdings: Mapping[bytes, Holding] = field(default_factory=dict)

    def taken(self, lease: Lease, now: int) -> LeaseBook:
        """Return the book with `lease`, which is checked here.

        Raises:
            LeaseRefused: it binds nobody, or contradicts a lease that is held.
            FenceOver: a higher fence of the job was seen.
        """
        check_lease(lease, me=self.me, now=now)
        held = self.holdings.get(lease.job)
        book = self.pruned(now)
        if held is not None and lease.job in book.holdings:
            self._check_successor(held, lease)
        elif len(book.holdings) >= LEASES_MAX:
            raise LeaseRefused(lease.job, f"{LEASES_MAX} leases are held", "ask another node")
        fence = max(lease.fence, held.fence if held else 0)
        return replace(book, holdings={**book.holdings, lease.job: Holding(lease, fence)})

    def _check_successor(self, held: Holding, lease: Lease) -> None:
        before = held.lease
        if lease.signer != before.signer:
            who = nickname(before.signer)
            raise LeaseRefused(lease.job, f"{who} has leased the job", "wait until that one ends")
        same = (lease.order, lease.fence, lease.award) == (before.order, before.fence, before.award)
        if same and lease.expires >= before.expires:
            return  # a renewal, or the same lease once more
        if lease.fence <= held.fence:
            raise FenceOver(lease.job, lease.fence, held.fence)

    def seen(self, job: bytes, fence: int) -> LeaseBook:
        """Return the book after a fence of `job` was seen in proven use."""
        held = self.holdings.get(job)
        if held is None or fence <= held.fence:
            return self
        return replace(self, holdings={**self.holdings, job: replace(held, fence=fence)})

    def require(self, job: bytes, fence: int, now: int) -> Lease:
        """Return the lease under which somebody may act for `job` with `fence` at `now`.

        Raises:
            LeaseRefused: this node holds no lease for the job, or it is over.
            FenceOver: a higher fence was seen.
        """
        held = self.holdings.get(job)
        if held is None:
            raise LeaseRefused(job, "this node holds none", "lease it first")
        if held.lease.expires < now:
            raise LeaseRefused(job, "it is over", "sign a new one")
        if fence < held.fence:
            raise FenceOver(job, fence, held.fence)
        return held.lease

    def pruned(self, now: int) -> LeaseBook:
        """Return the book without leases that are over for every clock."""
        left = {
            job: it
            for job, it in self.holdings.items()
            if now - it.lease.expires <= SKEW_SECONDS_MAX
        }
        return replace(self, holdings=left)
