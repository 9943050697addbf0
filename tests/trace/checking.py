"""Hold a traced model to what PyTorch computes for the same module, batch and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from skerry.exact import compile_program
from skerry.program import Program
from skerry.trace import TASKS, Traced, trace_model
from skerry.trace.tasks import logits

Loss = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return normal draws that are the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(high: int, *shape: int, seed: int = 0) -> Tensor:
    """Return integers below `high` that are the same in every run."""
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def run(program: Program, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Run a Program exactly on the ports it has."""
    executable = compile_program(program, "torch")
    return executable.run({port.name: given[port.name] for port in program.inputs})


def expected(
    model: nn.Module, task: str | Loss, batch: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return PyTorch's loss and flat gradient."""
    loss = TASKS[task].step_loss(model, batch) if isinstance(task, str) else task(model, batch)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    grads = torch.autograd.grad(loss, trained, materialize_grads=True)
    return loss.detach(), torch.cat([grad.reshape(-1) for grad in grads])


def assert_near(
    made: Tensor, wanted: Tensor, tolerance: float, *, least_scale: float = 1e-3
) -> None:
    """Compare on the scale of the greatest element, as gradients are used."""
    scale = max(least_scale, float(wanted.abs().max()))
    worst = float((made - wanted).abs().max()) / scale
    assert worst <= tolerance, f"differs by {worst:.1e} of the greatest element"


def assert_agrees(
    model: nn.Module,
    task: str | Loss,
    batch: Mapping[str, Tensor],
    *,
    tolerance: float = 1e-5,
) -> Traced:
    """Trace, run and compare loss, gradient, logits and sums with PyTorch; return the Programs."""
    traced = trace_model(model, task, batch)
    given = {"params": traced.initial_params, "seed": torch.tensor(7), **batch, **traced.frozen}
    made = run(traced.grad, given)
    loss, grad = expected(model, task, batch)
    assert_near(made["loss"], loss, tolerance, least_scale=1.0)
    assert_near(made["grad"], grad, tolerance)
    if isinstance(task, str):
        _assert_predicts(model, TASKS[task].inputs(batch), traced, given, task, tolerance)
    return traced


def _assert_predicts(
    model: nn.Module,
    inputs: Tensor,
    traced: Traced,
    given: Mapping[str, Tensor],
    task: str,
    tolerance: float,
) -> None:
    was = model.training
    model.eval()
    with torch.no_grad():
        wanted = logits(model, inputs)
        sums = TASKS[task].sums(wanted, given)
    model.train(was)
    assert traced.predict is not None
    made = run(traced.predict, {**given, TASKS[task].reads: inputs})["logits"]
    assert_near(made, wanted, tolerance)
    for name, value in run(traced.evaluate, given).items():
        if value.dtype == torch.int64:
            assert torch.equal(value, sums[name]), name
        else:
            assert_near(value, sums[name], tolerance)


class Holder(nn.Module):
    """A model that is one function of one parameter and the batch."""

    def __init__(self, weight: Tensor, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.function = function

    def forward(self, **fields: Tensor) -> Tensor:
        """Return the function of the parameter."""
        return self.function(self.weight, **fields)


def assert_function_agrees(
    function: Callable[..., Tensor],
    weight: Tensor,
    tolerance: float = 2e-6,
    **fields: Tensor,
) -> Traced:
    """Compare a function of one tensor, and its gradient under uneven weights, with PyTorch."""

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        made: Tensor = model(**batch)
        uneven = torch.arange(made.numel(), dtype=torch.float32).reshape(made.shape)
        return (made * ((uneven % 7) - 2.5)).sum()

    return assert_agrees(Holder(weight, function), loss, fields, tolerance=tolerance)
