"""The command line as a user meets it: real processes, real exit codes, real output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.messages.receipts import Receipt
from skerry.messages.wire import decode_as, encode

JOB = """
name = "small"
[model]
example = "mlp"
arguments = { inputs = 64, hidden = [16], outputs = 10 }
[data]
dataset_name = "digits"
standardise = "all"
validation_split_percentage = 20
[train]
task = "classification"
max_steps = 8
per_device_train_batch_size = 8
[rounds]
lanes = 2
local_steps = 2
codec = "lowrank"
[resources]
workers = 1
[checkpoint]
eval_steps = 4
"""


def skerry(folder: Path, *words: str, code: int = 0) -> str:
    """Run the command line in a folder; return what it printed on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "skerry", *words], cwd=folder, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def as_json(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json and return its object."""
    lines = skerry(folder, *words, "--json", code=code).splitlines()
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small job was run to its end."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "job.toml").write_text(JOB)
    result = as_json(folder, "run", "job.toml")
    assert result["run"]["finished"] is True
    assert len(result["evaluations"]) == 3
    return folder


def test_help_and_version_come_without_a_tensor_library(tmp_path: Path) -> None:
    shown = skerry(tmp_path, "--help")
    for verb in ("run", "plan", "prepare", "verify", "ps", "sample", "doctor"):
        assert verb in shown
    assert skerry(tmp_path, "--version").startswith("skerry 0.")


def test_a_wrong_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(JOB.replace("max_steps", "max_stebs"))
    refused = as_json(tmp_path, "run", "job.toml", code=2)
    assert refused["error"]["code"] == "job.file"
    assert "did you mean max_steps?" in refused["error"]["message"]


def test_a_missing_file_and_a_missing_run_name_the_next_step(tmp_path: Path) -> None:
    assert as_json(tmp_path, "plan", "none.toml", code=2)["error"]["next"]
    assert as_json(tmp_path, "sample", "runs/none", code=2)["error"]["code"] == "job.norun"


@pytest.mark.slow
def test_a_job_that_needs_too_much_memory_has_no_plan(finished: Path) -> None:
    refused = as_json(finished, "plan", "job.toml", "--set", "resources.memory_gb=0.01", code=3)
    assert "memory" in refused["no_plan"]["reason"]


@pytest.mark.slow
def test_a_finished_run_is_listed_and_its_model_loads(finished: Path) -> None:
    from safetensors.torch import load_file

    (run,) = as_json(finished, "ps")["runs"]
    assert (run["status"], run["round"], run["rounds"]) == ("finished", 4, 4)
    weights = load_file(finished / "runs" / "small" / "model" / "model.safetensors")
    assert weights["layers.0.weight"].shape == (16, 64)
    card = (finished / "runs" / "small" / "model" / "README.md").read_text()
    assert run["root"] in card


@pytest.mark.slow
def test_a_finished_run_predicts_rows(finished: Path) -> None:
    rows = as_json(finished, "sample", "runs/small", "--rows", "5")["predictions"]
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_running_a_finished_job_again_changes_nothing(finished: Path) -> None:
    before = as_json(finished, "ps")["runs"][0]["root"]
    assert as_json(finished, "run", "job.toml")["run"]["root"] == before


@pytest.mark.slow
def test_another_job_in_the_same_folder_is_refused(finished: Path) -> None:
    refused = as_json(finished, "run", "job.toml", "--set", "train.seed=7", code=2)
    assert refused["error"]["code"] == "job.folder"


@pytest.mark.slow
def test_a_receipt_verifies_and_a_changed_one_does_not(finished: Path) -> None:
    receipts = finished / "runs" / "small" / "receipts"
    receipt = sorted(receipts.glob("*step*"))[2]
    assert as_json(finished, "verify", str(receipt))["equal"] is True
    forged = receipts / "forged.receipt"
    claimed = decode_as(Receipt, receipt.read_bytes())
    data = encode(msgspec.structs.replace(claimed, segments=claimed.segments[::-1]))
    forged.write_bytes(data)
    assert as_json(finished, "verify", str(forged), code=4)["equal"] is False
    forged.write_bytes(data[:-3])
    assert as_json(finished, "verify", str(forged), code=5)["error"]["code"].startswith("peer.")
    forged.unlink()


@pytest.mark.slow
def test_a_lie_of_another_process_is_walked_to(finished: Path) -> None:
    receipt = str(sorted((finished / "runs" / "small" / "receipts").glob("*step*"))[1])
    with subprocess.Popen(
        [sys.executable, "-m", "skerry", "reveal", receipt, "--lie", "1:0:5", "--json"],
        cwd=finished, stdout=subprocess.PIPE, text=True,
    ) as liar:  # fmt: skip
        assert liar.stdout is not None
        address = json.loads(liar.stdout.readline())["address"]
        found = as_json(finished, "verify", receipt, "--against", address, code=4)
    outcome = found["outcome"]
    assert (outcome["step"], outcome["node"], outcome["element"]) == (1, 0, 5)
