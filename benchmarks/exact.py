"""Exact step time against plain torch eager float32: MLP, CNN and GPT, wide and narrow.

One thread. A step is forward, backward and AdamW on one batch. The peer is the same module with
torch.optim.AdamW in its default form; `ratio_fused` is against its fused form. `cold_seconds` is
from process start to the end of the first GPT step, whose Program was traced before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure import Note, in_turn, median_ms, median_ratio
from skerry.exact import compile_program
from skerry.models.examples import CNN, GPT, MLP
from skerry.node.states import zero_state
from skerry.program import NARROW, WIDE, Profile, Program, to_bytes
from skerry.trace import trace_model
from skerry.train import Optimizer, state_types, step_program

OPTIMIZER = Optimizer(kind="adamw", learning_rate=1e-3, weight_decay=0.01)


def cases() -> dict[str, tuple[nn.Module, str, dict[str, Tensor]]]:
    """Return each model with its task and one batch."""
    draw = torch.Generator().manual_seed(0)
    return {
        "mlp": (
            MLP(784, (1024, 1024), 10),
            "classification",
            {
                "features": torch.randn(128, 784, generator=draw),
                "label": torch.randint(0, 10, (128,), generator=draw),
            },
        ),
        "cnn": (
            CNN(image=(1, 28, 28), channels=(32, 64)),
            "classification",
            {
                "features": torch.randn(64, 1, 28, 28, generator=draw),
                "label": torch.randint(0, 10, (64,), generator=draw),
            },
        ),
        "gpt": (
            GPT(vocabulary=1024, width=256, layers=4, heads=8, context=128),
            "causal-lm",
            {"tokens": torch.randint(0, 1024, (16, 129), generator=draw)},
        ),
    }


def eager_step(
    module: nn.Module, task: str, batch: dict[str, Tensor], *, fused: bool
) -> Callable[[], object]:
    """Return one eager float32 training step of the module."""
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=1e-3, weight_decay=0.01, fused=fused or None
    )

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        if task == "causal-lm":
            logits = module(batch["tokens"][:, :-1])
            target = batch["tokens"][:, 1:].reshape(-1)
            loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), target)
        else:
            loss = functional.cross_entropy(module(batch["features"]), batch["label"])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def traced_step(
    module: nn.Module, task: str, batch: dict[str, Tensor], profile: Profile
) -> tuple[Program, dict[str, Tensor]]:
    """Return the step Program of the module and its inputs."""
    traced = trace_model(module, task, batch, profile=profile)
    program = step_program(traced.grad, OPTIMIZER, 1, profile=profile)
    inputs = zero_state(state_types(OPTIMIZER, traced.layout.elements))
    inputs["params"] = traced.initial_params
    inputs |= {name: value.unsqueeze(0) for name, value in batch.items()}
    inputs["seeds"] = torch.zeros(1, dtype=torch.int64)
    return program, {port.name: inputs[port.name] for port in program.inputs}


def exact_step(program: Program, inputs: dict[str, Tensor]) -> Callable[[], object]:
    """Return one exact training step, its state carried over."""
    executable = compile_program(program, "native")
    state = dict(inputs)
    names = [output.name for output in program.outputs if output.role == "state"]

    def step() -> None:
        after = executable.run(state)
        state.update({name: after[name] for name in names})

    return step


def cold_seconds(program: Program, inputs: dict[str, Tensor]) -> float:
    """Return the seconds from process start to the end of the first step."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "program").write_bytes(to_bytes(program))
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in inputs.items()}, f"{place}/inputs")
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchmarks.cold", place], check=True)
        return time.perf_counter() - start


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Measure every model; `quick` spends 10 seconds on each."""
    torch.set_num_threads(1)
    seconds = 8.0 if quick else 40.0
    result: dict[str, Any] = {"ratio": {}, "ratio_narrow": {}, "ratio_fused": {}, "ms": {}}
    for name, (module, task, batch) in cases().items():
        wide, inputs = traced_step(module, task, batch, WIDE)
        narrow, _ = traced_step(module, task, batch, NARROW)
        taken = in_turn(
            {
                "eager": eager_step(module, task, batch, fused=False),
                "exact": exact_step(wide, inputs),
                "narrow": exact_step(narrow, inputs),
                "fused": eager_step(module, task, batch, fused=True),
            },
            seconds=seconds,
        )
        result["ratio"][name] = round(median_ratio(taken["exact"], taken["eager"]), 3)
        result["ratio_narrow"][name] = round(median_ratio(taken["narrow"], taken["eager"]), 3)
        result["ratio_fused"][name] = round(median_ratio(taken["exact"], taken["fused"]), 3)
        result["ms"][name] = {key: round(median_ms(values), 2) for key, values in taken.items()}
        note(f"{name}: {result['ratio'][name]} wide, {result['ratio_narrow'][name]} narrow")
        if name == "gpt":
            cold_seconds(wide, inputs)
            result["cold_seconds"] = round(cold_seconds(wide, inputs), 2)
    return result
