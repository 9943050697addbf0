"""A run that merges less often than it records: the same bits, each round's unit on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.node.dispute import read_receipt
from skerry.node.duties import Duty, NoSuchDuty
from skerry.node.events import LaneFinished, RoundFinished, RunEvent
from skerry.node.ledger import read_record
from skerry.node.life import RunJob
from skerry.node.past import PastRun, UnitAltered
from skerry.storage import RunFolder
from tests.node.small import local_job
from tests.node.within import Within

EVERY = 3


def whole() -> RunJob:
    """Return a job of four rounds of six steps."""
    return local_job(local_steps=6, save_rounds=2)


def cut() -> RunJob:
    """Return the same training in twelve rounds of two steps, of which every third one merges."""
    return local_job(rounds=12, local_steps=2, merge_rounds=EVERY, save_rounds=6)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Within(whole(), tmp_path_factory.mktemp("whole"), workers=1).run().root


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, undisturbed: str) -> PastRun:
    folder = tmp_path_factory.mktemp("cut")
    run = Within(cut(), folder, workers=2).run()
    assert run.root == undisturbed
    return PastRun.open(folder, backend="torch")


@pytest.mark.parametrize("workers", [1, 3])
def test_where_a_lane_is_recorded_changes_no_bit(
    undisturbed: str, workers: int, tmp_path: Path
) -> None:
    run = Within(cut(), tmp_path, workers=workers).run()
    assert run.root == undisturbed
    assert run.end is not None
    assert run.end.kind == "finished"


@pytest.mark.parametrize("after", range(EVERY))
def test_a_worker_that_goes_between_merges_costs_one_round_of_its_lane(
    undisturbed: str, after: int, tmp_path: Path
) -> None:
    def on_event(run: Within, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == EVERY + after:
            run.cut(0)

    run = Within(cut(), tmp_path, workers=2, on_event=on_event).run()
    assert run.root == undisturbed
    done = [(it.round, it.lane) for it in run.events if isinstance(it, LaneFinished)]
    assert len(done) == len(set(done)) == 12 * 3  # what was recorded is not done again


def test_a_run_goes_on_between_two_merges(undisturbed: str, tmp_path: Path) -> None:
    def on_event(run: Within, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == EVERY + 1:
            run.coordinator.stop("asked by the test")

    stopped = Within(cut(), tmp_path, on_event=on_event).run()
    assert stopped.end is not None
    assert stopped.end.kind == "asked"
    resumed = Within(cut(), tmp_path).run()
    first = next(it for it in resumed.events if isinstance(it, LaneFinished))
    assert first.round == EVERY + 2
    assert resumed.root == undisturbed


def test_every_unit_is_verified_alone_from_what_others_left(past: PastRun) -> None:
    receipts = [read_receipt(path) for path in past.folder.receipts()]
    assert len(receipts) == (12 + 4) * 3  # a step unit for each round and lane, an encode a merge
    assert all(past.verify(receipt).equal for receipt in receipts[::5])
    names = {past.name_of(it.unit) for it in receipts if not cut().config.merges(it.unit.id.round)}
    assert names == {"step"}


def test_a_lost_state_between_merges_is_made_again(past: PastRun) -> None:
    record = read_record(past.folder, past.config.job, EVERY)
    assert record is not None
    held = past.own_at(EVERY + 1, 2)
    name = record.lanes[2].state
    assert name is not None
    past.folder.blobs.drop(name)
    again = past.own_at(EVERY + 1, 2)
    assert held.keys() == again.keys()
    assert "params" in held
    assert all(bool((held[name] == again[name]).all()) for name in held)


def test_a_round_that_ends_with_no_merge_has_none(past: PastRun) -> None:
    with pytest.raises(NoSuchDuty):
        past.duty(Duty("merge", EVERY))
    unit, _ = past.duty(Duty("merge", EVERY + 2))
    assert unit.id.round == EVERY + 2
    folder = RunFolder(past.folder.root)
    encode = read_receipt(folder.receipt_path(EVERY + 2, 0, "encode")).unit
    moved = past.lanes.encode_unit(EVERY + 1, 0, encode.state, encode.given[0][1])
    with pytest.raises(UnitAltered):
        past.before(moved)
