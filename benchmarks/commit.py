"""Share of step time that digests, segments, receipts and signing take, demo model as shipped.

Rounds of the demo's job as it is, by one worker, so that nothing waits for a core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Note
from skerry.node.jobs import live_job
from skerry.node.submission import load_job

JOB = Path(__file__).resolve().parent.parent / "jobs" / "kjv.toml"


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Run three rounds (quick) or twelve and add up what the workers report."""
    rounds = 3 if quick else 12
    data = Path("runs") / "benchmarks"
    with tempfile.TemporaryDirectory(dir=_made(data)) as place:
        file = load_job(
            JOB,
            [f"output_dir={f'{data}/{Path(place).name}'!r}", f"train.max_steps={10 * rounds}",
             "train.warmup_steps=0", "resources.workers=1",
             "resources.threads_per_worker=1", "checkpoint.save_steps=0",
             "checkpoint.eval_steps=0", "checkpoint.eval_batches=1"],
        )  # fmt: skip
        result = live_job(file).run
    assert result.finished, "the run was stopped, so its shares say nothing"
    seconds = {key: round(value, 3) for key, value in result.seconds.items()}
    note(f"{result.receipts} receipts, {seconds}")
    return {"share": round(result.commit_share, 4), "receipts": result.receipts, **seconds}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
