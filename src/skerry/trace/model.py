"""From an nn.Module to Programs.

What    `trace_model(model, task, batch)` returns a `Traced`: the Programs `grad`, `evaluate` and
        `predict`, the layout of the flat parameters, and their values as the model holds them.
Why     Only the submitter's machine needs the model's code. Everyone else runs, prices and checks
        the Programs.
Ports   state "params" f32[P]; each field of the batch as data; chance "seed" i64[] (grad only);
        frozen parameters and big buffers as given "frozen.NAME".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from skerry.program import F32, I64, WIDE, Builder, Layout, Profile, Program, TensorType, Value
from skerry.trace.capture import capture
from skerry.trace.errors import UnsupportedOp, UntraceableModel
from skerry.trace.locate import explained, place_of
from skerry.trace.lower import lower
from skerry.trace.lowering import DTYPES
from skerry.trace.tasks import TASKS, Batch, Loss, Task, called, check_batch

_FROM_PROGRAM: Final = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}


@dataclass(frozen=True, slots=True)
class Traced:
    """A model as Programs.

    Attributes:
        grad: state params, data, chance seed -> value "grad" f32[P], metric "loss" f32[].
        evaluate: state params, data -> metrics "loss_sum" f32[], "count" i64[], and "correct"
            i64[] for classification.
        predict: state params, data -> value "logits"; None when the loss is the caller's own.
        layout: where each trainable parameter lies in the flat vector.
        initial_params: f32[P], the values that the model holds.
        init: chance seed -> state params; None when the weights are given.
        frozen: the values of the given ports.
    """

    grad: Program
    evaluate: Program
    predict: Program | None
    layout: Layout
    initial_params: Tensor
    init: Program | None = None
    frozen: Mapping[str, Tensor] = field(default_factory=dict)


def trace_model(
    model: nn.Module,
    task: str | Loss,
    batch: Mapping[str, TensorType | Tensor],
    *,
    profile: Profile = WIDE,
    predict_rows: int | None = None,
) -> Traced:
    """Return the Programs of a model.

    Args:
        model: any module; it is traced in train mode for `grad` and in eval mode for the rest,
            and left as it was.
        task: "causal-lm", "classification", "regression", or a function (model, batch) -> loss.
        batch: the type, or an example, of each field of one shard.
        profile: the widths of exact products and sums.
        predict_rows: the rows of a batch that `predict` reads; those of `batch` when None.

    Raises:
        UnsupportedOp: an operation has no meaning in a Program; names module and source line.
        UntraceableModel: the model is no static graph of float32.
    """
    types = {name: _type_of(kind) for name, kind in batch.items()}
    known = TASKS.get(task) if isinstance(task, str) else None
    if isinstance(task, str) and known is None:
        raise UntraceableModel(
            f"there is no task {task!r}", next_step=f"choose one of {', '.join(TASKS)}"
        )
    if known is not None:
        check_batch(known, types)
    desk = _Tracing(model, types, profile)
    modes = {module: module.training for module in model.modules()}
    try:
        model.train()
        grad = desk.grad(known.loss if known else task)  # type: ignore[arg-type]
        model.eval()
        if known is None:
            evaluate, predict = desk.evaluate_loss(task), None  # type: ignore[arg-type]
        else:
            evaluate, predict = desk.evaluate(known, predict_rows)
    finally:
        for module, training in modes.items():
            module.training = training
    return Traced(
        grad=grad, evaluate=evaluate, predict=predict, layout=desk.layout,
        initial_params=torch.cat([p.detach().reshape(-1) for p in desk.trained.values()]).clone(),
        frozen=desk.frozen,
    )  # fmt: skip


def _type_of(kind: TensorType | Tensor) -> TensorType:
    if isinstance(kind, TensorType):
        return kind
    dtype = DTYPES.get(kind.dtype)
    if dtype is None:
        raise UntraceableModel(
            f"a field of the batch is {kind.dtype}", next_step="give float32, int64 or bool"
        )
    return TensorType(dtype, tuple(kind.shape))


class _Tracing:
    """One model on its way to Programs."""

    def __init__(self, model: nn.Module, batch: Mapping[str, TensorType], profile: Profile) -> None:
        self.model = model
        self.batch = batch
        self.profile = profile
        parameters = dict(model.named_parameters())
        self.trained = {name: p for name, p in parameters.items() if p.requires_grad}
        self.frozen = {
            f"frozen.{name}": p.detach() for name, p in parameters.items() if not p.requires_grad
        }
        _check_parameters(parameters)
        if not self.trained:
            raise UntraceableModel(
                "the model has no parameter to train", next_step="set requires_grad on one"
            )
        self.layout = Layout.of({name: tuple(p.shape) for name, p in self.trained.items()})
        self._named, self._fixed = called(model)

    # -- what is captured

    def _module(self, parameters: Mapping[str, Tensor]) -> Callable[..., Any]:
        """Return the model as a function with these parameters."""
        model, named, fixed = self.model, self._named, self._fixed

        def call(*inputs: Any, **more: Any) -> Any:
            if named and inputs and "input_ids" not in more:
                more = {"input_ids": inputs[0], **more}
                inputs = inputs[1:]
            return functional_call(model, dict(parameters), inputs, {**fixed, **more})

        return call

    def _placed(self, values: Sequence[Tensor], *, grad: bool) -> dict[str, Tensor]:
        """Name the flat list of parameter values, trained ones first."""
        names = [*self.trained, *(name.removeprefix("frozen.") for name in self.frozen)]
        trained = len(self.trained)
        return {
            name: value.detach().requires_grad_() if grad and at < trained else value.detach()
            for at, (name, value) in enumerate(zip(names, values, strict=True))
        }

    def _capture(self, function: Callable[..., Any], batch: Mapping[str, TensorType]) -> _Captured:
        """Record function(parameters, batch) -> tensors by name."""
        fields = list(batch)
        names: list[str] = []

        def flat(parameters: list[Tensor], *values: Tensor) -> list[Tensor]:
            results = function(parameters, dict(zip(fields, values, strict=True)))
            names[:] = list(results)
            return list(results.values())

        arguments = (
            [*self.trained.values(), *self.frozen.values()],
            *(
                torch.zeros(kind.shape, dtype=_FROM_PROGRAM[kind.dtype], device="cpu")
                for kind in batch.values()
            ),
        )
        with explained(self.model):
            graph = capture(flat, arguments)
        return _Captured(graph, names, lambda node: place_of(self.model, flat, arguments, node))

    # -- Programs

    def grad(self, loss: Loss) -> Program:
        """Return the Program of the gradient of one shard."""

        def step(parameters: list[Tensor], batch: Batch) -> dict[str, Tensor]:
            placed = self._placed(parameters, grad=True)
            with torch.enable_grad():
                value = loss(self._module(placed), batch)
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise UntraceableModel(
                    "the loss is not one number", next_step="return loss.mean() or loss.sum()"
                )
            trained = [placed[name] for name in self.trained]
            grads = torch.autograd.grad(value.reshape(()), trained, materialize_grads=True)
            return {
                "loss": value.detach().reshape(()),
                **dict(zip(self.trained, grads, strict=True)),
            }

        captured = self._capture(step, self.batch)
        builder = Builder("grad", self.profile)
        seed, bound = self._ports(builder, self.batch, chance=True)
        results = captured.lowered(builder, bound, seed)
        loss_value = results.pop("loss")
        builder.output("grad", builder.pack(results, self.layout))
        builder.output("loss", loss_value, "metric")
        return builder.build()

    def evaluate(self, task: Task, predict_rows: int | None) -> tuple[Program, Program]:
        """Return the Programs of evaluation and of prediction."""
        captured = self._capture(
            lambda parameters, batch: _named_sums(
                *task.sums(self._module(self._placed(parameters, grad=False)), batch)
            ),
            self.batch,
        )
        builder = Builder("evaluate", self.profile)
        _, bound = self._ports(builder, self.batch, chance=False)
        for name, value in captured.lowered(builder, bound, None).items():
            if name != "logits":
                builder.output(name, value, "metric")
        return builder.build(), self._predict(task, predict_rows)

    def _predict(self, task: Task, rows: int | None) -> Program:
        kind = self.batch[task.field]
        length = kind.shape[1:] if task.name != "causal-lm" else (kind.shape[1] - 1,)
        batch = {task.field: TensorType(kind.dtype, (rows or kind.shape[0], *length))}
        captured = self._capture(
            lambda parameters, fields: {
                "logits": _logits(self._module(self._placed(parameters, grad=False)), task, fields)
            },
            batch,
        )
        builder = Builder("predict", self.profile)
        _, bound = self._ports(builder, batch, chance=False)
        builder.output("logits", captured.lowered(builder, bound, None)["logits"])
        return builder.build()

    def evaluate_loss(self, loss: Loss) -> Program:
        """Return the Program of evaluation for a loss of the caller's own."""

        def sums(parameters: list[Tensor], batch: Batch) -> dict[str, Tensor]:
            value = loss(self._module(self._placed(parameters, grad=False)), batch)
            return {"loss_sum": value.detach().reshape(())}

        captured = self._capture(sums, self.batch)
        builder = Builder("evaluate", self.profile)
        _, bound = self._ports(builder, self.batch, chance=False)
        builder.output("loss_sum", captured.lowered(builder, bound, None)["loss_sum"], "metric")
        builder.output("count", builder.full(1, (), I64), "metric")
        return builder.build()

    def _ports(
        self, builder: Builder, batch: Mapping[str, TensorType], *, chance: bool
    ) -> tuple[Value | None, list[Value]]:
        """Declare the ports; return the seed and the values in placeholder order."""
        params = builder.input("params", "state", F32, (self.layout.elements,))
        fields = [
            builder.input(name, "data", kind.dtype, kind.shape) for name, kind in batch.items()
        ]
        frozen = [
            builder.input(name, "given", F32, tuple(tensor.shape))
            for name, tensor in self.frozen.items()
        ]
        seed = builder.input("seed", "chance", I64) if chance else None
        return seed, [*builder.unpack(params, self.layout).values(), *frozen, *fields]


@dataclass(frozen=True, slots=True)
class _Captured:
    """A recorded function: its graph and the names of its results."""

    graph: fx.GraphModule
    names: list[str]
    place: Callable[[str], Any]

    def lowered(
        self, builder: Builder, inputs: Sequence[Value], seed: Value | None
    ) -> dict[str, Value]:
        """Lower the graph; a refusal is told its place in the model."""
        try:
            values = lower(self.graph, builder, inputs, seed)
        except UnsupportedOp as error:
            raise error.placed(self.place(error.node)) from None
        results = {}
        for name, value in zip(self.names, values, strict=True):
            assert value is not None, f"{name} has no value"
            results[name] = value
        return results


def _named_sums(sums: dict[str, Tensor], logits: Tensor) -> dict[str, Tensor]:
    return {**{name: value.detach() for name, value in sums.items()}, "logits": logits.detach()}


def _logits(model: Callable[..., Any], task: Task, batch: Batch) -> Tensor:
    from skerry.trace.tasks import logits_of

    return logits_of(model(batch[task.field])).detach()


def _check_parameters(parameters: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise UntraceableModel(
                f"parameter {name} is {parameter.dtype}, and Programs hold float32",
                next_step="call model.float() before tracing",
            )
        if parameter.is_meta:
            raise UntraceableModel(
                f"parameter {name} has no values", next_step="build the model on the cpu"
            )
