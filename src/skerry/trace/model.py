"""From an nn.Module to Programs.

What    `trace_model(model, task, batch)` returns a `Traced`: the Programs `grad`, `evaluate` and
        `predict`, the layout of the flat parameters, and their values as the model holds them.
Why     Only the submitter's machine needs the model's code. Everyone else runs, prices and checks
        the Programs.
Ports   state "params" f32[P]; each field of the batch as data; frozen parameters as given
        "frozen.NAME"; chance "seed" i64[], in `grad` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from skerry.program import (
    F32,
    I64,
    WIDE,
    Builder,
    DType,
    Layout,
    Profile,
    Program,
    TensorType,
    Value,
)
from skerry.trace.capture import capture
from skerry.trace.errors import Place, UnsupportedOp, UntraceableModel
from skerry.trace.init import trace_init
from skerry.trace.locate import explained, place_of
from skerry.trace.lower import lower
from skerry.trace.lowering import DTYPES
from skerry.trace.tasks import TASKS, Batch, Loss, Task, check_batch, logits

_FROM_PROGRAM: Final = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}

#: model, batch -> tensors by name.
Body: TypeAlias = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
Types: TypeAlias = Mapping[str, TensorType]


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
        init: chance seed -> state params; None where the values above are the start.
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
    build: Callable[[], nn.Module] | None = None,
) -> Traced:
    """Return the Programs of a model.

    Args:
        model: any module; it is traced in train mode for `grad` (modules that are in eval mode
            inside a model in train mode stay so) and in eval mode for the rest, and left as it was.
        task: "causal-lm", "classification", "regression", or a function (model, batch) -> loss.
        batch: the type, or an example, of each field of one shard.
        profile: the widths of exact products and sums.
        predict_rows: the rows that `predict` reads; those of `batch` when None.
        build: makes the model anew; when given, its initial weights are traced too.

    Raises:
        UnsupportedOp: an operation has no meaning in a Program; names module and source line.
        UntraceableModel: the model is no static graph of float32.
    """
    tracing = _Tracing(model, {name: _type_of(kind) for name, kind in batch.items()}, profile)
    known = _task(task, tracing.batch)
    training = {module: module.training for module in model.modules()}
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    try:
        if not model.training:
            model.train()
        grad = tracing.grad(task if known is None else known.step_loss)  # type: ignore[arg-type]
        model.eval()
        if known is None:
            evaluate, predict = tracing.evaluate_loss(task), None  # type: ignore[arg-type]
        else:
            evaluate, predict = tracing.evaluate(known, predict_rows)
    finally:
        for module, was in training.items():
            module.training = was
        for buffer, before in buffers.items():
            buffer.copy_(before)
    flat = [parameter.detach().reshape(-1) for parameter in tracing.trained.values()]
    return Traced(
        grad=grad,
        evaluate=evaluate,
        predict=predict,
        layout=tracing.layout,
        initial_params=torch.cat(flat).clone(),
        init=None if build is None else trace_init(build, tracing.layout, profile=profile),
        frozen=tracing.frozen,
    )


def _task(task: str | Loss, batch: Types) -> Task | None:
    if not isinstance(task, str):
        return None
    known = TASKS.get(task)
    if known is None:
        raise UntraceableModel(
            f"there is no task {task!r}", next_step=f"choose one of {', '.join(TASKS)}"
        )
    check_batch(known, batch)
    return known


def _type_of(kind: TensorType | Tensor) -> TensorType:
    if isinstance(kind, TensorType):
        return kind
    dtype: DType | None = DTYPES.get(kind.dtype)
    if dtype is None:
        raise UntraceableModel(
            f"a field of the batch is {kind.dtype}", next_step="give float32, int64 or bool"
        )
    return TensorType(dtype, tuple(kind.shape))


class _WithBody(nn.Module):
    """A model and what is to be computed with it, so that functional_call can swap parameters."""

    def __init__(self, model: nn.Module, body: Body) -> None:
        super().__init__()
        self.model = model
        self.body = body

    def forward(self, batch: Batch) -> Mapping[str, Tensor]:
        """Run the body on the model."""
        return self.body(self.model, batch)


class _Tracing:
    """One model on its way to Programs."""

    def __init__(self, model: nn.Module, batch: Types, profile: Profile) -> None:
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

    def grad(self, loss: Loss) -> Program:
        """Return the Program of the gradient of one shard."""

        def step(parameters: Mapping[str, Tensor], run: Callable[[Body], Any]) -> dict[str, Tensor]:
            leaves = {name: parameters[name].requires_grad_() for name in self.trained}
            with torch.enable_grad():
                value = run(lambda model, batch: {"loss": loss(model, batch)})["loss"]
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise UntraceableModel(
                    "the loss is not one number", next_step="return loss.mean() or loss.sum()"
                )
            value = value.reshape(())
            grads = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
            return {"": value.detach(), **dict(zip(leaves, grads, strict=True))}

        captured = self._capture(step, self.batch)
        builder = Builder("grad", self.profile)
        bound = self._ports(builder, self.batch)
        seed = builder.input("seed", "chance", I64)
        results = captured.lowered(builder, bound, seed)
        value = results.pop("")
        builder.output("grad", builder.pack(results, self.layout))
        builder.output("loss", value, "metric")
        return builder.build()

    def evaluate(self, task: Task, rows: int | None) -> tuple[Program, Program]:
        """Return the Programs of evaluation and of prediction, from one recording if possible."""
        kind = self.batch[task.reads]
        inputs = (kind.shape[0], *kind.shape[1:])
        if task.drops:
            inputs = (kind.shape[0], kind.shape[1] - task.drops)
        read = TensorType(kind.dtype, inputs)

        def both(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
            made = logits(model, batch["model input"])
            return {"logits": made, **task.sums(made, batch)}

        captured = self._capture(_plain(both), {**self.batch, "model input": read})
        builder = Builder("evaluate", self.profile)
        bound = self._ports(builder, self.batch)
        given = bound[len(self.trained) + len(self.frozen) + list(self.batch).index(task.reads)]
        cut = builder.slice_axis(given, 1, 0, inputs[1]) if task.drops else given
        for name, value in captured.lowered(builder, [*bound, cut], None).items():
            if name != "logits":
                builder.output(name, value, "metric")
        if rows in (None, kind.shape[0]):
            return builder.build(), self._predict(task, read, captured)
        read = TensorType(kind.dtype, (rows or 1, *inputs[1:]))
        alone = self._capture(
            _plain(lambda model, batch: {"logits": logits(model, batch[task.reads])}),
            {task.reads: read},
        )
        return builder.build(), self._predict(task, read, alone)

    def _predict(self, task: Task, read: TensorType, captured: _Captured) -> Program:
        builder = Builder("predict", self.profile)
        *parameters, inputs = self._ports(builder, {task.reads: read})
        # A recording with targets still wants values for them; nothing of them reaches the logits.
        unread = [
            builder.full(0, kind.shape, kind.dtype)
            for kind in self.batch.values()
            if captured.inputs > len(parameters) + 1
        ]
        made = captured.lowered(builder, [*parameters, *unread, inputs], None)
        builder.output("logits", made["logits"])
        return builder.build()

    def evaluate_loss(self, loss: Loss) -> Program:
        """Return the Program of evaluation for a loss of the caller's own: one batch, one count."""
        captured = self._capture(
            _plain(lambda model, batch: {"loss_sum": loss(model, batch).reshape(())}), self.batch
        )
        builder = Builder("evaluate", self.profile)
        made = captured.lowered(builder, self._ports(builder, self.batch), None)
        builder.output("loss_sum", made["loss_sum"], "metric")
        builder.output("count", builder.full(1, (), I64), "metric")
        return builder.build()

    # -- recording

    def _capture(
        self,
        function: Callable[[dict[str, Tensor], Callable[[Body], Any]], Mapping[str, Tensor]],
        batch: Types,
    ) -> _Captured:
        """Record function(parameters by name, run), where run(body) runs the model."""
        fields, names = list(batch), list[str]()
        labels = [*self.trained, *(name.removeprefix("frozen.") for name in self.frozen)]

        def flat(values: Sequence[Tensor], *given: Tensor) -> list[Tensor]:
            placed = {name: value.detach() for name, value in zip(labels, values, strict=True)}
            examples = dict(zip(fields, given, strict=True))

            def run(body: Body) -> Any:
                swapped = {f"model.{name}": value for name, value in placed.items()}
                return functional_call(_WithBody(self.model, body), swapped, (examples,))

            results = function(placed, run)
            names[:] = list(results)
            return [value.detach() for value in results.values()]

        values = [*self.trained.values(), *self.frozen.values()]
        arguments = (
            values,
            *(torch.zeros(t.shape, dtype=_FROM_PROGRAM[t.dtype]) for t in batch.values()),
        )
        with explained(self.model):
            graph = capture(flat, arguments)
        return _Captured(
            graph,
            names,
            len(values) + len(fields),
            lambda node: place_of(self.model, flat, arguments, node),
        )

    def _ports(self, builder: Builder, batch: Types) -> list[Value]:
        """Declare the ports; return their values in placeholder order."""
        params = builder.input("params", "state", F32, (self.layout.elements,))
        fields = [builder.input(name, "data", t.dtype, t.shape) for name, t in batch.items()]
        frozen = [
            builder.input(name, "given", F32, tuple(tensor.shape))
            for name, tensor in self.frozen.items()
        ]
        return [*builder.unpack(params, self.layout).values(), *frozen, *fields]


def _plain(
    body: Body,
) -> Callable[[dict[str, Tensor], Callable[[Body], Any]], Mapping[str, Tensor]]:
    """Return the recordable function that only runs the model, without gradients."""

    def function(parameters: dict[str, Tensor], run: Callable[[Body], Any]) -> Mapping[str, Tensor]:
        with torch.no_grad():
            made: Mapping[str, Tensor] = run(body)
        return made

    return function


@dataclass(frozen=True, slots=True)
class _Captured:
    """A recorded function: its graph, the names of its results, and who asked for a node."""

    graph: fx.GraphModule
    names: Sequence[str]
    inputs: int
    place: Callable[[str], Place]

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
