"""A lease binds one node until a moment, and no fence comes back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from skerry.membership import FenceOver, LeaseBook, LeaseRefused, check_lease
from skerry.membership.leases import LEASE_SECONDS_MAX, LEASES_MAX
from skerry.messages.membership import Lease
from skerry.messages.signing import sign, signer

NOW = 1_800_000_000
ME, OTHER, THIRD = (signer(bytes([at] * 32))[0] for at in (1, 2, 3))
SUBMITTER, BY = signer(bytes(32))
RIVAL, BY_RIVAL = signer(bytes([9] * 32))
JOB = bytes([7] * 32)


def lease(fence: int = 1, issued: int = NOW, lasts: int = 100, job: bytes = JOB) -> Lease:
    unsigned = Lease(
        signer=SUBMITTER,
        job=job,
        node=ME,
        order=(OTHER, ME, THIRD),
        fence=fence,
        issued=issued,
        expires=issued + lasts,
    )
    return sign(unsigned, BY)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (sign(msgspec.structs.replace(lease(), node=OTHER), BY), "it binds"),
        (lease(issued=NOW + 200), "in the future"),
        (lease(lasts=LEASE_SECONDS_MAX + 1), "it lasts for"),
        (lease(issued=NOW - 101), "it ended 1 s ago"),
        (msgspec.structs.replace(lease(), fence=2), "did not sign"),
        (msgspec.structs.replace(lease(), signer=RIVAL), "did not sign"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_lease_that_binds_nobody_is_refused(wrong: Lease, reason: str) -> None:
    with pytest.raises(LeaseRefused, match=reason):
        check_lease(wrong, me=ME, now=NOW)


def test_a_returning_ghost_cannot_act() -> None:
    book = LeaseBook(ME).taken(lease(), NOW).seen(JOB, 3)
    assert book.require(JOB, 3, NOW) == lease()
    with pytest.raises(FenceOver, match="fence 2 of job 07070707 is over: fence 3 was seen"):
        book.require(JOB, 2, NOW)
    with pytest.raises(LeaseRefused, match="it is over"):
        book.require(JOB, 3, NOW + 101)
    with pytest.raises(LeaseRefused, match="this node holds none"):
        book.require(bytes(32), 3, NOW)


def test_a_renewal_keeps_the_fence_and_a_rival_waits() -> None:
    book = LeaseBook(ME).taken(lease(), NOW).seen(JOB, 3)
    renewed = book.taken(lease(lasts=500), NOW)
    assert renewed.holdings[JOB].fence == 3
    with pytest.raises(FenceOver):
        book.taken(msgspec.structs.replace(sign_again(lease(), fence=3)), NOW)
    assert book.taken(sign_again(lease(), fence=4), NOW).holdings[JOB].fence == 4
    rival = sign(msgspec.structs.replace(lease(fence=9), signer=RIVAL), BY_RIVAL)
    with pytest.raises(LeaseRefused, match="has leased the job"):
        book.taken(rival, NOW)


def sign_again(it: Lease, **change: int) -> Lease:
    return sign(msgspec.structs.replace(it, **change), BY)


def test_a_node_holds_only_so_many_leases_and_forgets_the_ones_that_are_over() -> None:
    book = LeaseBook(ME)
    for at in range(LEASES_MAX):
        book = book.taken(lease(job=at.to_bytes(32, "big")), NOW)
    with pytest.raises(LeaseRefused, match="leases are held"):
        book.taken(lease(), NOW)
    later = NOW + 300
    assert list(book.taken(lease(issued=later), later).holdings) == [JOB]


class Fences(RuleBasedStateMachine):
    """Whatever is leased, seen and renewed: what may act only goes up, until the lease ends."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.now, self.highest = LeaseBook(ME), NOW, 0

    @rule(fence=st.integers(1, 6), lasts=st.integers(0, 300))
    def a_lease_comes(self, fence: int, lasts: int) -> None:
        try:
            self.book = self.book.taken(lease(fence, self.now, lasts), self.now)
        except (FenceOver, LeaseRefused):
            return
        self.highest = max(self.highest, fence)

    @rule(fence=st.integers(1, 6))
    def a_fence_is_seen(self, fence: int) -> None:
        self.book = self.book.seen(JOB, fence)
        if JOB in self.book.holdings:
            self.highest = max(self.highest, fence)

    @rule(seconds=st.integers(0, 200))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds
        self.book = self.book.pruned(self.now)
        if JOB not in self.book.holdings:
            self.highest = 0

    @invariant()
    def no_lower_fence_acts(self) -> None:
        for fence in range(1, 7):
            try:
                self.book.require(JOB, fence, self.now)
            except (FenceOver, LeaseRefused):
                continue
            assert fence >= self.highest


Fences.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_a_fence_never_comes_back = Fences.TestCase
