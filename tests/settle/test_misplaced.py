"""A receipt about another unit than the job asks for convicts its solver, without a game."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from skerry.base.digests import EMPTY
from skerry.messages.fields import UNSIGNED
from skerry.messages.receipts import Cost, DataSlice, Receipt, Unit, UnitId
from skerry.messages.rounds import RunConfig
from skerry.messages.signing import signed_digest
from skerry.messages.wire import encode
from skerry.settle import Books, Epoch, Reason, actions
from skerry.settle.invariants import backed
from skerry.settle.records import path_in
from skerry.verify.asked import asked_units
from tests.settle.stories import (
    COURT,
    START,
    STRANGER,
    Story,
    awarded,
    done,
    epoch_of,
    job_of,
    refused,
    with_epoch,
)

LOCAL = RunConfig(
    exchange="local",
    rounds=300,
    local_steps=70_000,
    lanes=4,
    shards_per_lane=3,
    samples_per_shard=8,
    segments=4,
    seed=-7_000_000_000,
    programs=(("encode", b"e" * 32), ("merge", b"m" * 32), ("step", b"s" * 32)),
    data=b"d" * 32,
    readings=(("test", b"t" * 32), ("train", b"r" * 32)),
)
BARE = RunConfig(
    exchange="local",
    arithmetic="exact",
    rounds=2,
    lanes=4,
    samples_per_shard=1,
    seed=5,
    eval_batches=1 << 32,
    programs=(("encode", b"e" * 32), ("step", b"s" * 32)),
    initial=b"i" * 32,
)
EVERY = RunConfig(
    exchange="every-step",
    rounds=70_000,
    lanes=4,
    shards_per_lane=2,
    samples_per_shard=8,
    seed=2**40,
    programs=(("apply", b"a" * 32), ("grad", b"g" * 32)),
    data=b"d" * 32,
    readings=(("train", b"r" * 32),),
)
SELDOM = msgspec.structs.replace(LOCAL, merge_rounds=2)
CONFIGS = {"local": LOCAL, "bare": BARE, "every step": EVERY, "merging seldom": SELDOM}


@dataclass
class RealStory(Story):
    """A job whose lanes have receipts of the units that its terms ask for, one of them altered."""

    config: RunConfig = LOCAL
    place: int = 0
    unit: Unit | None = None

    def __post_init__(self) -> None:
        self.changes = {**self.changes, "spec": self.config.job}
        super().__post_init__()

    def receipt(self, unit: Unit) -> Receipt:
        roots = tuple(bytes([at + 1]) * 32 for at in range(unit.segments))
        return Receipt(
            signer=b"k" * 32, signature=UNSIGNED, unit=unit, segments=roots, outputs=(),
            cost=Cost(1, 1),
        )  # fmt: skip

    def units(self, at: int, lane: int) -> list[Unit]:
        units = asked_units(self.config, at, lane)
        if (at, lane) == (1, 2) and self.unit is not None:
            units[self.place] = self.unit
        return units

    def receipts(self, at: int, lane: int) -> list[bytes]:
        return [signed_digest(self.receipt(it)) for it in self.units(at, lane)]

    def evidence(self, epoch: Epoch, at: int, lane: int) -> Any:
        it, receipts = super().evidence(epoch, at, lane), self.receipts(at, lane)
        path = path_in(receipts, self.place)
        return replace(it, receipt=receipts[self.place], place=self.place, receipt_path=path)

    def misplace(self, books: Books, segment: int = 1) -> actions.Misplace:
        """Return the move against the doubted receipt, which is that of round 1 and lane 2."""
        docket = self.docket(epoch_of(books, self, 0), 1, 2)
        receipt = encode(self.receipt(self.units(1, 2)[self.place]))
        config = msgspec.msgpack.encode(self.config, order="deterministic")
        return actions.Misplace(self.party(STRANGER), docket, receipt, config, segment)


def told(name: str, place: int, **changes: Any) -> tuple[RealStory, Books]:
    """Return a job in which the fields of one unit are changed, after its first epoch."""
    config = CONFIGS[name]
    unit = msgspec.structs.replace(asked_units(config, 1, 2)[place], **changes)
    story = RealStory(config=config, place=place, unit=unit)
    return story, with_epoch(story, awarded(story), START)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("place", [0, 1])
def test_a_receipt_of_what_was_asked_for_convicts_nobody(name: str, place: int) -> None:
    state = {"state": b"x" * 32, "given": (("start", b"y" * 32),)}
    story, books = told(name, place, **state)
    assert refused(books, story.misplace(books), START + 1) == Reason.SAME


def wrong_data(config: RunConfig, place: int) -> list[dict[str, Any]]:
    """Return changes of the data slice of a unit."""
    data = asked_units(config, 1, 2)[place].data
    if data is None:
        return [{"data": DataSlice(EMPTY, EMPTY, (0,))}]
    shards = data.shards
    return [
        {"data": None},
        {"data": msgspec.structs.replace(data, manifest=b"x" * 32)},
        {"data": msgspec.structs.replace(data, reading=b"x" * 32)},
        {"data": msgspec.structs.replace(data, shards=(*shards, shards[-1] + 1))},
        {"data": msgspec.structs.replace(data, shards=(*shards[:-1], shards[-1] + 1))},
    ]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("place", [0, 1])
def test_a_receipt_of_anything_else_convicts_its_solver(name: str, place: int) -> None:
    config = CONFIGS[name]
    due = asked_units(config, 1, 2)[place]
    changes: list[dict[str, Any]] = [
        {"id": UnitId(b"x" * 32, 1, 2)},
        {"id": UnitId(config.job, 0, 2)},
        {"id": UnitId(config.job, 1, 300)},
        {"program": b"x" * 32},
        {"step_from": due.step_from + 1},
        {"steps": due.steps + 1},
        {"steps": due.steps + 4, "segments": due.segments + 1},
        {"seed": due.seed + 1},
        {"seed": -due.seed},
        *wrong_data(config, place),
    ]
    for change in changes:
        story, books = told(name, place, **change)
        after = done(books, story.misplace(books), START + 1)
        job = job_of(after, story)
        assert job.convicted == 2, change
        assert job.lies == {(0, (4 + 2) * 4 + 1)}
        stake = story.leases[1].stake
        lost = books.account(story.party(2)).locked - after.account(story.party(2)).locked
        assert lost == stake
        assert backed(after, Counter())


def test_more_receipts_than_a_lane_has_are_none_that_were_asked_for() -> None:
    class Longer(RealStory):
        def units(self, at: int, lane: int) -> list[Unit]:
            units = super().units(at, lane)
            return [*units, units[0]] if (at, lane) == (1, 2) else units

    story = Longer(place=2)
    books = with_epoch(story, awarded(story), START)
    done(books, story.misplace(books), START + 1)


def test_it_needs_the_receipt_its_terms_and_the_solvers_word() -> None:
    story, books = told("local", 0, seed=1)
    move = story.misplace(books)
    cases = [
        (replace(move, receipt=move.receipt + b"\0"), Reason.PATH),
        (replace(move, config=move.config + b"\0"), Reason.PATH),
        (
            replace(move, docket=replace(move.docket, signer=story.party(STRANGER))),
            Reason.SIGNATURE,
        ),
        (replace(move, docket=replace(move.docket, leases=move.docket.leases[:2])), Reason.LEASES),
    ]
    for wrong, reason in cases:
        assert refused(books, wrong, START + 1) == reason
    assert refused(books, move, START + 501) == Reason.LATE


def test_each_segment_is_convicted_alone_and_the_stake_is_taken_once() -> None:
    story, books = told("local", 0, seed=1)
    once = done(books, story.misplace(books), START + 1)
    twice = done(once, story.misplace(books, segment=3), START + 2)
    assert len(job_of(twice, story).lies) == 2
    assert twice.account(story.party(2)) == once.account(story.party(2))
    docket = story.docket(epoch_of(books, story, 0), 1, 2)
    admit = actions.Admit(story.party(COURT), docket, docket.evidence.receipt)
    assert refused(twice, admit, START + 3) == Reason.CONVICTED
    settle = story.settle(job_of(twice, story), epoch_of(twice, story, 0))
    done(twice, settle, START + 501)


def test_terms_without_the_program_that_they_run_are_no_proof() -> None:
    config = msgspec.structs.replace(LOCAL, programs=(("encode", b"e" * 32),))
    whole = asked_units(LOCAL, 1, 2)[0]

    class Lacking(RealStory):
        def units(self, at: int, lane: int) -> list[Unit]:
            return [whole, whole]

    story = Lacking(config=config)
    books = with_epoch(story, awarded(story), START)
    assert refused(books, story.misplace(books), START + 1) == Reason.PATH
