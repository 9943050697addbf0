"""Held-out loss: exact against fast, narrow against fast, local steps against every step.

Each pair sees the same samples from the same start. `gap_exact` and `gap_narrow` are the mean
relative differences of held-out loss to the same run in fast arithmetic; `gap_local` that of the
job as shipped (local steps, low-rank updates, four lanes and workers) to an exchange of everything
at every step, both exact. `bytes_ratio` counts all bytes that the local run of the language model
really sent; the CNN is so small that framing and receipts are most of its own. A run
counts only where its reference beats the trigram, or 95 % right: `reference_ok`.
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

#: A language model small enough to pass the trigram in seconds, and the demo's own.
QUICK = [
    "train.max_steps=100", "model.hf_config.hidden_size=48", "model.hf_config.num_hidden_layers=2",
    "model.hf_config.intermediate_size=128", "train.learning_rate=1e-2", "rounds.rank=0.3",
    "checkpoint.eval_batches=16",
]  # fmt: skip
EVERY_STEP = [
    "rounds.lanes=2", "rounds.local_steps=1", "rounds.codec='none'", "rounds.segments=1",
    "train.gradient_accumulation_steps=2", "resources.workers=2",
]  # fmt: skip
LOCAL_CNN = [
    "rounds.local_steps=10", "rounds.codec='lowrank'", "rounds.rank=1", "rounds.residual_decay=1.0",
]  # fmt: skip
KINDS = {
    "fast": ["train.arithmetic='fast'"],
    "exact": [],
    "narrow": ["train.profile='narrow'"],
}


def train(job: str, seed: int, changes: list[str]) -> tuple[Evaluation, JobResult]:
    """Run a job with changes and return its last evaluation and its result."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as place:
        file = load_job(
            JOBS / f"{job}.toml",
            ["checkpoint.eval_steps=0", "checkpoint.save_steps=0", *changes,
             f"train.seed={seed}", f"output_dir={f'{FOLDER}/{Path(place).name}'!r}"],
        )  # fmt: skip
        result = live_job(file)
    return result.evaluations[-1], result


def trigram_bits() -> float:
    """Return the trigram's held-out bits per character on the demo's split."""
    with open_data(load_job(JOBS / "kjv.toml", [f"output_dir='{FOLDER}/any'"])) as data:
        return trigram_score(data.train.documents(), data.heldout.documents()).bits_per_character


def measure(
    job: str, seed: int, changes: list[str], local: list[str], note: Note
) -> dict[str, Any]:
    """Train one seed in every way and return its numbers."""
    every = [*changes, *EVERY_STEP]
    done = {kind: train(job, seed, [*every, *more])[0] for kind, more in KINDS.items()}
    sparse, result = train(job, seed, [*changes, *local, "resources.workers=4"])
    fast, exact = done["fast"].loss, done["exact"].loss
    numbers = {
        "gap_exact": exact / fast - 1, "gap_narrow": done["narrow"].loss / fast - 1,
        "gap_local": sparse.loss / exact - 1, "bytes_ratio": result.run.bytes_ratio,
        "loss_every_step": exact, "loss_local": sparse.loss,
        "bits": done["exact"].bits_per_character, "right": done["exact"].accuracy,
    }  # fmt: skip
    note(f"{job} seed {seed}: {numbers}")
    return numbers


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Measure three seeds of both models; `quick` one seed of a small language model."""
    result: dict[str, Any] = {}
    seeds = (1,) if quick else (1, 2, 3)
    plans: dict[str, tuple[list[str], list[str]]] = {"kjv": (QUICK if quick else [], [])}
    if not quick:
        plans["digits"] = (["train.max_steps=600"], LOCAL_CNN)
    for job, (changes, local) in plans.items():
        rows = [measure(job, seed, changes, local, note) for seed in seeds]
        mean = {
            key: round(statistics.mean(row[key] for row in rows), 4)
            for key in ("gap_exact", "gap_narrow", "gap_local", "loss_every_step", "loss_local")
        }
        mean["bytes_ratio"] = round(min(row["bytes_ratio"] for row in rows), 1)
        if job == "kjv":
            bits = max(row["bits"] for row in rows)
            mean |= {"bits": round(bits, 4), "trigram": round(trigram_bits(), 4)}
            mean["reference_ok"] = int(bits < mean["trigram"])
        else:
            mean["right"] = round(min(row["right"] for row in rows), 4)
            mean["reference_ok"] = int(mean["right"] >= RIGHT_SHARE)
        result[job] = mean
    for key in ("gap_exact", "gap_narrow", "gap_local"):
        result[key] = max(result[job][key] for job in plans)
    result["bytes_ratio"] = result["kjv"]["bytes_ratio"]
    result["reference_ok"] = min(result[job]["reference_ok"] for job in plans)
    return result
