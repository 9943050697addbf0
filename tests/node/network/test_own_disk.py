"""Disks of real nodes that rot or fill in mid-job: the job ends in the same bits, they go on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.networked import ready_job
from skerry.node.events import RoundFinished, RunEvent
from skerry.node.life import RunJob, run_job
from skerry.node.network.networks import run_on_network
from skerry.node.processes import CrewTerms
from skerry.storage import read_lines
from tests.node.network.plain_nodes import PlainNodes
from tests.node.network.spoiling import flip, limit_files, spoil
from tests.node.network.test_network_kills import LONG, SUBMIT_SMALL
from tests.node.small import local_job
from tests.node.within import Within

pytestmark = pytest.mark.slow

CHANGES = (
    "train.max_steps=90", "rounds.local_steps=3", "rounds.segments=3", "rounds.codec=topk",
    "checkpoint.eval_steps=0", "checkpoint.save_steps=9",
)  # fmt: skip
_TRIES = 600


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunJob, Path, str]:
    """Return a job with data, its data, and the root that it ends in."""
    folder = tmp_path_factory.mktemp("job")
    traced, data = ready_job("digits", folder, CHANGES)
    local = run_job(traced.run, folder / "local", CrewTerms(1, threads=1, data=data))
    return traced.run, data, local.root.hex()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[PlainNodes]:
    with PlainNodes(tmp_path, 3, backend="native") as made:
        yield made


def until_said(nodes: PlainNodes, number: int, words: str, times: int = 1) -> None:
    """Wait until a node has said something so often."""
    pause = threading.Event()
    for _ in range(_TRIES):
        if nodes.said(number).count(words) >= times:
            return
        pause.wait(0.1)
    raise AssertionError(nodes.said(number))


def ends_alike(nodes: PlainNodes, job: tuple[RunJob, Path, str], out: str, at: object) -> None:
    """Run a job on the nodes there are, and hold its end against the local one's."""
    run, data, root = job

    def watch(event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 6 and callable(at):
            at()

    result = run_on_network(run, nodes.root / out, data, str(nodes.root), watch=watch)
    assert result.root.hex() == root


def works_alone(nodes: PlainNodes, number: int) -> None:
    """Make sure that a node of three does another job, all by itself."""
    for other in {0, 1, 2} - {number}:
        nodes.kill(other, disk=True)
    small = local_job(rounds=3)
    alone = Within(small, nodes.root / "alone", workers=1).run().root
    result = run_on_network(small, nodes.root / "again", None, str(nodes.root))
    assert result.root.hex() == alone


def test_a_node_whose_files_rot_under_it_fetches_them_again(
    nodes: PlainNodes, job: tuple[RunJob, Path, str]
) -> None:
    ends_alike(nodes, job, "run", lambda: spoil(nodes.folder(1)))
    until_said(nodes, 1, "is over: finished")
    said = nodes.said(1)
    assert "stands still here, others go on" in said
    assert "is damaged" in said
    assert "goes on here" in said
    works_alone(nodes, 1)


def test_a_node_whose_files_rot_while_it_is_down_comes_back(
    nodes: PlainNodes, job: tuple[RunJob, Path, str]
) -> None:
    def at() -> None:
        nodes.kill(1)
        spoil(nodes.folder(1))
        nodes.start(1)

    ends_alike(nodes, job, "run", at)
    until_said(nodes, 1, "is over: finished")
    works_alone(nodes, 1)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_node_whose_disk_is_full_stands_still_until_there_is_room(
    nodes: PlainNodes, job: tuple[RunJob, Path, str], victim: int
) -> None:
    """Whoever coordinates is among them, whatever the order of the keys is."""
    pid = nodes.pid(victim)
    ends_alike(nodes, job, "run", lambda: limit_files(pid))
    until_said(nodes, victim, "stands still here, others go on")
    assert "next: " in nodes.said(victim)
    limit_files(pid, None)
    until_said(nodes, victim, "goes on here")
    until_said(nodes, victim, "is over: finished")
    works_alone(nodes, victim)


def test_a_submitter_whose_disk_is_full_goes_on_by_the_same_command(tmp_path: Path) -> None:
    due = Within(local_job(**LONG), tmp_path / "due", workers=1).run().root
    command = [sys.executable, str(SUBMIT_SMALL), str(tmp_path), str(tmp_path / "run")]
    command.append(json.dumps(LONG))
    with PlainNodes(tmp_path, 3):
        first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        pause, log = threading.Event(), tmp_path / "run" / "log.jsonl"
        for _ in range(_TRIES):
            if any(line["type"] == "round" for line in read_lines(log)):
                break
            pause.wait(0.05)
        limit_files(first.pid, 64)
        _, said = first.communicate(timeout=90)
        assert first.returncode != 0
        assert "StorageError" in said
        assert "next: raise the limit of a file's size" in said
        flip(tmp_path / "run" / "assignment")
        again = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert again.stdout.strip() == due
