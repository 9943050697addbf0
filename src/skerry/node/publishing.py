"""The trained model as people load it, with a card that says how it came about.

What    `publish(traced, run, evaluation)` writes RUN/model: weights as safetensors, a model card,
        and a Hugging Face folder where the model came from one.
Why     A run ends with something useful outside Skerry.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skerry.base.units import format_bytes, format_count
from skerry.dataset.manifest import TOKENIZER_NAME
from skerry.models import save_model
from skerry.node.life import RunResult
from skerry.node.submission import TracedJob, load_params

if TYPE_CHECKING:
    from skerry.node.jobs import Evaluation


def publish(traced: TracedJob, run: RunResult, evaluation: Evaluation | None) -> Path:
    """Write the model folder of a finished run and return it."""
    folder = run.folder / "model"
    tokenizer = traced.file.data_folder / TOKENIZER_NAME
    save_model(
        folder,
        traced.opened,
        traced.layout,
        load_params(run.state),
        card=model_card(traced, run, evaluation),
        metadata={"skerry_run": traced.run.config.job.hex(), "skerry_state": run.root.hex()},
        tokenizer=tokenizer if tokenizer.is_file() else None,
    )
    return folder


def model_card(traced: TracedJob, run: RunResult, evaluation: Evaluation | None) -> str:
    """Return the text of README.md, in the form that model hubs read."""
    job, config, manifest = traced.file.job, traced.run.config, traced.manifest
    scores = []
    if evaluation is not None:
        scores.append(f"| loss | {evaluation.loss:.4f} |")
        if evaluation.bits_per_character is not None:
            scores.append(f"| bits per character | {evaluation.bits_per_character:.4f} |")
        if evaluation.accuracy is not None:
            scores.append(f"| accuracy | {evaluation.accuracy:.4f} |")
    table = "\n".join(["| held out | |", "|---|---|", *scores]) if scores else "Not evaluated."
    sent = sum(run.bytes_sent.values())
    return f"""---
library_name: {"transformers" if traced.opened.hf_config is not None else "pytorch"}
tags: [skerry]
---
# {job.name}

Trained with Skerry from `{traced.opened.source}`: {format_count(traced.layout.elements)}
parameters, {config.rounds} rounds of {config.local_steps} steps over {config.lanes} lanes in
{config.arithmetic} arithmetic (profile {job.train.profile}, seed {config.seed}).

{table}

| what | digest |
|---|---|
| run | `{config.job.hex()}` |
| final state | `{run.root.hex()}` |
| data ({manifest.name}) | `{manifest.digest.hex()}` |

{format_bytes(sent)} were sent between processes; a float32 all-reduce every step would have sent
{format_bytes(run.ring_bytes)}. Every unit of work left a receipt that `skerry verify` replays.
{f"Licence of the data: {manifest.licence}." if manifest.licence else ""}
"""
