"""A model that cannot be traced is told which operation, which module and which line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from skerry.trace import UnsupportedOp, UntraceableModel, trace_model
from tests.trace.checking import drawn, whole

BATCH = {"features": drawn(4, 8), "label": whole(8, 4)}


class Layer(nn.Module):
    """A linear layer, then a function under test."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


class Network(nn.Module):
    """Two layers, of which the second is at fault."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Layer(torch.tanh), Layer(function)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def refused(function: Callable[[Tensor], Tensor]) -> UnsupportedOp:
    with pytest.raises(UnsupportedOp) as caught:
        trace_model(Network(function), "classification", BATCH)
    return caught.value


def arc(x: Tensor) -> Tensor:
    return torch.acos(x)  # the line that asks


def test_an_unsupported_operation_names_itself_its_module_and_its_line() -> None:
    error = refused(arc)
    assert error.op == "aten.acos.default"
    assert error.place is not None
    assert (error.place.module, error.place.module_class) == ("blocks.1", "Layer")
    assert Path(error.place.file) == Path(__file__)
    assert "the line that asks" in error.place.code
    assert "cannot trace aten.acos.default" in str(error)
    assert "\nnext: " in str(error)


class Doubled(torch.autograd.Function):
    """A function whose derivative alone is unsupported."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return torch.acos(grad)


def test_an_unsupported_derivative_is_asked_for_by_its_forward_line() -> None:
    error = refused(lambda x: Doubled.apply(x))  # type: ignore[no-untyped-call]
    assert error.op == "aten.acos.default"
    assert error.place is not None
    assert error.place.module == "blocks.1"
    assert error.place.code == "return x * 2"


def overwritten(x: Tensor) -> Tensor:
    made = torch.zeros(4, 8)
    made[torch.arange(4), torch.arange(4)] = x[:, 0]
    return made


REASONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "double": (lambda x: x.double().float(), "torch.float64"),
    "half": (lambda x: x.bfloat16().float(), "torch.bfloat16"),
    "complex": (lambda x: torch.fft.fft(x).real, "_fft"),
    "dynamic shape": (lambda x: x[x > 0].sum() * x, "depends on the data"),
    "overwriting by index": (overwritten, "two writes may meet"),
    "product": (lambda x: x.prod(1, keepdim=True) * x, "rounds in an order"),
    "integer matmul": (lambda x: (x.long() @ x.long().t())[:, :1] * x, "product of integers"),
    "bits": (lambda x: (x.long() & 3) * x, "bits of integers"),
    "chance in evaluation": (lambda x: functional.dropout(x, 0.5), "nothing may be random"),
    "ceil mode": (
        lambda x: functional.max_pool2d(x[None, None], 3, ceil_mode=True).flatten(1).expand(4, -1),
        "ceil_mode",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_refusal_says_why(name: str) -> None:
    function, reason = REASONS[name]
    error = refused(function)
    assert reason in str(error)
    assert error.place is not None
    assert error.place.module == "blocks.1"


def untraceable(model: nn.Module, task: object = "classification", **batch: Tensor) -> str:
    with pytest.raises(UntraceableModel) as caught:
        trace_model(model, task, batch or BATCH)  # type: ignore[arg-type]
    assert caught.value.next_step
    return str(caught.value)


def test_a_branch_on_data_is_refused_with_its_line() -> None:
    words = untraceable(Network(lambda x: x if x.sum() > 0 else -x))
    assert "depends on the data" in words
    assert "module blocks.1 (Layer)" in words
    assert f"{Path(__file__).name}:" in words


def test_a_mistake_in_the_model_is_reported_with_its_module() -> None:
    words = untraceable(nn.Sequential(nn.Linear(8, 8), nn.Linear(7, 8)))
    assert "in module 1 (Linear)" in words


def test_batch_norm_in_training_is_refused_and_its_statistics_stay() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    with pytest.raises(UnsupportedOp, match="keeps statistics"):
        trace_model(model, "classification", BATCH)
    assert int(model[1].num_batches_tracked) == 0  # type: ignore[arg-type]
    assert not bool(model[1].running_mean.any())  # type: ignore[operator]


class Counting(nn.Linear):
    """A layer that keeps a buffer from one step to the next."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.steps: Tensor
        self.register_buffer("steps", torch.ones(8))

    def forward(self, input: Tensor) -> Tensor:
        self.steps.mul_(2)
        return super().forward(input) * self.steps


def test_a_buffer_that_changes_from_step_to_step_is_refused() -> None:
    model = Counting()
    with pytest.raises(UnsupportedOp, match="changes a buffer") as caught:
        trace_model(model, "classification", BATCH)
    assert caught.value.place is not None
    assert caught.value.place.code == "self.steps.mul_(2)"
    assert torch.equal(model.steps, torch.ones(8))


def test_parameters_in_half_precision_are_refused() -> None:
    assert "0.weight is torch.bfloat16" in untraceable(nn.Sequential(nn.Linear(8, 8)).bfloat16())


def test_a_model_without_anything_to_train_is_refused() -> None:
    assert "no parameter to train" in untraceable(nn.Linear(8, 8).requires_grad_(False))


def test_a_batch_that_is_not_the_tasks_is_refused() -> None:
    assert "needs the field tokens" in untraceable(nn.Linear(8, 8), "causal-lm")
    assert "[rows, length + 1]" in untraceable(nn.Embedding(8, 8), "causal-lm", tokens=whole(8, 4))
    assert "there is no task" in untraceable(nn.Linear(8, 8), "guessing")
    assert "torch.float64" in untraceable(nn.Linear(8, 8), features=drawn(4, 8).double())


def test_a_loss_that_is_no_number_is_refused() -> None:
    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        made: Tensor = model(batch["features"])
        return made

    assert "not one number" in untraceable(nn.Linear(8, 8), loss)


def test_a_model_without_logits_is_refused() -> None:
    class Silent(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return {"hidden": input}  # type: ignore[return-value]

    assert "returned dict, not logits" in untraceable(Silent(8, 8))
