"""Whatever is lost, late or killed: one coordinator a fence, and no accepted round is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from skerry.membership import FenceOver, Follow, Keep, Promise, Say, StandDown, Succession, TakeOver
from skerry.membership.succession import Action, Equivocation, LeadUnproven
from skerry.messages.membership import Lead, Lease, Suspect
from skerry.messages.signing import Sign, SignatureWrong, sign, signer

JOB = bytes([7] * 32)
KEYS: list[tuple[bytes, Sign]] = [signer(bytes([at] * 32)) for at in range(7)]
SIGNS = dict(KEYS)
PATIENCE = 3.0


def lease(count: int, node: int, fence: int = 1) -> Lease:
    order = tuple(key for key, _ in KEYS[:count])
    return Lease(
        signer=KEYS[0][0], job=JOB, node=order[node], order=order, fence=fence, issued=0, expires=9
    )


def vote_of(node: int, fence: int, at: int = 0, record_fence: int = 0) -> Suspect:
    key, by = KEYS[node]
    record = bytes([at] * 32)
    unsigned = Suspect(
        signer=key, job=JOB, fence=fence, round=at, record=record, record_fence=record_fence
    )
    return sign(unsigned, by)


class Record(NamedTuple):
    """A coordinator names the record of a round."""

    fence: int
    round: int
    record: bytes


class Kept(NamedTuple):
    """A node has kept it."""

    fence: int
    round: int


@dataclass
class Node:
    """One node: its part, what is on its disk, and the records that it has."""

    it: Succession
    disk: Promise | None = None
    records: dict[int, bytes] = field(default_factory=dict)
    taken: TakeOver | None = None
    up: bool = True


class Fleet(RuleBasedStateMachine):
    """Nodes, a network that loses, delays and repeats, and an enemy who kills."""

    @initialize(count=st.sampled_from([1, 2, 3, 3, 4, 5]))
    def set_up(self, count: int) -> None:
        self.count, self.now = count, 0.0
        self.wire: list[tuple[bytes, bytes, Suspect | Lead | Record | Kept]] = []
        self.took: dict[int, bytes] = {}
        self.committed: dict[int, bytes] = {}
        self.nodes: dict[bytes, Node] = {}
        for at, (key, _) in enumerate(KEYS[:count]):
            it, actions = Succession.begin(lease(count, at), key)
            self.nodes[key] = Node(it)
            self.carry_out(key, actions)

    def carry_out(self, key: bytes, actions: list[Action]) -> None:
        node = self.nodes[key]
        for action in actions:
            match action:
                case Keep(promise):
                    assert node.disk is None or promise.given_up >= node.disk.given_up
                    node.disk = promise
                case Say(to, message):
                    if isinstance(message, Suspect):
                        message = sign(message, SIGNS[key])
                    self.send(key, message, to)
                case TakeOver(fence, at, record, holders):
                    assert self.took.setdefault(fence, key) == key, "two coordinators of one fence"
                    assert at >= max(self.committed, default=0), "a round that counted is lost"
                    assert self.committed.get(at, record) == record
                    node.records = dict(self.nodes[holders[0]].records) if at else {}
                    assert all(node.records[it] == self.committed[it] for it in self.committed)
                    node.taken = action
                case Follow(fence, other):
                    assert self.took.get(fence) == other
                case StandDown(fence):
                    assert self.took[fence] == key

    def send(
        self, key: bytes, message: Suspect | Lead | Record | Kept, to: bytes | None = None
    ) -> None:
        others = [to] if to else [it for it in self.nodes if it != key]
        self.wire += [(key, other, message) for other in others]

    def deliver(self, sender: bytes, to: bytes, message: Suspect | Lead | Record | Kept) -> None:
        node = self.nodes[to]
        it = node.it
        if not node.up:
            return
        match message:
            case Suspect():
                self.carry_out(to, it.vote(message))
            case Lead():
                try:
                    self.carry_out(to, it.lead(message))
                except FenceOver:
                    assert message.fence < it.fence
            case Record(fence, at, record):
                try:
                    self.carry_out(to, it.accept(fence, at, record))
                except (FenceOver, LeadUnproven):
                    return
                node.records = {**self.nodes[sender].records, **node.records, at: record}
                node.records = {
                    number: self.nodes[sender].records.get(number, name)
                    for number, name in node.records.items()
                    if number <= at
                }
                self.send(to, Kept(fence, at), sender)
            case Kept(fence, at):
                it.acknowledged(sender, fence, at)
                self.note_committed(to)

    def note_committed(self, key: bytes) -> None:
        node = self.nodes[key]
        for at in range(1, node.it.committed + 1):
            name = node.records[at]
            assert self.committed.setdefault(at, name) == name, "two records of one round counted"

    def some(self, data: st.DataObject) -> bytes:
        return data.draw(st.sampled_from(sorted(self.nodes)))

    @rule(data=st.data(), seconds=st.sampled_from([0.0, 1.0, 4.0, 40.0]))
    def a_node_may_be_mistaken_about_the_others(self, data: st.DataObject, seconds: float) -> None:
        key = self.some(data)
        lost = data.draw(st.sets(st.sampled_from(sorted(self.nodes))))
        self.now += seconds
        node = self.nodes[key]
        if node.up:
            self.carry_out(key, node.it.tick(self.now, lost=lost - {key}, patience=PATIENCE))

    @rule(seconds=st.sampled_from([1.0, 4.0]), exchanges=st.integers(0, 3))
    def a_calm_time(self, seconds: float, exchanges: int) -> None:
        self.now += seconds
        down = {key for key, node in self.nodes.items() if not node.up}
        for key, node in self.nodes.items():
            if node.up:
                self.carry_out(key, node.it.tick(self.now, lost=down, patience=PATIENCE))
        for _ in range(exchanges):
            under_way, self.wire = self.wire[-100:], []
            for sender, to, message in under_way:
                self.deliver(sender, to, message)

    @rule(data=st.data(), again=st.booleans())
    def a_message_arrives(self, data: st.DataObject, again: bool) -> None:
        if self.wire:
            at = data.draw(st.integers(0, len(self.wire) - 1))
            self.deliver(*(self.wire[at] if again else self.wire.pop(at)))

    @rule(data=st.data(), word=st.binary(min_size=32, max_size=32))
    def a_coordinator_names_a_record(self, data: st.DataObject, word: bytes) -> None:
        acting = [key for key, node in sorted(self.nodes.items()) if node.up and node.it.acting]
        if not acting:
            return
        key = data.draw(st.sampled_from(acting))
        node = self.nodes[key]
        assert node.taken is not None
        it, taken = node.it, node.taken
        at = it.promise.round + 1
        if it.promise.record_fence < it.fence:  # first what was there before, once more
            at, word = (taken.round, taken.record) if taken.round else (1, word)
        self.carry_out(key, it.accept(it.fence, at, word))
        node.records[at] = word
        self.send(key, Record(it.fence, at, word))
        self.note_committed(key)

    @rule(data=st.data(), disk_gone=st.booleans())
    def a_node_is_killed(self, data: st.DataObject, disk_gone: bool) -> None:
        node = self.nodes[self.some(data)]
        node.up = False
        if disk_gone:
            node.disk = None

    @rule(data=st.data())
    def a_node_returns(self, data: st.DataObject) -> None:
        key = self.some(data)
        node = self.nodes[key]
        if not node.up:
            terms = msgspec.structs.replace(lease(self.count, 0), node=key)
            node.up = True
            node.it, actions = Succession.resume(terms, key, node.disk)
            self.carry_out(key, actions)

    @rule()
    def everything_under_way_is_lost(self) -> None:
        self.wire.clear()

    @invariant()
    def no_two_act_under_one_fence(self) -> None:
        acting = [node.it.fence for node in self.nodes.values() if node.up and node.it.acting]
        assert len(set(acting)) == len(acting)


Fleet.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
test_a_fleet_never_has_two_coordinators_nor_loses_a_round = Fleet.TestCase


# -- one case each, in words


def fleet(count: int) -> list[Succession]:
    return [Succession.begin(lease(count, at), KEYS[at][0])[0] for at in range(count)]


def test_the_first_of_the_order_coordinates_at_once() -> None:
    it, actions = Succession.begin(lease(3, 0), KEYS[0][0])
    assert actions == [Keep(Promise(0)), TakeOver(1, 0, bytes(32), (KEYS[0][0],))]
    assert it.acting
    assert Succession.begin(lease(3, 1), KEYS[1][0])[1] == [Keep(Promise(0))]


def test_the_next_takes_over_from_the_furthest_record_of_a_majority() -> None:
    second = fleet(3)[1]
    second.accept(1, 4, bytes([4] * 32))
    assert second.tick(0.0, lost=(), patience=PATIENCE) == []
    actions = second.tick(1.0, lost=[KEYS[0][0]], patience=PATIENCE)
    assert actions[0] == Keep(Promise(1, 4, bytes([4] * 32), 1))
    assert isinstance(actions[1], Say)
    taken = second.vote(vote_of(2, 1, at=5, record_fence=1))
    assert taken[0] == TakeOver(2, 5, bytes([5] * 32), (KEYS[2][0],))
    third = fleet(3)[2]
    say = taken[1]
    assert isinstance(say, Say)
    assert isinstance(say.message, Lead)
    assert third.lead(say.message) == [Keep(Promise(1)), Follow(2, KEYS[1][0])]


def test_one_node_alone_cannot_unseat_a_coordinator_that_the_others_hear() -> None:
    first, second, *_ = fleet(5)
    for it in (first, second):
        assert it.vote(vote_of(3, 1)) == []
        assert it.fence == 1
    assert first.acting
    assert second.vote(vote_of(4, 1)) == []
    assert second.vote(vote_of(2, 1))[0] == Keep(Promise(1))  # now three of five will not follow


def test_a_coordinator_that_was_killed_gives_up_its_fence() -> None:
    it, actions = Succession.resume(lease(3, 0), KEYS[0][0], Promise(0, 3, JOB, 1))
    assert actions[0] == Keep(Promise(1, 3, JOB, 1))
    assert not it.acting


def test_a_node_that_lost_its_memory_neither_votes_nor_counts() -> None:
    it, actions = Succession.resume(lease(3, 1), KEYS[1][0], None)
    assert actions == []
    assert it.tick(99.0, lost=[KEYS[0][0]], patience=PATIENCE) == []
    with pytest.raises(LeadUnproven, match="lost its memory"):
        it.accept(1, 1, JOB)


def test_a_ghost_is_told_that_its_fence_is_over() -> None:
    third = fleet(3)[2]
    third.lead(Lead(JOB, 2, (vote_of(2, 1),)))
    with pytest.raises(FenceOver, match="fence 1 of job 07070707 is over: fence 2 was seen"):
        third.accept(1, 1, JOB)
    first = fleet(3)[0]
    assert first.lead(Lead(JOB, 2, (vote_of(2, 1),)))[0] == StandDown(1)


@pytest.mark.parametrize(
    "votes",
    [
        (),
        (vote_of(1, 1),),
        (vote_of(2, 2),),
        (vote_of(6, 1),),
        (msgspec.structs.replace(vote_of(2, 1), round=9),),
        (vote_of(2, 1), msgspec.structs.replace(vote_of(0, 1), job=bytes(32))),
    ],
    ids=["none", "its own", "another fence", "a stranger", "changed", "another job"],
)
def test_nobody_leads_without_a_majority(votes: tuple[Suspect, ...]) -> None:
    third = fleet(3)[2]
    with pytest.raises(LeadUnproven):
        third.lead(Lead(JOB, 2, votes))
    assert third.fence == 1


def test_a_vote_that_nobody_signed_is_refused_and_one_from_far_ahead_ignored() -> None:
    it = fleet(3)[2]
    with pytest.raises(SignatureWrong):
        it.vote(msgspec.structs.replace(vote_of(1, 1), round=3))
    assert it.vote(vote_of(1, 1 << 20)) == []
    assert it.vote(vote_of(6, 1)) == []


def test_two_records_of_one_round_are_a_fault() -> None:
    it = fleet(3)[2]
    assert it.accept(1, 1, JOB) == [Keep(Promise(0, 1, JOB, 1))]
    assert it.accept(1, 1, JOB) == []
    with pytest.raises(Equivocation, match="named two records for round 1"):
        it.accept(1, 1, bytes(32))


def test_a_later_lease_begins_with_a_vote_and_carries_what_was_accepted() -> None:
    kept = Promise(2, 8, JOB, 2)
    it, actions = Succession.begin(lease(3, 0, fence=10), KEYS[0][0], kept)
    assert actions[0] == Keep(Promise(9, 8, JOB, 2))
    assert not it.acting
    assert it.vote(vote_of(1, 9))[0] == TakeOver(10, 8, JOB, (KEYS[0][0],))


def test_a_whole_fleet_chooses_again_within_a_few_exchanges() -> None:
    """The first two are gone at once; the other three need one round of votes."""
    nodes = fleet(5)[2:]
    lost = [KEYS[0][0], KEYS[1][0]]
    said = [it.tick(1.0, lost=lost, patience=PATIENCE)[1] for it in nodes]
    actions = []
    for at, say in enumerate(said):
        assert isinstance(say, Say)
        assert isinstance(say.message, Suspect)
        assert say.message.fence == 2
        if at:
            actions += nodes[0].vote(sign(say.message, SIGNS[say.message.signer]))
    assert isinstance(actions[0], TakeOver)
    assert actions[0].fence == 3
