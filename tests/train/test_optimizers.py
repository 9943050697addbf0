"""Optimizers against torch.optim and Hugging Face's schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from skerry.exact import compile_program
from skerry.program import F32, I64, Builder
from skerry.train import (
    InvalidOptimizer,
    Optimizer,
    apply_program,
    initial_state_program,
    learning_rate,
    state_types,
)
from skerry.train.optimizers import bias_correction

ELEMENTS = 4500  # more than one run of the sum of squares, and a rest
STEPS = 12


def peer(optimizer: Optimizer, parameter: torch.nn.Parameter) -> torch.optim.Optimizer:
    if optimizer.kind == "adamw":
        return torch.optim.AdamW(
            [parameter],
            lr=optimizer.learning_rate,
            betas=optimizer.betas,
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
        )
    return torch.optim.SGD(
        [parameter],
        lr=optimizer.learning_rate,
        momentum=optimizer.momentum,
        nesterov=optimizer.nesterov,
        weight_decay=optimizer.weight_decay,
    )


def share_of_peak(optimizer: Optimizer) -> Callable[[int], float]:
    """Return Hugging Face's factor of the rate at each step, as its source has it."""

    def factor(step: int) -> float:
        warmup, end = optimizer.warmup_steps, optimizer.max_steps
        if step < warmup:
            return step / max(1, warmup)
        if optimizer.schedule == "constant":
            return 1.0
        if optimizer.schedule == "linear":
            return max(0.0, (end - step) / max(1, end - warmup))
        progress = (step - warmup) / max(1, end - warmup)
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))

    return factor


CASES = [
    Optimizer(learning_rate=1e-2),
    Optimizer(learning_rate=1e-2, eps=1e-3, betas=(0.0, 0.99), schedule="linear", max_steps=10),
    Optimizer(
        learning_rate=1e-2, weight_decay=0.1, max_grad_norm=1.0,
        schedule="cosine", warmup_steps=3, max_steps=20,
    ),
    Optimizer(kind="sgd", learning_rate=1e-3),
    Optimizer(kind="sgd", learning_rate=1e-3, momentum=0.9, warmup_steps=4),
    Optimizer(
        kind="sgd", learning_rate=1e-2, momentum=0.9, nesterov=True, weight_decay=0.01,
        max_grad_norm=0.5,
    ),
]  # fmt: skip


@pytest.mark.parametrize("optimizer", CASES, ids=lambda o: f"{o.kind}-{o.schedule}")
def test_a_run_of_steps_equals_torch(optimizer: Optimizer) -> None:
    draw = torch.Generator().manual_seed(7)
    first_P = torch.randn(ELEMENTS, generator=draw)
    parameter = torch.nn.Parameter(first_P.clone())
    theirs = peer(optimizer, parameter)
    schedule = torch.optim.lr_scheduler.LambdaLR(theirs, share_of_peak(optimizer))
    start = compile_program(initial_state_program(state_types(optimizer, ELEMENTS)))
    state = start.run({"params": first_P})
    apply = compile_program(apply_program(ELEMENTS, optimizer, 2))
    for _ in range(STEPS):
        # Gradients over several orders of magnitude.
        grads_SP = torch.randn(2, ELEMENTS, generator=draw) * 10 ** torch.randn(
            ELEMENTS, generator=draw
        )
        parameter.grad = grads_SP.mean(0)
        if optimizer.max_grad_norm:
            torch.nn.utils.clip_grad_norm_([parameter], optimizer.max_grad_norm)
        theirs.step()
        schedule.step()
        state = apply.run({**state, "grads": grads_SP})
    moved = (parameter.detach() - first_P).abs().max().item()
    torch.testing.assert_close(
        state["params"], parameter.detach(), rtol=1e-6, atol=1e-5 * max(moved, 0.1)
    )
    assert state["step"].item() == STEPS


def rate_at(optimizer: Optimizer, step: int) -> float:
    b = Builder("rate")
    b.output("rate", learning_rate(b, optimizer, b.input("step", "state", I64)))
    made = compile_program(b.build(), "reference").run({"step": torch.tensor(step)})
    return made["rate"].item()


@given(
    st.sampled_from(["constant", "linear", "cosine"]), st.integers(0, 20), st.integers(1, 300),
    st.integers(0, 400),
)  # fmt: skip
def test_the_rate_follows_hugging_face_up_to_max_steps(
    schedule: str, warmup: int, span: int, step: int
) -> None:
    optimizer = Optimizer(
        learning_rate=0.5,
        schedule=schedule,  # type: ignore[arg-type]
        warmup_steps=warmup,
        max_steps=warmup + span,
    )
    expected = 0.5 * share_of_peak(optimizer)(min(step, optimizer.max_steps))
    assert rate_at(optimizer, step) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_ends_at_its_minimum_and_stays_there(schedule: str) -> None:
    optimizer = Optimizer(
        learning_rate=1.0,
        schedule=schedule,  # type: ignore[arg-type]
        max_steps=100,
        learning_rate_min=0.25,
    )
    rates = [rate_at(optimizer, step) for step in (0, 50, 100, 1000)]
    assert rates == pytest.approx([1.0, 0.625, 0.25, 0.25], rel=1e-6)


@given(st.sampled_from([0.5, 0.9, 0.95, 0.999, 0.9999]), st.integers(1, 10**6))
def test_the_bias_correction_has_no_cancellation(beta: float, step: int) -> None:
    b = Builder("correction")
    b.output("c", bias_correction(b, beta, b.input("t", "given", F32)))
    made = compile_program(b.build(), "reference").run({"t": torch.tensor(float(step))})
    assert made["c"].item() == pytest.approx(-math.expm1(step * math.log(beta)), rel=5e-7)


def one_step(optimizer: Optimizer, grad_P: Tensor) -> Tensor:
    elements = grad_P.shape[0]
    types = state_types(optimizer, elements)
    state = {name: torch.zeros(kind.shape) for name, kind in types.items()}
    state["step"] = torch.tensor(0)
    apply = compile_program(apply_program(elements, optimizer, 1), "torch")
    return apply.run({**state, "grads": grad_P[None]})["params"]


def test_clipping_sees_many_small_elements_beside_a_large_one() -> None:
    optimizer = Optimizer(kind="sgd", learning_rate=1.0, max_grad_norm=1.0)
    grad_P = torch.full((200_000,), 0.01)
    grad_P[0] = 100.0
    norm = grad_P.double().norm()
    clipped = -one_step(optimizer, grad_P).double()
    torch.testing.assert_close(clipped, grad_P.double() / norm, rtol=1e-5, atol=0)


def test_clipping_leaves_a_small_gradient_alone() -> None:
    optimizer = Optimizer(kind="sgd", learning_rate=1.0, max_grad_norm=10.0)
    grad_P = torch.tensor([0.5, -0.25, 1e-30])
    assert torch.equal(one_step(optimizer, grad_P), -grad_P)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"eps": float("inf")},
        {"betas": (0.9, 1.0)},
        {"warmup_steps": -1},
        {"max_steps": -1},
        {"nesterov": True},
        {"learning_rate": 0.1, "learning_rate_min": 0.2},
        {"schedule": "cosine", "warmup_steps": 10, "max_steps": 10},
    ],
)
def test_an_optimizer_out_of_range_names_the_key(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidOptimizer) as caught:
        Optimizer(**wrong)  # type: ignore[arg-type]
    assert caught.value.name in wrong
