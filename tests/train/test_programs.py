"""One step in one Program, or shard by shard: the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skerry.exact import compile_program
from skerry.program import Builder, InvalidProgram, Program
from skerry.train import (
    Optimizer,
    apply_program,
    gradient_elements,
    initial_state_program,
    state_types,
    step_program,
)

ELEMENTS, BATCH = 10, 3


def gradient() -> Program:
    """Return a least-squares gradient with dropout on the features and given targets."""
    b = Builder("grad")
    params_P = b.input("params", "state", "f32", (ELEMENTS,))
    x_BP = b.input("x", "data", "f32", (BATCH, ELEMENTS))
    target_B1 = b.input("target", "given", "f32", (BATCH, 1))
    seed = b.input("seed", "chance", "i64")
    keep_BP = b.each("lt", b.uniform(seed, 0, x_BP.shape), 0.8)
    x_BP = b.select(keep_BP, x_BP, b.like(x_BP, 0.0))
    error_B1 = b.sub(b.sum_f32(b.mul(x_BP, params_P), (1,), keep=True), target_B1)
    b.output("grad", b.sum_f32(b.mul(x_BP, error_B1), (0,)))
    b.output("loss", b.mean_f32(b.mul(error_B1, error_B1), (0, 1)), "metric")
    return b.build()


def start(optimizer: Optimizer) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    program = initial_state_program(state_types(optimizer, ELEMENTS))
    return compile_program(program).run({"params": torch.randn(ELEMENTS, generator=draw)})


OPTIMIZERS = [
    Optimizer(max_grad_norm=1.0, weight_decay=0.1),
    Optimizer(kind="sgd", learning_rate=0.01, momentum=0.9),
]


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.kind)
def test_a_step_equals_the_gradients_of_its_shards_applied(
    optimizer: Optimizer, shards: int
) -> None:
    grad = compile_program(gradient())
    step = compile_program(step_program(gradient(), optimizer, shards))
    apply = compile_program(apply_program(ELEMENTS, optimizer, shards))
    draw = torch.Generator().manual_seed(4)
    whole = apart = start(optimizer)
    target = torch.randn(BATCH, 1, generator=draw)
    for turn in range(4):
        x = torch.randn(shards, BATCH, ELEMENTS, generator=draw)
        seeds = torch.arange(shards) + 100 * turn
        made = step.run({**whole, "x": x, "seeds": seeds, "target": target})
        loss = made.pop("loss")
        each = [
            grad.run({"params": apart["params"], "x": x[s], "seed": seeds[s], "target": target})
            for s in range(shards)
        ]
        apart = apply.run({**apart, "grads": torch.stack([one["grad"] for one in each])})
        whole = made
        assert all(torch.equal(whole[name], apart[name]) for name in whole)
        mean = torch.stack([one["loss"] for one in each]).mean()
        torch.testing.assert_close(loss, mean)


def test_shards_with_their_own_seeds_drop_different_features() -> None:
    optimizer = Optimizer(kind="sgd", learning_rate=1.0)
    step = compile_program(step_program(gradient(), optimizer, 1))
    x, target = torch.ones(1, BATCH, ELEMENTS), torch.ones(BATCH, 1)
    made = [
        step.run({**start(optimizer), "x": x, "seeds": torch.tensor([seed]), "target": target})
        for seed in (1, 1, 2)
    ]
    assert torch.equal(made[0]["params"], made[1]["params"])
    assert not torch.equal(made[0]["params"], made[2]["params"])


def test_one_shard_costs_no_copy() -> None:
    step = step_program(gradient(), Optimizer(), 1)
    moves = [node.op for node in step.nodes if node.op in ("concat", "pad", "take")]
    assert moves == []
    assert step.port("x").type.shape == (1, BATCH, ELEMENTS)
    assert step.shards == 1


def test_everything_but_the_parameters_starts_as_zeros() -> None:
    state = start(Optimizer())
    assert set(state) == {"params", "m", "v", "step"}
    assert not any(state[name].any() for name in ("m", "v", "step"))


def with_ports(**roles: str) -> Program:
    b = Builder("grad")
    ports = {name: b.input(name, role, "f32", (4,)) for name, role in roles.items()}  # type: ignore[arg-type]
    b.output("grad", next(iter(ports.values())))
    return b.build()


@pytest.mark.parametrize(
    ("grad", "reason"),
    [
        (with_ports(params="given"), "state params alone"),
        (with_ports(params="state", mean="state"), "state params alone"),
        (with_ports(params="state", seed="chance"), "one seed"),
    ],
)
def test_what_is_no_gradient_is_refused(grad: Program, reason: str) -> None:
    with pytest.raises(InvalidProgram, match=reason):
        gradient_elements(grad)
