"""A run ends in the same bits whatever its workers go through, and stops cleanly when it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.base.chance import Chance
from skerry.messages.receipts import Receipt
from skerry.messages.signing import check_signature
from skerry.messages.wire import decode_as
from skerry.node.events import (
    CheckpointWritten,
    LaneFinished,
    RoundFinished,
    RunEvent,
    WorkerUp,
)
from skerry.node.ledger import AnotherRun, Ledger
from skerry.node.life import RunJob
from skerry.node.states import read_state
from skerry.program import TensorType
from skerry.storage import RunFolder, read_file
from skerry.train import Optimizer
from skerry.train.rounds import End
from tests.node.small import ELEMENTS, every_step_job, local_job
from tests.node.within import Within

PARAMS = {"params": TensorType("f32", (ELEMENTS,))}
JOBS = {"local": local_job, "every-step": every_step_job}


@pytest.fixture(scope="module", params=sorted(JOBS))
def job(request: pytest.FixtureRequest) -> RunJob:
    made: RunJob = JOBS[request.param]()
    return made


@pytest.fixture(scope="module")
def undisturbed(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> Within:
    """Run the job once, with one worker and in peace."""
    return Within(job, tmp_path_factory.mktemp("run"), workers=1).run()


def test_the_run_finishes_with_every_round_and_checkpoint(undisturbed: Within, job: RunJob) -> None:
    assert undisturbed.end == End("finished")
    rounds = [event.round for event in undisturbed.events if isinstance(event, RoundFinished)]
    assert rounds == list(range(job.config.rounds))
    saves = [event.round for event in undisturbed.events if isinstance(event, CheckpointWritten)]
    every = job.config.save_rounds
    due = [it for it in range(job.config.rounds + 1) if it % every == 0 or it == job.config.rounds]
    assert saves == due


@pytest.mark.parametrize("workers", [2, 5])
def test_the_number_of_workers_changes_no_bit(
    undisturbed: Within, job: RunJob, workers: int, tmp_path: Path
) -> None:
    assert Within(job, tmp_path, workers=workers).run().root == undisturbed.root


@pytest.mark.parametrize("seed", range(3))
def test_lost_workers_change_no_bit(
    undisturbed: Within, job: RunJob, seed: int, tmp_path: Path
) -> None:
    chance = Chance.from_int(seed)

    def cut_now_and_then(run: Within, event: RunEvent) -> None:
        draw = chance.fork(len(run.events))
        if isinstance(event, LaneFinished | CheckpointWritten | WorkerUp) and draw.below(6) == 0:
            run.cut(draw.fork("which").below(len(run.links)))

    run = Within(job, tmp_path, workers=2, on_event=cut_now_and_then).run()
    assert run.end == End("finished")
    assert run.root == undisturbed.root
    accepted = [(it.round, it.lane) for it in run.events if isinstance(it, LaneFinished)]
    lanes = job.config.lanes
    assert sorted(accepted) == [(r, at) for r in range(job.config.rounds) for at in range(lanes)]


def test_a_worker_that_joins_midway_changes_no_bit(
    undisturbed: Within, job: RunJob, tmp_path: Path
) -> None:
    def hire(run: Within, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 1:
            run.start_worker(7)

    run = Within(job, tmp_path, workers=1, on_event=hire).run()
    assert len({event.worker for event in run.events if isinstance(event, WorkerUp)}) == 2
    assert run.root == undisturbed.root


@pytest.mark.parametrize("after", [1, 6, 11])
def test_a_stopped_run_goes_on_to_the_same_bits(
    undisturbed: Within, job: RunJob, after: int, tmp_path: Path
) -> None:
    def stop(run: Within, event: RunEvent) -> None:
        if len(run.events) == after:
            run.coordinator.stop("the test wants it")

    first = Within(job, tmp_path, on_event=stop).run()
    assert first.end == End("asked", "the test wants it")
    again = Within(job, tmp_path).run()
    assert again.end == End("finished")
    assert again.root == undisturbed.root


def test_a_resumed_run_repeats_no_recorded_round(job: RunJob, tmp_path: Path) -> None:
    def stop(run: Within, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 2:
            run.coordinator.stop("enough")

    Within(job, tmp_path, on_event=stop).run()
    assert Ledger(RunFolder(tmp_path), job.config).pick_up().round == 3


def test_a_finished_run_ends_at_once_when_run_again(undisturbed: Within, job: RunJob) -> None:
    again = Within(job, undisturbed.folder).run()
    assert again.end == End("finished")
    assert not any(isinstance(event, LaneFinished) for event in again.events)
    assert again.root == undisturbed.root


@pytest.mark.parametrize("spoil", ["update", "checkpoint", "record"])
def test_damage_on_the_disk_costs_work_and_no_bit(
    undisturbed: Within, job: RunJob, spoil: str, tmp_path: Path
) -> None:
    def stop(run: Within, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 2:
            run.coordinator.stop("enough")

    Within(job, tmp_path, on_event=stop).run()
    folder = RunFolder(tmp_path)
    ledger = Ledger(folder, job.config)
    if spoil == "update":
        record = ledger.read_round(2)
        assert record is not None
        path = folder.blobs.path(record.lanes[0].update)
    elif spoil == "checkpoint":
        last = folder.last_checkpoint()
        assert last is not None
        path = folder.blobs.path(last.state)
    else:
        path = tmp_path / "rounds" / "00000002.round"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = Within(job, tmp_path).run()
    assert again.end == End("finished")
    assert again.root == undisturbed.root


def test_receipts_are_signed_and_say_where_they_belong(undisturbed: Within, job: RunJob) -> None:
    config = job.config
    paths = RunFolder(undisturbed.folder).receipts()
    units_of_a_lane = 2 if config.exchange == "local" else config.shards_per_lane
    assert len(paths) == config.rounds * config.lanes * units_of_a_lane
    for path in paths:
        receipt = decode_as(Receipt, read_file(path))
        check_signature(receipt)
        assert receipt.unit.id.job == config.job
        assert receipt.unit.program in dict(config.programs).values()


def test_a_diverging_run_stops_and_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    bursting = Optimizer(kind="sgd", learning_rate=1e10, momentum=0.9, max_steps=1000)
    run = Within(local_job(bursting, rounds=9, save_rounds=1), tmp_path).run()
    assert run.end is not None
    assert run.end.kind == "failed"
    assert run.trouble is not None
    assert run.trouble.code == "job.non_finite"
    assert "learning rate" in run.trouble.next_step
    last = RunFolder(tmp_path).last_checkpoint()
    assert last is not None
    params = read_state(RunFolder(tmp_path).blobs.get(last.state), PARAMS)["params"]
    assert bool(params.isfinite().all())


def test_a_run_whose_data_are_gone_stops_with_a_next_step(tmp_path: Path) -> None:
    job = local_job(data=bytes(32))
    run = Within(job, tmp_path / "run", data=tmp_path / "nowhere").run()
    assert run.end is not None
    assert run.end.kind == "failed"
    assert run.trouble is not None
    assert "skerry prepare" in run.trouble.next_step


def test_another_job_is_refused_in_the_same_folder(undisturbed: Within) -> None:
    with pytest.raises(AnotherRun):
        Within(local_job(seed=12), undisturbed.folder).run()


def test_every_step_exchange_equals_one_process_with_the_same_shards(tmp_path: Path) -> None:
    one = Within(every_step_job(lanes=1, shards_per_lane=4), tmp_path / "one").run()
    four = Within(every_step_job(lanes=4, shards_per_lane=1), tmp_path / "four", workers=3).run()
    assert one.root == four.root
