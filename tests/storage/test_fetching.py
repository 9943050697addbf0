"""A fetch ends with every blob that an honest source has, whatever the other sources do."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.base.digests import digest
from skerry.messages.blobs import (
    PART_BYTES,
    BlobAsk,
    BlobGone,
    BlobHave,
    BlobPart,
    BlobWant,
)
from skerry.storage.fetching import (
    Action,
    Check,
    Drop,
    Fetch,
    FetchTerms,
    Forget,
    Held,
    Keep,
    Say,
    part_bytes,
    part_count,
)

TERMS = FetchTerms(parts_under_way=3, silence_seconds=10, slow_seconds=4)
MANNERS = (
    "honest", "absent", "empty", "silent", "wrong", "shorter", "longer", "size", "unasked",
    "stalls", "gone", "leaves",
)  # fmt: skip


def content(seed: int, size: int) -> bytes:
    return (digest("content", bytes([seed])) * (size // 32 + 1))[:size]


@dataclass
class Peer:
    """A source of some manner; what it says waits in `answers`."""

    manner: str
    blobs: dict[bytes, bytes]
    answers: deque[object] = field(default_factory=deque)
    parts: int = 0

    def hear(self, message: BlobAsk | BlobWant) -> None:
        if self.manner == "silent":
            return
        if isinstance(message, BlobAsk):
            self.answers.append(BlobHave(tuple(self.size(name) for name in message.blobs)))
            return
        self.parts += 1
        answer = self.part(message)
        if answer is not None:
            self.answers.append(answer)

    def size(self, name: bytes) -> int | None:
        if self.manner == "empty":
            return 0
        whole = self.blobs.get(name)
        if whole is None or self.manner == "absent":
            return None
        return len(whole) + (self.manner == "size")

    def part(self, want: BlobWant) -> object | None:
        whole = self.blobs[want.blob]
        data = whole[want.part * PART_BYTES :][: part_bytes(self.size(want.blob) or 0, want.part)]
        late = self.parts > 1
        match self.manner:
            case "wrong":
                data = bytes([data[0] ^ 1]) + data[1:]
            case "shorter" if late:
                data = data[:-1]
            case "longer" if late:
                data += b"x"
            case "size" if len(data) < part_bytes(self.size(want.blob) or 0, want.part):
                data += b"x"
            case "unasked" if late:
                return BlobPart(want.blob, want.part + 1, b"x")
            case "stalls" if late:
                return None
            case "gone" if late:
                return BlobGone(want.blob, want.part)
        return BlobPart(want.blob, want.part, data) if data else BlobGone(want.blob, want.part)


class World:
    """Peers, a disk and a clock around one fetch."""

    def __init__(
        self, fetch: Fetch, peers: list[Peer], disk: dict[bytes, dict[int, bytes]]
    ) -> None:
        self.fetch = fetch
        self.peers = peers
        self.disk = disk
        self.whole: dict[bytes, bytes] = {}
        self.dropped: dict[int, str] = {}
        self.asked = 0
        self.now = 0.0

    def act(self, action: Action) -> None:
        match action:
            case Say(source, message):
                assert source not in self.dropped
                self.asked += isinstance(message, BlobWant)
                self.peers[source].hear(message)
            case Drop(source, reason):
                self.dropped[source] = reason
            case Keep(blob, size, part, data):
                assert len(data) == part_bytes(size, part)
                self.disk.setdefault(blob, {})[part] = data
            case Forget(blob):
                self.disk.pop(blob, None)
            case Check(blob, size):
                parts = self.disk.get(blob, {})
                assert sorted(parts) == list(range(part_count(size)))
                whole = b"".join(parts[part] for part in sorted(parts))
                right = digest("blob", whole) == blob
                if right:
                    self.whole[blob] = whole
                self.fetch.checked(blob, right=right, now=self.now)

    def run(self, turns: list[int]) -> None:
        """Let peers answer in the order of `turns`, then in turn; time passes when none does."""
        for source, peer in enumerate(self.peers):
            if peer.manner != "leaves" or source % 2:
                self.fetch.reach(source, self.now)
            else:
                self.fetch.lose(source, "nobody is there", self.now)
        order = deque(turns)
        for _ in range(3_000):
            for action in self.fetch.actions():
                self.act(action)
            if self.fetch.over:
                return
            ready = [it for it, peer in enumerate(self.peers) if peer.answers]
            ready = [it for it in ready if it not in self.dropped]
            if not ready:
                self.now += 1.0
                self.fetch.tick(self.now)
                continue
            source = ready[(order.popleft() if order else 0) % len(ready)]
            peer = self.peers[source]
            if peer.manner == "leaves" and peer.parts > 1:
                self.fetch.lose(source, "it hung up", self.now)
                peer.answers.clear()
                continue
            self.fetch.tell(source, peer.answers.popleft(), self.now)
        raise AssertionError("the fetch never ends")


sizes = st.sampled_from([0, 1, PART_BYTES - 1, PART_BYTES, 3 * PART_BYTES + 7])


@settings(max_examples=150)
@given(
    st.lists(sizes, min_size=1, max_size=3),
    st.lists(st.sampled_from(MANNERS), max_size=5),
    st.integers(0, 5),
    st.lists(st.integers(0, 7), max_size=60),
)
def test_one_honest_source_is_enough_among_any_others(
    lengths: list[int], manners: list[str], place: int, turns: list[int]
) -> None:
    wholes = [content(seed, size) for seed, size in enumerate(lengths)]
    blobs = {digest("blob", whole): whole for whole in wholes}
    manners = [*manners[:place], "honest", *manners[place:]]
    peers = [Peer(manner, blobs) for manner in manners]
    world = World(Fetch(list(blobs), len(peers), terms=TERMS), peers, {})
    world.run(turns)
    assert not world.fetch.missing
    assert world.whole == blobs
    assert all(peers[source].manner not in ("honest", "absent", "gone") for source in world.dropped)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(MANNERS[1:]), max_size=6), st.lists(st.integers(0, 7), max_size=30))
def test_a_fetch_from_nobody_honest_ends_and_takes_nothing_wrong(
    manners: list[str], turns: list[int]
) -> None:
    whole = content(1, 2 * PART_BYTES + 5)
    name = digest("blob", whole)
    peers = [Peer(manner, {name: whole}) for manner in manners]
    world = World(Fetch([name], len(peers), terms=TERMS), peers, {})
    world.run(turns)
    assert world.fetch.missing == (() if world.whole else (name,))
    assert set(world.whole.values()) <= {whole}


def test_several_honest_sources_share_the_parts_and_no_part_is_sent_twice() -> None:
    whole = content(1, 12 * PART_BYTES)
    name = digest("blob", whole)
    peers = [Peer("honest", {name: whole}) for _ in range(3)]
    world = World(Fetch([name], 3, terms=TERMS), peers, {})
    world.run([0, 1, 2] * 30)
    assert world.whole == {name: whole}
    assert world.asked == 12
    assert all(peer.parts >= 3 for peer in peers)
    assert world.fetch.bytes_taken == len(whole)


def test_what_a_former_fetch_left_is_not_asked_for_again() -> None:
    whole = content(1, 5 * PART_BYTES)
    name = digest("blob", whole)
    left = {part: whole[part * PART_BYTES :][:PART_BYTES] for part in (0, 3)}
    peers = [Peer("honest", {name: whole})]
    fetch = Fetch([name], 1, held={name: Held(len(whole), frozenset(left))}, terms=TERMS)
    world = World(fetch, peers, {name: dict(left)})
    world.run([])
    assert world.whole == {name: whole}
    assert world.asked == 3


@pytest.mark.parametrize("size", [5 * PART_BYTES, 4 * PART_BYTES])
def test_wrong_bytes_that_a_former_fetch_left_blame_nobody(size: int) -> None:
    whole = content(1, 5 * PART_BYTES)
    name = digest("blob", whole)
    left = dict.fromkeys(range(size // PART_BYTES), bytes(PART_BYTES))
    fetch = Fetch([name], 1, held={name: Held(size, frozenset(left))}, terms=TERMS)
    world = World(fetch, [Peer("honest", {name: whole})], {name: dict(left)})
    world.run([])
    assert world.whole == {name: whole}
    assert not world.dropped


def test_a_blob_above_the_limit_counts_as_absent() -> None:
    whole = content(1, PART_BYTES + 1)
    name = digest("blob", whole)
    terms = FetchTerms(blob_bytes_max=PART_BYTES)
    world = World(Fetch([name], 1, terms=terms), [Peer("honest", {name: whole})], {})
    world.run([])
    assert world.fetch.missing == (name,)
    assert not world.dropped


def test_an_answer_of_another_length_or_an_unasked_one_drops_its_source() -> None:
    name = bytes(32)
    for said in (BlobHave((1, 2)), BlobHave(()), BlobPart(name, 0, b"x"), BlobWant(name, 0)):
        fetch = Fetch([name], 1, terms=TERMS)
        fetch.reach(0, 0.0)
        fetch.actions()
        fetch.tell(0, said, 0.0)
        assert [type(it) for it in fetch.actions()] == [Drop]
        assert fetch.over
        assert "not asked for" in fetch.gone(0)
