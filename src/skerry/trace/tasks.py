"""What a batch means and what is to be minimised.

What    A `Task` knows what of a batch the model reads, the loss of a step, and the sums that
        evaluation reports. Three are built in; a callable `loss(model, batch)` stands for its own.
Shapes  B rows, T tokens, V vocabulary, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from skerry.program import F32, I64, DType, TensorType
from skerry.trace.errors import UntraceableModel

Batch: TypeAlias = Mapping[str, Tensor]
Loss: TypeAlias = Callable[[nn.Module, Batch], Tensor]

IGNORED: Final = -100


@dataclass(frozen=True, slots=True)
class Task:
    """One built-in task.

    Attributes:
        name: what a job file calls it.
        fields: the fields of a batch and their element types.
        reads: the field that the model reads.
        drops: how many of the last entries of a row the model does not read.
        loss: logits, batch -> the loss of one step.
        sums: logits, batch -> the sums that evaluation reports.
    """

    name: str
    fields: Mapping[str, DType]
    reads: str
    drops: int
    loss: Callable[[Tensor, Batch], Tensor]
    sums: Callable[[Tensor, Batch], dict[str, Tensor]]

    def inputs(self, batch: Batch) -> Tensor:
        """Return what the model reads of a batch."""
        field = batch[self.reads]
        return field[:, : -self.drops] if self.drops else field

    def step_loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of one step."""
        return self.loss(logits(model, self.inputs(batch)), batch)


def logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a model makes of its inputs: the tensor itself, or its field `logits`."""
    # A Hugging Face model keeps the keys and values of a text, of which a step has no use.
    fixed = {"use_cache": False} if hasattr(model, "generation_config") else {}
    made = model(inputs, **fixed)
    found: Any = getattr(made, "logits", made)
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise UntraceableModel(
            f"the model returned {type(made).__name__}, not logits",
            next_step="return a tensor or an object with .logits, or give model.loss",
        )
    return found


# -- causal language models: tokens [B, T + 1]


def _token_rows(logits_BTV: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    return logits_BTV.flatten(0, 1), batch["tokens"][:, 1:].reshape(-1)


def _token_loss(logits_BTV: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(*_token_rows(logits_BTV, batch))


def _token_sums(logits_BTV: Tensor, batch: Batch) -> dict[str, Tensor]:
    scores, target = _token_rows(logits_BTV, batch)
    return {
        "loss_sum": functional.cross_entropy(scores, target, reduction="sum"),
        "count": (target != IGNORED).sum(),
    }


# -- classification: features [B, ..], label [B]


def _class_loss(logits_BC: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_BC, batch["label"])


def _class_sums(logits_BC: Tensor, batch: Batch) -> dict[str, Tensor]:
    label_B = batch["label"]
    return {
        "loss_sum": functional.cross_entropy(logits_BC, label_B, reduction="sum"),
        "count": (label_B != IGNORED).sum(),
        "correct": (logits_BC.argmax(1) == label_B).sum(),
    }


# -- regression: features [B, ..], label f32 [B, ..]


def _errors(made: Tensor, batch: Batch) -> Tensor:
    label = batch["label"]
    if made.numel() != label.numel():
        raise UntraceableModel(
            f"the model gives {list(made.shape)} for labels {list(label.shape)}",
            next_step="let the last layer give as many numbers as a label has",
        )
    return made.reshape(label.shape) - label


def _square_loss(made: Tensor, batch: Batch) -> Tensor:
    return _errors(made, batch).square().mean()


def _square_sums(made: Tensor, batch: Batch) -> dict[str, Tensor]:
    return {
        "loss_sum": _errors(made, batch).square().sum(),
        "count": torch.full((), made.numel(), dtype=torch.int64),
    }


_CLASSES: Final[Mapping[str, DType]] = {"features": F32, "label": I64}
_NUMBERS: Final[Mapping[str, DType]] = {"features": F32, "label": F32}

TASKS: Final[Mapping[str, Task]] = {
    task.name: task
    for task in (
        Task("causal-lm", {"tokens": I64}, "tokens", 1, _token_loss, _token_sums),
        Task("classification", _CLASSES, "features", 0, _class_loss, _class_sums),
        Task("regression", _NUMBERS, "features", 0, _square_loss, _square_sums),
    )
}


def check_batch(task: Task, batch: Mapping[str, TensorType]) -> None:
    """Refuse a batch whose fields are not those of the task.

    Raises:
        UntraceableModel: with the field that is missing or of another type.
    """
    for name, dtype in task.fields.items():
        kind = batch.get(name)
        if kind is None or kind.dtype != dtype:
            found = "nothing" if kind is None else str(kind)
            raise UntraceableModel(
                f"task {task.name} needs the field {name} as {dtype}, the batch has {found}",
                next_step=f"prepare data with {', '.join(task.fields)}, or choose another task",
            )
    kind = batch[task.reads]
    if task.drops and (len(kind.shape) != 2 or kind.shape[1] <= task.drops):
        raise UntraceableModel(
            f"{task.reads} must be [rows, length + {task.drops}], not {kind}",
            next_step="prepare samples of at least two tokens",
        )
