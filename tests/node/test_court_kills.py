"""A side of a dispute dies: the other one wins by the clock, or the dead one comes back in time."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import skerry
from skerry.base.chance import Chance
from skerry.chain.anvil import Anvil
from skerry.chain.courthouse import CourtLog
from skerry.chain.deploy import Manifest
from skerry.chain.disputes import CourtEvent, Ended, Opened, Picked, Shown
from skerry.chain.rpc import Rpc
from skerry.node.checking import open_past
from skerry.node.court import dispute_folder
from skerry.node.dispute import draw_lie, read_receipt
from skerry.node.jobs import live_job

JOB = Path(__file__).resolve().parents[2] / "jobs" / "digits.toml"
CHANGES = (
    "train.max_steps=4", "rounds.lanes=1", "rounds.local_steps=4", "rounds.codec=topk",
    "rounds.segments=2", "resources.workers=1", "checkpoint.save_steps=4",
    "checkpoint.eval_steps=4", "train.warmup_steps=0",
)  # fmt: skip
KILLED_AT = 4

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the receipt of a block of steps of a small real job."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    live_job(skerry.load_job(JOB, [f"output_dir={str(out)!r}", *CHANGES]))
    return out / "receipts" / "00000000-0000-step.receipt"


@pytest.fixture(scope="module")
def lie(receipt: Path) -> str:
    past = open_past(receipt.parent.parent)
    return str(draw_lie(past, read_receipt(receipt), Chance.from_int(5)))


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with Anvil() as anvil:
        yield anvil


@dataclass
class Command:
    """`skerry dispute` as a process of its own, whose words are read as they come."""

    receipt: Path
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "skerry", "dispute", str(self.receipt), *self.words]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        )
        self.said: list[str] = []

    def until(self, start: str) -> None:
        """Read until a line begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.strip().startswith(start):
                return
        raise AssertionError("".join(self.said))

    def rest(self) -> str:
        """Read to the end and return all that was said."""
        assert self.process.stdout is not None
        self.said += list(self.process.stdout)
        self._left()
        return "".join(self.said)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self._left()

    def _left(self) -> None:
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Watcher:
    """What anybody can see of a dispute on the chain."""

    folder: Path
    rpc: Rpc

    def __post_init__(self) -> None:
        manifest = Manifest.read(self.folder / "court.json")
        self.log = CourtLog(self.folder / "watcher.events", self.rpc, manifest)
        self.events: list[CourtEvent] = []

    def until(self, kind: type[Shown | Ended]) -> None:
        """Look until the last event is of a kind."""
        while not self.events or not isinstance(self.events[-1], kind):
            self.events += [it.event for it in self.log.new() if it.event is not None]

    def pass_deadline(self) -> None:
        """Set the chain's clock forward beyond what the mover has."""
        last = self.events[-1]
        assert isinstance(last, Opened | Shown | Picked)
        self.rpc.ask("evm_setNextBlockTimestamp", last.state.deadline + 1)
        self.rpc.ask("evm_mine")


def solver_of(folder: Path) -> int:
    return int((folder / "solver.pid").read_text())


def test_a_solver_that_is_killed_loses_by_its_clock(receipt: Path, lie: str) -> None:
    folder = dispute_folder(receipt, honest=True)
    command = Command(receipt, ("--honest", "--lie", lie))
    command.until(f"{KILLED_AT} ")
    os.kill(solver_of(folder), signal.SIGKILL)
    said = command.rest()
    assert command.process.returncode == 4, said
    assert "was ended by signal 9: its clock runs out" in said
    assert "ends it by the clock" in said
    assert "the solver lost" in said
    assert "the accounts add up" in said
    assert not folder.exists()


def test_a_solver_that_comes_back_in_time_goes_on(receipt: Path, lie: str, anvil: Anvil) -> None:
    folder = dispute_folder(receipt, honest=True)
    command = Command(receipt, ("--honest", "--lie", lie, "--rpc", anvil.url))
    command.until(f"{KILLED_AT} ")
    os.kill(solver_of(folder), signal.SIGKILL)
    command.until(f"{sys.executable} -m skerry.node.solver")
    again = subprocess.run(
        shlex.split(command.said[-1]), capture_output=True, text=True, check=True
    )
    said = command.rest()
    assert command.process.returncode == 0, said
    assert "the challenger lost" in said
    assert "the claim is true" in said
    assert '"challenger_won":false' in again.stdout


def test_a_challenger_that_is_killed_loses_by_its_clock(
    receipt: Path, lie: str, anvil: Anvil
) -> None:
    folder = dispute_folder(receipt, honest=False)
    words = ("--lie", lie, "--rpc", anvil.url)
    command = Command(receipt, words)
    command.until(f"{KILLED_AT} ")
    command.kill()
    rpc = Rpc(anvil.url)
    seen = Watcher(folder, rpc)
    seen.until(Shown)  # the solver lives on and has answered
    seen.pass_deadline()
    seen.until(Ended)
    ended = seen.events[-1]
    assert isinstance(ended, Ended)
    assert (ended.challenger_won, ended.silent) == (False, True)
    rpc.close()
    said = Command(receipt, words)
    assert "the challenger lost  by the clock" in said.rest()
    assert said.process.returncode == 0
    assert "the accounts add up" in "".join(said.said)


@pytest.mark.parametrize("own", [True, False])
def test_a_challenger_that_comes_back_goes_on(
    receipt: Path, lie: str, anvil: Anvil, own: bool
) -> None:
    words = () if own else ("--rpc", anvil.url)
    command = Command(receipt, ("--lie", lie, *words))
    command.until(f"{KILLED_AT} ")
    command.kill()
    again = Command(receipt, ("--lie", lie))
    said = again.rest()
    assert again.process.returncode == 4, said
    assert "it goes on" in said
    assert "the claim is false" in said
    assert "the accounts add up" in said
    assert not dispute_folder(receipt, honest=False).exists()
