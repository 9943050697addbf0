"""What a batch means and what is to be minimised.

What    A `Task` knows how one batch becomes model inputs and targets, the loss of a step, and the
        sums that evaluation reports. Three are built in; a callable `loss(model, batch)` is a task
        that brings its own.
Shapes  B rows, T tokens, V vocabulary, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from skerry.program import F32, I64, TensorType
from skerry.trace.errors import UntraceableModel

Batch: TypeAlias = Mapping[str, Tensor]
Model: TypeAlias = Callable[..., Any]
Loss: TypeAlias = Callable[[Any, Batch], Tensor]

IGNORED: Final = -100


@dataclass(frozen=True, slots=True)
class Task:
    """One built-in task.

    Attributes:
        name: what a job file calls it.
        fields: the fields of a batch and their element types.
        loss: the loss of one step.
        sums: the sums that evaluation reports, and the logits.
        field: the field that prediction reads.
    """

    name: str
    fields: Mapping[str, str]
    loss: Loss
    sums: Callable[[Model, Batch], tuple[dict[str, Tensor], Tensor]]
    field: str


def logits_of(output: Any) -> Tensor:
    """Return the logits of a model's output: the tensor itself, or its field `logits`."""
    found = getattr(output, "logits", output)
    if isinstance(found, Mapping):
        found = found.get("logits")
    if isinstance(found, (tuple, list)):
        found = found[0]
    if not isinstance(found, Tensor):
        raise UntraceableModel(
            f"the model returned {type(output).__name__}, not logits",
            next_step="return a tensor or an object with .logits, or give model.loss",
        )
    return found


# -- causal language models: tokens [B, T + 1]


def _rows(model: Model, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    tokens = batch["tokens"]
    logits_BTV = logits_of(model(tokens[:, :-1]))
    return logits_BTV, logits_BTV.flatten(0, 1), tokens[:, 1:].reshape(-1)


def _token_loss(model: Model, batch: Batch) -> Tensor:
    _, scores, target = _rows(model, batch)
    return functional.cross_entropy(scores, target)


def _token_sums(model: Model, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    logits_BTV, scores, target = _rows(model, batch)
    return {
        "loss_sum": functional.cross_entropy(scores, target, reduction="sum"),
        "count": (target != IGNORED).sum(),
    }, logits_BTV


# -- classification: features [B, ..], label [B]


def _class_loss(model: Model, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_of(model(batch["features"])), batch["label"])


def _class_sums(model: Model, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    logits_BC, label_B = logits_of(model(batch["features"])), batch["label"]
    return {
        "loss_sum": functional.cross_entropy(logits_BC, label_B, reduction="sum"),
        "count": (label_B != IGNORED).sum(),
        "correct": (logits_BC.argmax(1) == label_B).sum(),
    }, logits_BC


# -- regression: features [B, ..], label f32 [B, ..]


def _errors(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    made, label = logits_of(model(batch["features"])), batch["label"]
    if made.numel() != label.numel():
        raise UntraceableModel(
            f"the model gives {list(made.shape)} for labels {list(label.shape)}",
            next_step="let the last layer give as many numbers as a label has",
        )
    return made.reshape(label.shape) - label, made


def _square_loss(model: Model, batch: Batch) -> Tensor:
    return _errors(model, batch)[0].square().mean()


def _square_sums(model: Model, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    errors, made = _errors(model, batch)
    return {
        "loss_sum": errors.square().sum(),
        "count": torch.ones_like(batch["label"], dtype=torch.int64).sum(),
    }, made


TASKS: Final[Mapping[str, Task]] = {
    task.name: task
    for task in (
        Task("causal-lm", {"tokens": I64}, _token_loss, _token_sums, "tokens"),
        Task(
            "classification", {"features": F32, "label": I64}, _class_loss, _class_sums, "features"
        ),
        Task("regression", {"features": F32, "label": F32}, _square_loss, _square_sums, "features"),
    )
}


def check_batch(task: Task, batch: Mapping[str, TensorType]) -> None:
    """Refuse a batch whose fields are not those of the task."""
    for name, dtype in task.fields.items():
        kind = batch.get(name)
        if kind is None or kind.dtype != dtype:
            found = "nothing" if kind is None else str(kind)
            raise UntraceableModel(
                f"task {task.name} needs the field {name} as {dtype}, the batch has {found}",
                next_step=f"prepare data with {', '.join(task.fields)}, or choose another task",
            )
    if task.name == "causal-lm" and (
        len(batch["tokens"].shape) != 2 or batch["tokens"].shape[1] < 2
    ):
        raise UntraceableModel(
            f"tokens must be [rows, length + 1], not {batch['tokens']}",
            next_step="prepare samples of at least two tokens",
        )


def called(model: nn.Module) -> tuple[bool, dict[str, Any]]:
    """Return whether the first input goes by the name input_ids, and the fixed arguments.

    A Hugging Face model keeps a cache of keys and values unless it is told not to; a training step
    has no use for one.
    """
    if hasattr(model, "config") and hasattr(model, "generation_config"):
        return True, {"use_cache": False}
    return False, {}
