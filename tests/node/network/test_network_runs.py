"""A job over nodes without a common disk ends in the bits of a local run, whoever dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.base.chance import Chance
from skerry.base.ids import nickname
from skerry.node.dispute import read_receipt
from skerry.node.events import LaneFinished, RoundFinished, RunEnded, RunEvent, RunStarted
from skerry.node.ledger import read_record
from skerry.node.life import RunJob
from skerry.node.network import part
from skerry.node.past import PastRun
from skerry.storage import RunFolder
from tests.node.network.ring import Ring

TERMS = {"rounds": 32, "save_rounds": 4}


def kill_after(at: int, *victims: int, disk: bool = False) -> object:
    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == at:
            for victim in victims:
                ring.kill(victim, disk=disk)

    return on_event


def test_the_bits_are_those_of_a_local_run(job: RunJob, undisturbed: str, tmp_path: Path) -> None:
    ring = Ring(tmp_path, job)
    result = ring.run()
    assert result.finished
    assert result.root.hex() == undisturbed
    assert ring.rounds == list(range(job.config.rounds))
    assert sorted(result.losses) == ring.rounds
    counted = [read_receipt(it) for it in RunFolder(tmp_path / "submitter").receipts()]
    done = [part.pace for it in ring.nodes if it.reception for part in it.reception.parts.values()]
    operations = sum(it.cost.operations * it.unit.steps for it in counted)
    assert sum(it.operations for it in done) >= operations > 0
    assert all(it.microseconds > 0 or not it.operations for it in done)
    last = RunFolder(tmp_path / "submitter").last_checkpoint()
    assert last is not None
    assert last.root.hex() == undisturbed


def test_an_observer_keeps_the_run_and_runs_no_lane(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job, observers=1, on_event=kill_after(4, 0))  # type: ignore[arg-type]
    assert ring.run().root.hex() == undisturbed
    names = [nickname(it.address.key) for it in ring.nodes if it.address]
    ran = {it.worker.rpartition(".")[0] for it in ring.events if isinstance(it, LaneFinished)}
    assert ran <= set(names[:3])
    (folder,) = (ring.nodes[3].folder / "jobs").iterdir()
    replica = RunFolder(folder)
    records = [read_record(replica, job.config.job, at) for at in range(job.config.rounds)]
    assert all(record is not None for record in records)
    assert len(replica.receipts()) == len(RunFolder(tmp_path / "submitter").receipts())
    past = PastRun.open(folder, backend="torch")
    assert past.verify(read_receipt(replica.receipts()[-1])).equal


def test_an_observer_that_was_cut_off_learns_how_the_job_ended(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    loses_the_first = kill_after(4, 0)

    def on_event(ring: Ring, event: RunEvent) -> None:
        loses_the_first(ring, event)  # type: ignore[operator]
        if isinstance(event, RoundFinished) and event.round == 2:
            ring.cut_off(3, off=True)
        if isinstance(event, RunEnded):
            ring.cut_off(3, off=False)  # nobody coordinates any more

    ring = Ring(tmp_path, job, observers=1, on_event=on_event)
    assert ring.run().root.hex() == undisturbed
    (folder,) = (ring.nodes[3].folder / "jobs").iterdir()
    assert len(RunFolder(folder).receipts()) == len(RunFolder(tmp_path / "submitter").receipts())


def test_one_of_many_takes_the_chair_of_a_coordinator_that_never_came(
    job: RunJob, undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, "_FIRST_SECONDS", 1.0)
    ring = Ring(tmp_path, job, count=4, absent=(0,))
    assert ring.run().root.hex() == undisturbed
    said = [words for node in ring.nodes for words in node.said]
    assert [it for it in said if it.startswith("coordinating")] == [
        "coordinating under fence 2 from round 0"
    ]


def test_a_node_that_was_away_takes_no_chair_that_the_others_hold(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round in (3, 9, 15):
            ring.cut_links(1)  # it would be the next to coordinate

    ring = Ring(tmp_path, job, count=4, on_event=on_event)
    assert ring.run().root.hex() == undisturbed
    said = [words for node in ring.nodes[1:] for words in node.said]
    assert not any(words.startswith("coordinating") for words in said), said


@pytest.mark.parametrize("disk", [False, True], ids=["disk kept", "disk lost"])
@pytest.mark.parametrize("victim", range(3))
def test_a_node_that_dies_changes_no_bit(
    job: RunJob, undisturbed: str, victim: int, disk: bool, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job, on_event=kill_after(4, victim, disk=disk))  # type: ignore[arg-type]
    result = ring.run()
    assert result.finished
    assert result.root.hex() == undisturbed
    starts = [event.round for event in ring.events if isinstance(event, RunStarted)]
    assert starts[0] == 0
    assert all(at >= 5 for at in starts[1:])  # another one goes on from what was committed


@pytest.mark.parametrize("hold_rounds", [0, 2])
def test_a_lost_lane_is_made_again_from_the_last_copy(
    undisturbed: str, job: RunJob, hold_rounds: int, tmp_path: Path
) -> None:
    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, LaneFinished) and (event.round, event.lane) == (6, 0):
            names = [nickname(it.address.key) for it in ring.nodes if it.address]
            runner = names.index(event.worker.rpartition(".")[0])
            ring.kill(runner, disk=True)  # lane 0's own state was on this disk

    again = False
    for turn in range(3):  # another node may have fetched the state before this one died
        root = tmp_path / str(turn)
        root.mkdir()
        ring = Ring(root, job, hold_rounds=hold_rounds, on_event=on_event)
        assert ring.run().root.hex() == undisturbed
        said = [words for node in ring.nodes for words in node.said]
        again |= any("made again by replay" in words for words in said)
        if again or hold_rounds or job.config.exchange == "every-step":
            break
    if job.config.exchange == "every-step":
        assert not again  # such a lane has no state of its own
    elif hold_rounds == 0:
        assert again  # nobody else had a copy


def test_two_nodes_that_die_at_once_change_no_bit(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job, count=4, on_event=kill_after(3, 0, 1, disk=True))  # type: ignore[arg-type]
    assert ring.run().root.hex() == undisturbed


def test_a_submitter_that_vanishes_finds_the_job_again(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job)
    result = ring.run(lose_submitter_at=2)
    assert result.root.hex() == undisturbed
    assert sorted(result.losses) == list(range(job.config.rounds))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_deaths_at_drawn_moments_change_no_bit(
    job: RunJob, undisturbed: str, seed: int, tmp_path: Path
) -> None:
    chance = Chance.from_int(seed)
    alive = {0, 1, 2, 3}

    def on_event(ring: Ring, event: RunEvent) -> None:
        draw = chance.fork(len(ring.events))
        if len(alive) > 1 and draw.below(8) == 0:
            victim = sorted(alive)[draw.fork("who").below(len(alive))]
            alive.discard(victim)
            ring.kill(victim, disk=draw.fork("disk").below(2) == 1)

    ring = Ring(tmp_path, job, count=4, on_event=on_event)
    assert ring.run().root.hex() == undisturbed
