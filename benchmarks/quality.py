"""Held-out loss: exact against fast, narrow against fast, local steps against every step.

Each pair sees the same samples from the same start. `gap_exact` and `gap_narrow` are the mean
relative differences of held-out loss to the same run in fast arithmetic; `gap_local` that of two
lanes on workers of their own, which merge quantised updates every 128 or 160 steps, to an exchange
of everything at every step, both exact and each at its own best learning rate. An exchange at every
step equals one process that runs all shards, so that is what runs: one lane of two shards. It
writes what it learned down at each merge all the same, which rounds it as little as any step does.
`bytes_ratio` counts all bytes that the local runs really sent, framing and Programs included. A run
counts only where its reference beats the trigram, or is 95 % right: `reference_ok`.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Note
from skerry.dataset import trigram_score
from skerry.node.jobs import Evaluation, JobResult, live_job
from skerry.node.submission import load_job, open_data

JOBS = Path(__file__).resolve().parent.parent / "jobs"
FOLDER = Path("runs") / "benchmarks"
RIGHT_SHARE = 0.95

LANES = [
    "rounds.codec='quantised'", "rounds.residual_decay=1.0",
    "rounds.lanes=2", "rounds.segments=2", "resources.workers=2",
]  # fmt: skip
ONE_PROCESS = [
    "rounds.codec='none'", "rounds.lanes=1", "rounds.segments=2",
    "train.gradient_accumulation_steps=2", "resources.workers=1",
]  # fmt: skip
#: The job file of each model, how it is changed, and the best learning rate of either way.
JOBS_MEASURED = {
    "kjv-small": (["rounds.local_steps=128"], "1e-2", "1.2e-2"),
    "digits": (
        ["rounds.local_steps=160", "train.max_steps=1280", "train.per_device_train_batch_size=64",
         "model.arguments.channels=[24,48]", "data.validation_split_percentage=40"],
        "6e-3", "6e-3",
    ),
}  # fmt: skip
#: The language model for just long enough to pass the trigram, which is too short for a small gap.
QUICK = ["train.max_steps=128", "rounds.local_steps=32", "checkpoint.eval_batches=16"]
FAST = "train.arithmetic='fast'"
NARROW = "train.profile='narrow'"


def train(job: str, seed: int, changes: list[str]) -> tuple[Evaluation, JobResult]:
    """Run a job with changes and return its last evaluation and its result."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as place:
        file = load_job(
            JOBS / f"{job}.toml",
            ["checkpoint.eval_steps=0", "checkpoint.save_steps=0", "resources.threads_per_worker=1",
             *changes, f"train.seed={seed}", f"output_dir={f'{FOLDER}/{Path(place).name}'!r}"],
        )  # fmt: skip
        result = live_job(file)
    return result.evaluations[-1], result


def trigram_bits() -> float:
    """Return the trigram's held-out bits per character on the demo's split."""
    with open_data(load_job(JOBS / "kjv-small.toml", [f"output_dir='{FOLDER}/any'"])) as data:
        return trigram_score(data.train.documents(), data.heldout.documents()).bits_per_character


def measure(job: str, seed: int, more: list[str], note: Note) -> dict[str, Any]:
    """Train one seed in every way and return its numbers."""
    changes, rate_local, rate = JOBS_MEASURED[job]
    changes = [*changes, *more]
    every = [*changes, *ONE_PROCESS, f"train.learning_rate={rate}"]
    lanes = [*changes, *LANES, f"train.learning_rate={rate_local}"]
    exact = train(job, seed, every)[0]
    local, result = train(job, seed, lanes)
    note(f"{job} seed {seed}: {exact.loss} and {local.loss}, {result.run.bytes_ratio}")
    fast, narrow = (train(job, seed, [*every, change])[0] for change in (FAST, NARROW))
    numbers = {
        "gap_exact": exact.loss / fast.loss - 1, "gap_narrow": narrow.loss / fast.loss - 1,
        "gap_local": local.loss / exact.loss - 1, "bytes_ratio": result.run.bytes_ratio,
        "loss_every_step": exact.loss, "loss_local": local.loss,
        "bits": exact.bits_per_character, "right": exact.accuracy,
    }  # fmt: skip
    note(f"{job} seed {seed}: {numbers}")
    return numbers


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Measure three seeds of both models; `quick` one seed of the language model, cut short."""
    result: dict[str, Any] = {}
    seeds = (1,) if quick else (1, 2, 3)
    jobs = ["kjv-small"] if quick else list(JOBS_MEASURED)
    more = QUICK if quick else []
    found = {(job, seed): measure(job, seed, more, note) for seed in seeds for job in jobs}
    for job in jobs:
        rows = [found[job, seed] for seed in seeds]
        mean = {
            key: round(statistics.mean(row[key] for row in rows), 4)
            for key in ("gap_exact", "gap_narrow", "gap_local", "loss_every_step", "loss_local")
        }
        mean["bytes_ratio"] = round(min(row["bytes_ratio"] for row in rows), 1)
        if job == "digits":
            mean["right"] = round(min(row["right"] for row in rows), 4)
            mean["reference_ok"] = int(mean["right"] >= RIGHT_SHARE)
        else:
            bits = max(row["bits"] for row in rows)
            mean |= {"bits": round(bits, 4), "trigram": round(trigram_bits(), 4)}
            mean["reference_ok"] = int(bits < mean["trigram"])
        result[job] = mean
    for key in ("gap_exact", "gap_narrow", "gap_local"):
        result[key] = max(result[job][key] for job in jobs)
    for key in ("bytes_ratio", "reference_ok"):
        result[key] = min(result[job][key] for job in jobs)
    return result
