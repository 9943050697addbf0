"""Every op of a real training step is judged to the bits that the step has."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from benchmarks.adjudicate import Tally, opened
from benchmarks.step_run import StepRun
from scripts.evm import judges
from skerry.models.examples import CNN, GPT
from skerry.program import judged_node
from skerry.trace import trace_model
from skerry.train import Optimizer, state_types, step_program

NODE_BYTES_MAX = 4096


def the_step(module: nn.Module, task: str, batch: dict[str, torch.Tensor]) -> StepRun:
    optimizer = Optimizer(kind="adamw", learning_rate=1e-3, weight_decay=0.01)
    traced = trace_model(module, task, batch)
    program = step_program(traced.grad, optimizer, 1)
    params = traced.initial_params
    inputs = {
        name: torch.zeros(kind.shape, dtype=torch.int64 if kind.dtype == "i64" else torch.float32)
        for name, kind in state_types(optimizer, params.numel()).items()
    }
    inputs["params"] = params
    inputs |= {name: x.unsqueeze(0) for name, x in batch.items()}
    inputs |= {"seeds": torch.tensor([7])}
    return StepRun(program, {port.name: inputs[port.name] for port in program.inputs})


STEPS = {
    "gpt": lambda: the_step(
        GPT(vocabulary=11, width=8, layers=1, heads=2, context=6),
        "causal-lm",
        {"tokens": torch.randint(0, 11, (2, 7), generator=torch.Generator().manual_seed(1))},
    ),
    "cnn": lambda: the_step(
        CNN(image=(1, 8, 8), channels=(2, 3)),
        "classification",
        {
            "features": torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2)),
            "label": torch.tensor([1, 3]),
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_one_element_of_every_node_of_a_step_is_judged_right(name: str) -> None:
    run, tally, rng = STEPS[name](), Tally(), random.Random(3)
    nodes = run.program.nodes
    other = run.torch_columns(range(len(nodes)))
    for at, node in enumerate(nodes):
        assert len(judged_node(run.program, at)) <= NODE_BYTES_MAX
        if node.op == "input":
            continue
        element = rng.randrange(node.type.elements)
        opened(tally, judges(), run, at, element)
        assert run.bits(at, element) == other[at][element]
    assert not tally.mismatches
    assert sum(tally.cases.values()) > 200
