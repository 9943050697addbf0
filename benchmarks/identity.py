"""Distinct final digests of whole training runs, one factor varied at a time.

Threads, CPU capability levels and the two carriers are varied in fresh processes that train a model
on fixed data; workers, lanes regrouped and a kill -9 in runs of the real job on digits, H = 1.
`distinct` must be 1 for each; `distinct_native` counts what plain float32 gives over the same
threads and levels.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.exact import OPTIMIZER
from benchmarks.measure import Note
from skerry.commit import state_root
from skerry.exact import compile_program
from skerry.models.examples import CNN, GPT, MLP
from skerry.node.events import RoundFinished, RunEvent, WorkerUp
from skerry.node.jobs import Watchers, live_job
from skerry.node.states import digest_tensor, zero_state
from skerry.node.submission import load_job
from skerry.trace import trace_model
from skerry.train import state_types, step_program

JOB = Path(__file__).resolve().parent.parent / "jobs" / "digits.toml"
STEPS = {"mlp": 200, "cnn": 60, "gpt": 30}
LEVELS = {"baseline": "default", "avx2": "avx2"}


def final_digest(name: str, backend: str, carrier: str) -> str:
    """Train a small model on fixed data and return the root of its state.

    It starts where Program "init" says, as jobs do: PyTorch's own generators give other initial
    weights on other CPU levels.
    """
    draw = torch.Generator().manual_seed(1)
    steps = STEPS[name]
    build: Callable[[], nn.Module]
    if name == "gpt":
        build = partial(GPT, vocabulary=64, width=32, layers=2, heads=2, context=16)
        task = "causal-lm"
        batch = {"tokens": torch.randint(0, 64, (steps, 4, 17), generator=draw)}
    else:
        build = partial(MLP, 64, (64, 64), 10) if name == "mlp" else CNN
        task = "classification"
        shape = (64,) if name == "mlp" else (1, 8, 8)
        batch = {
            "features": torch.rand(steps, 16, *shape, generator=draw) * 2 - 1,
            "label": torch.randint(0, 10, (steps, 16), generator=draw),
        }
    example = {key: value[0] for key, value in batch.items()}
    traced = trace_model(build(), task, example, build=build)
    assert traced.init is not None
    program = step_program(traced.grad, OPTIMIZER, 1)
    first = compile_program(traced.init, "native")
    run = compile_program(program, backend, carrier=carrier).run  # type: ignore[arg-type]
    state = zero_state(state_types(OPTIMIZER, traced.layout.elements))
    state["params"] = first.run({"seed": torch.tensor(0)})["params"]
    for step in range(steps):
        inputs = state | {key: value[step : step + 1] for key, value in batch.items()}
        inputs["seeds"] = torch.tensor([step])
        after = run({port.name: inputs[port.name] for port in program.inputs})
        state = {key: after[key] for key in state}
    return state_root({key: digest_tensor(value) for key, value in state.items()}).hex()


def in_process(
    name: str, backend: str, *, carrier: str = "float64", threads: int = 1, level: str = "avx2"
) -> str:
    """Return `final_digest` from a fresh process with these threads and kernels."""
    environment = dict(os.environ) | {
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
        "SKERRY_CPU_LEVEL": level, "ATEN_CPU_CAPABILITY": LEVELS[level],
        "MKL_CBWR": "COMPATIBLE" if level == "baseline" else "AUTO",
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.identity", name, backend, carrier]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.split()[-1]


def in_run(steps: int, changes: list[str], *, kill_after: int = -1) -> str:
    """Return the final params digest of the digits job over worker processes."""
    pids: list[int] = []

    def watch(event: RunEvent) -> None:
        if isinstance(event, WorkerUp):
            pids.append(event.pid)
        if isinstance(event, RoundFinished) and event.round == kill_after:
            os.kill(pids[0], signal.SIGKILL)

    with tempfile.TemporaryDirectory() as place:
        file = load_job(
            JOB,
            [f"output_dir={f'{place}/run'!r}", f"train.max_steps={steps}",
             "train.warmup_steps=5", "checkpoint.save_steps=0", "checkpoint.eval_steps=0",
             *changes],
        )  # fmt: skip
        return live_job(file, Watchers(event=watch)).run.root.hex()


def count(digests: list[str]) -> int:
    """Return how many digests differ."""
    return len(set(digests))


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Vary each factor; `quick` uses the smallest model only and shorter runs of the job."""
    names = ("mlp",) if quick else tuple(STEPS)
    distinct: dict[str, int] = {}
    native: dict[str, int] = {}
    for name in names:
        base = in_process(name, "native")
        found = {
            "threads": [base, in_process(name, "native", threads=2)],
            "levels": [base, in_process(name, "native", level="baseline")],
            "carriers": [
                base,
                in_process(name, "torch"),
                in_process(name, "torch", carrier="float32"),
            ],
        }
        distinct |= {f"{name}.{factor}": count(digests) for factor, digests in found.items()}
        native[name] = count(
            [in_process(name, "fast", threads=t, level=level) for t in (1, 2) for level in LEVELS]
        )
        note(f"{name}: {distinct}, native {native[name]}")
    steps = 20 if quick else 200
    base = in_run(steps, ["resources.workers=4"])
    workers = (1, 2) if not quick else (2,)
    distinct["workers"] = count(
        [base, *(in_run(steps, [f"resources.workers={each}"]) for each in workers)]
    )
    regrouped = [(2, 2), (1, 4)] if not quick else [(2, 2)]
    distinct["lanes"] = count(
        [
            base,
            *(
                in_run(steps, [f"rounds.lanes={lanes}",
                               f"train.gradient_accumulation_steps={shards}"])
                for lanes, shards in regrouped
            ),
        ]
    )  # fmt: skip
    distinct["kill"] = count([base, in_run(steps, ["resources.workers=4"], kill_after=steps // 2)])
    note(f"runs of the job: {distinct}")
    return {
        "distinct": distinct, "distinct_max": max(distinct.values()), "distinct_native": native,
        "steps": {name: STEPS[name] for name in names} | {"job": steps},
    }  # fmt: skip


if __name__ == "__main__":
    print(final_digest(*sys.argv[1:4]))
