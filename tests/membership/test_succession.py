"""Whatever is lost, late or killed: one coordinator a fence, and no accepted round is lost."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    taken: TakeOver | None = None
    up: bool = True


class Fleet:
    """Nodes, a network that loses, delays, repeats and splits, and an enemy who kills."""

    def __init__(self, count: int, lots: Random) -> None:
        self.count, self.lots, self.now = count, lots, 0.0
        self.wire: list[tuple[bytes, bytes, Suspect | Lead | Record | Kept]] = []
        self.took: dict[int, bytes] = {}
        self.chains: dict[bytes, list[bytes]] = {bytes(32): []}  # what each record follows from
        self.committed: list[bytes] = []
        self.nodes: dict[bytes, Node] = {}
        self.cut_off: set[bytes] = set()
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
                case TakeOver(fence, at, record, _):
                    assert self.took.setdefault(fence, key) == key, "two coordinators of one fence"
                    chain = self.chains[record]
                    assert len(chain) == at
                    assert chain[: len(self.committed)] == self.committed, "what counted is lost"
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
                self.send(to, Kept(fence, at), sender)
            case Kept(fence, at):
                it.acknowledged(sender, fence, at)
                self.note_committed(to)

    def note_committed(self, key: bytes) -> None:
        it = self.nodes[key].it
        if it.committed:
            chain = self.chains[it.promise.record][: it.committed]
            shared = min(len(chain), len(self.committed))
            assert chain[:shared] == self.committed[:shared], "two records of one round counted"
            self.committed = max(chain, self.committed, key=len)

    def apart(self, one: bytes, other: bytes) -> bool:
        return (one in self.cut_off) != (other in self.cut_off)

    def time_goes_by(self) -> None:
        self.now += self.lots.choice([1.0, 4.0])
        for key, node in self.nodes.items():
            if node.up and self.lots.random() < 0.8:
                down = {it for it, one in self.nodes.items() if not one.up or self.apart(key, it)}
                self.carry_out(key, node.it.tick(self.now, lost=down - {key}, patience=PATIENCE))

    def a_node_is_mistaken(self) -> None:
        key = self.lots.choice(sorted(self.nodes))
        lost = set(self.lots.sample(sorted(self.nodes), self.lots.randrange(self.count)))
        node = self.nodes[key]
        if node.up:
            self.carry_out(key, node.it.tick(self.now, lost=lost - {key}, patience=PATIENCE))

    def messages_arrive(self) -> None:
        under_way, self.wire = self.wire[-400:], []
        if self.lots.random() < 0.3:
            self.lots.shuffle(under_way)
        for sender, to, message in under_way:
            fate = self.lots.random()
            late = self.apart(sender, to) or fate < 0.2
            if late or fate < 0.3:  # later, or now and again
                self.wire.append((sender, to, message))
            if not late and fate < 0.95:
                self.deliver(sender, to, message)

    def coordinators_name_records(self) -> None:
        for key, node in self.nodes.items():
            if not (node.up and node.it.acting) or self.lots.random() < 0.3:
                continue
            assert node.taken is not None
            it, taken = node.it, node.taken
            if it.promise.record_fence < it.fence and taken.round:
                word = taken.record  # first what was there before, once more
            else:
                fresh = it.promise.record_fence < it.fence
                before = bytes(32) if fresh else it.promise.record
                word = self.lots.randbytes(32)
                self.chains[word] = [*self.chains[before], word]
            at = len(self.chains[word])
            self.carry_out(key, it.accept(it.fence, at, word))
            self.send(key, Record(it.fence, at, word))
            self.note_committed(key)

    def somebody_dies_or_returns(self) -> None:
        key = self.lots.choice(sorted(self.nodes))
        node = self.nodes[key]
        if node.up:
            node.up = False
            if self.lots.random() < 0.3:
                node.disk = None
        else:
            terms = msgspec.structs.replace(lease(self.count, 0), node=key)
            node.up = True
            node.it, actions = Succession.resume(terms, key, node.disk)
            self.carry_out(key, actions)

    def the_network_splits_or_heals(self) -> None:
        cut = self.lots.randrange(self.count) if not self.cut_off else 0
        self.cut_off = set(self.lots.sample(sorted(self.nodes), cut))

    def live(self, moments: int) -> None:
        rare = [self.somebody_dies_or_returns, self.the_network_splits_or_heals]
        rare.append(self.a_node_is_mistaken)
        for _ in range(moments):
            self.time_goes_by()
            for _ in range(self.lots.randrange(4)):
                self.messages_arrive()
                self.coordinators_name_records()
            if self.lots.random() < 0.2:
                self.lots.choice(rare)()
            acting = [node.it.fence for node in self.nodes.values() if node.up and node.it.acting]
            assert len(set(acting)) == len(acting)


@settings(max_examples=120)
@given(st.sampled_from([1, 2, 3, 3, 4, 5, 5]), st.integers(0, 1 << 40))
def test_a_fleet_never_has_two_coordinators_of_one_fence_nor_loses_a_round(
    count: int, seed: int
) -> None:
    Fleet(count, Random(seed)).live(60)


@given(st.sampled_from([1, 3, 4, 5]), st.integers(0, 1 << 40))
def test_a_fleet_goes_on_while_a_majority_remembers_and_is_connected(count: int, seed: int) -> None:
    fleet = Fleet(count, Random(seed))
    for _ in range(6):
        fleet.time_goes_by()
        fleet.messages_arrive()
        fleet.coordinators_name_records()
        fleet.a_node_is_mistaken()
    for key in fleet.lots.sample(sorted(fleet.nodes), (count - 1) // 2):
        fleet.nodes[key].up = False
    before = len(fleet.committed)
    for _ in range(60):
        fleet.time_goes_by()
        for _ in range(3):
            fleet.messages_arrive()
            fleet.coordinators_name_records()
    assert len(fleet.committed) > before + 3


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


def test_a_record_of_a_later_fence_outweighs_more_rounds_of_an_earlier_one() -> None:
    it = fleet(3)[1]
    it.accept(1, 9, JOB)
    it.tick(1.0, lost=[KEYS[0][0]], patience=PATIENCE)
    actions = it.vote(vote_of(2, 4, at=5, record_fence=3))
    assert TakeOver(5, 5, bytes([5] * 32), (KEYS[2][0],)) in actions


def test_what_was_kept_under_an_earlier_fence_does_not_count() -> None:
    first = fleet(3)[0]
    first.accept(1, 1, JOB)
    assert first.acknowledged(KEYS[1][0], 2, 1) == 0
    assert first.acknowledged(KEYS[6][0], 1, 1) == 0
    assert first.acknowledged(KEYS[1][0], 1, 1) == 1


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
