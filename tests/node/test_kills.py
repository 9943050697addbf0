"""kill -9 at moments drawn uniformly over the run, of workers and of everything at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.base.chance import Chance
from skerry.node.clocks import RealClock
from skerry.node.events import RoundFinished, RunEvent, RunStarted, WorkerDown, WorkerUp
from skerry.node.life import RunCrashing, RunFailed, RunJob, RunResult, run_job
from skerry.node.processes import CrewTerms
from skerry.storage import RunFolder, read_lines
from tests.node.small import every_step_job, local_job
from tests.node.within import Within

pytestmark = pytest.mark.slow

CREW = CrewTerms(3, threads=1, backend="torch")
LONG = {"rounds": 40, "save_rounds": 3}
JOBS: dict[str, Callable[..., RunJob]] = {"local": local_job, "every-step": every_step_job}
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
os.execv(sys.argv[1], sys.argv[1:])
"""
RUN_SMALL = Path(__file__).with_name("run_small.py")


@pytest.fixture(scope="module", params=sorted(JOBS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def job(kind: str) -> RunJob:
    return JOBS[kind](**LONG)


@pytest.fixture(scope="module")
def undisturbed(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> str:
    return Within(job, tmp_path_factory.mktemp("run"), workers=1).run().root


@pytest.fixture(scope="module")
def seconds(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long an undisturbed run takes from its first worker on, here and now."""
    times: list[float] = []

    def watch(event: RunEvent) -> None:
        if isinstance(event, WorkerUp | RoundFinished):
            times.append(RealClock().now())

    run_job(job, tmp_path_factory.mktemp("timed"), CREW, watch=watch)
    return times[-1] - times[0]


@pytest.mark.parametrize("seed", range(5))
def test_killed_workers_change_no_bit(
    job: RunJob, undisturbed: str, seconds: float, seed: int, tmp_path: Path
) -> None:
    """Three kills each, at moments and of workers drawn in advance; each is replaced."""
    alive: dict[str, int] = {}
    chance = Chance.from_int(seed)
    killed: list[int] = []

    def kill(turn: int) -> None:
        if alive:
            victim = sorted(alive.values())[chance.fork("who", turn).below(len(alive))]
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    def watch(event: RunEvent) -> None:
        if isinstance(event, WorkerUp):
            if not alive and not killed:
                for turn in range(3):
                    moment = chance.fork("when", turn).below(1000) / 1000 * seconds
                    asyncio.get_running_loop().call_later(moment, kill, turn)
            alive[event.worker] = event.pid
        elif isinstance(event, WorkerDown):
            alive.pop(event.worker, None)

    result = run_job(job, tmp_path, CREW, watch=watch)
    assert result.finished
    assert result.root.hex() == undisturbed
    assert killed


def run_and_kill_all(kind: str, folder: Path, after: float) -> None:
    """Start a run in a process of its own and kill its coordinator some seconds into the work."""
    process = subprocess.Popen(
        [sys.executable, str(RUN_SMALL), kind, str(folder), "3", json.dumps(LONG)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    log = folder / "log.jsonl"
    pause = threading.Event()
    for _ in range(600):
        if any(line["type"] == "worker_up" for line in read_lines(log)):
            break
        if process.poll() is not None:
            break
        pause.wait(0.1)
    pause.wait(after)
    process.kill()
    process.communicate()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_goes_on_to_the_same_bits_and_leaves_no_orphan(
    kind: str, job: RunJob, undisturbed: str, seconds: float, seed: int, tmp_path: Path
) -> None:
    after = Chance.from_int(seed).fork("all").below(1000) / 1000 * seconds
    run_and_kill_all(kind, tmp_path, after)
    pids = {line["pid"] for line in read_lines(tmp_path / "log.jsonl") if "pid" in line}
    pause = threading.Event()
    for _ in range(200):
        if not any(map(is_alive, pids)):
            break
        pause.wait(0.1)
    assert not [pid for pid in pids if is_alive(pid)]
    result = run_job(job, tmp_path, CREW)
    assert result.finished
    assert result.root.hex() == undisturbed


def test_workers_may_come_by_themselves(kind: str, tmp_path: Path) -> None:
    """They find the run by its folder, which holds the address and the secret."""
    job = JOBS[kind]()
    came: list[subprocess.Popen[bytes]] = []

    def watch(event: RunEvent) -> None:
        if isinstance(event, RunStarted):
            command = [sys.executable, "-m", "skerry.node.worker", "--run", str(tmp_path)]
            came.extend(subprocess.Popen([*command, "--backend", "torch"]) for _ in range(2))

    result = run_job(job, tmp_path, CrewTerms(0), watch=watch)
    assert result.finished
    assert 0 in [worker.wait(60) for worker in came]  # the other may have come too late


def test_workers_that_cannot_work_stop_the_run_with_their_words(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="no backend 'abacus'"):
        run_job(local_job(), tmp_path, CrewTerms(1, threads=1, backend="abacus"))
    assert RunFolder(tmp_path).last_checkpoint() is None


def test_workers_that_die_at_once_stop_the_run_with_their_words(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    (run.root / "keys" / "worker-0.key").write_bytes(bytes(32))
    (run.root / "keys" / "worker-0.key").chmod(0o644)
    with pytest.raises(RunCrashing, match="chmod 600"):
        run_job(local_job(), tmp_path, CrewTerms(1, threads=1, backend="torch"))


def test_a_full_disk_stops_the_run_with_a_next_step(tmp_path: Path) -> None:
    """A limit on the size of files refuses a state where a full disk would."""
    folder = tmp_path / "run"
    command = [sys.executable, str(RUN_SMALL), "local", str(folder), "2", json.dumps({})]
    limited = [sys.executable, "-c", LIMITED, *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "RunBlocked" in done.stderr
    assert "File too large" in done.stderr
    assert "next:" in done.stderr
    result = run_job(local_job(), folder, CREW)
    assert result.finished


def test_a_run_result_counts_what_was_sent(tmp_path: Path) -> None:
    result: RunResult = run_job(local_job(), tmp_path, CREW)
    assert set(result.bytes_sent) == {"updates", "receipts", "programs", "control"}
    assert all(count > 0 for count in result.bytes_sent.values())
    assert result.state.is_file()
    assert not (tmp_path / "session.json").exists()
