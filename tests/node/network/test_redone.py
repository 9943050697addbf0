"""A solver computes falsely, is convicted, and the run ends in the bits of an honest one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.altered.ways import FROM_VARIABLE
from examples.strangers import CHANGES, CHEAT, JOB, Strangers, strangers
from skerry.messages.leased import COMMITTED_BYTES_MAX, Assignment
from skerry.messages.wire import decode_as
from skerry.node.jobs import live_job
from skerry.node.life import run_job
from skerry.node.market.statements import earnings_of
from skerry.node.network.redoing import rollback_of
from skerry.node.processes import CrewTerms
from skerry.node.submission import load_job, prepare_data, trace_job
from skerry.storage import read_file

pytestmark = pytest.mark.slow

FALSE_FROM = 2
TERMS = (
    *CHANGES, "market.redo=true", "market.lanes_each_max=2", "market.epoch_rounds=3",
)  # fmt: skip


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Strangers]:
    monkeypatch.setenv(FROM_VARIABLE, str(FALSE_FROM))
    with strangers(tmp_path / "network", "lower precision") as made:
        yield made


def until_killed(changes: Sequence[str], network: Strangers) -> None:
    """Run a job, and kill the client while it goes back."""
    command = [sys.executable, "-m", "skerry", "run", str(JOB), "--network", str(network.folder)]
    for change in changes:
        command += ["--set", change]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    found = any("was false: going back" in line for line in client.stdout)
    client.kill()
    client.wait()
    client.stdout.close()
    assert found


def invoice(run: Path) -> Mapping[str, Any]:
    words = [sys.executable, "-m", "skerry", "invoice", str(run), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def test_false_work_is_done_again_and_the_bits_are_those_of_a_local_run(
    network: Strangers, tmp_path: Path
) -> None:
    network.until_offered(CHEAT)  # or others are hired before its offer comes
    changes = [*TERMS, f"output_dir={str(tmp_path / 'run')!r}"]
    until_killed(changes, network)
    file = load_job(JOB, changes)
    assert rollback_of(file.run_folder).kept, "what it had decided was written down"
    result = live_job(file, network=str(network.folder))
    report = prepare_data(file)
    terms = CrewTerms(1, threads=1, data=Path(report.folder))
    local = run_job(trace_job(file, report).run, tmp_path / "local", terms)
    assert result.run.root == local.root
    assert result.run.losses == local.losses, "also as the log of both turns tells it"

    path = file.run_folder / "assignment"
    assignment = decode_as(Assignment, read_file(path), bytes_max=COMMITTED_BYTES_MAX)
    assert assignment.kept == (FALSE_FROM,), "exactly the rounds before the first false one stay"
    cheat = bytes.fromhex(network.keys[CHEAT])
    assert cheat in assignment.earlier
    assert cheat not in {node.key for node in (*assignment.nodes, *assignment.observers)}

    bill = invoice(file.run_folder)
    assert bill["adds_up"]
    (before,), after = bill["earlier"], bill["invoice"]
    assert {it["round"] for it in before["units"]} == set(range(6))
    assert "convicted" in {it["reason"] for it in before["units"]}
    assert {it["round"] for it in after["units"]} == set(range(FALSE_FROM, 6))
    assert {it["reason"] for it in after["units"]} == {"paid"}
    homes = [network.folder / name for name in ("client", *network.keys) if name != "seed"]
    accounts = {home.name: earnings_of(home) for home in homes}
    assert all(it.adds_up for it in accounts.values())
    slashed = {name for name, it in accounts.items() if any(at.slashed for at in it.jobs)}
    assert slashed == {CHEAT}
    honest = [it for name, it in accounts.items() if name not in ("client", CHEAT)]
    assert all(it.earned >= 0 for it in honest)
    assert len(accounts["client"].jobs) == 2
