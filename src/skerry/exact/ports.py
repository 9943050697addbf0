"""The door of a run: what goes in is checked, what comes out is canonical.

What    `bind_inputs` puts the given tensors in port order or says what is wrong with them;
        `deliver` names the results, refuses a state that is not finite and makes every NaN one.
Why     Every backend shares this door, so a wrong input or a diverged training reads the same
        everywhere, and equal values have equal bytes.
Pure    Torch tensors in and out; no file, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from skerry.base.errors import JobError
from skerry.program.graph import DType, Program

TORCH_DTYPES: Final[dict[DType, torch.dtype]] = {
    "f32": torch.float32,
    "i64": torch.int64,
    "bool": torch.bool,
}


class ExecutionError(JobError):
    """A Program was asked to run in a way that it cannot."""

    code = "job.execution"


class NonFiniteState(ExecutionError):
    """The state after a unit holds an infinity or a NaN: the training diverged.

    Attributes:
        output: the name of the state.
        elements: how many of its elements are not finite.
    """

    code = "job.non_finite"

    def __init__(self, *, program: str, output: str, elements: int, of: int) -> None:
        self.program, self.output, self.elements = program, output, elements
        super().__init__(
            f"the training diverged: {elements} of {of} elements of state {output!r} after "
            f"{program!r} are not finite",
            next_step="resume from the last checkpoint with a lower learning rate",
        )


def bind_inputs(
    program: Program, inputs: Mapping[str, Tensor], device: torch.device
) -> list[Tensor]:
    """Return the tensors of `inputs` in port order, on `device`.

    Raises:
        ExecutionError: a name, element type or shape is not the port's.
    """
    names = {port.name for port in program.inputs}
    if inputs.keys() != names:
        missing, unknown = sorted(names - inputs.keys()), sorted(inputs.keys() - names)
        raise ExecutionError(
            f"Program {program.name!r} lacks the inputs {missing} and has no ports {unknown}",
            next_step="give exactly the ports of `program.inputs`",
        )
    bound = []
    for port in program.inputs:
        given = inputs[port.name]
        if given.dtype != TORCH_DTYPES[port.type.dtype] or tuple(given.shape) != port.type.shape:
            raise ExecutionError(
                f"input {port.name!r} of Program {program.name!r} must be {port.type}, "
                f"got {given.dtype}{list(given.shape)}",
                next_step="convert the tensor before the run; nothing is cast silently",
            )
        bound.append(given.detach().to(device))
    return bound


def canonical(x: Tensor) -> Tensor:
    """Return x with every NaN as 0x7fc00000."""
    if x.dtype == torch.float32:
        nan = x.isnan()
        if bool(nan.any()):
            return torch.where(nan, float("nan"), x)
    return x


def deliver(program: Program, results: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the results, one an output, under their names.

    Raises:
        NonFiniteState: a state output holds an infinity or a NaN.
    """
    named: dict[str, Tensor] = {}
    for output, result in zip(program.outputs, results, strict=True):
        if output.role == "state" and result.dtype == torch.float32:
            finite = result.isfinite()
            if not bool(finite.all()):
                raise NonFiniteState(
                    program=program.name,
                    output=output.name,
                    elements=int((~finite).sum()),
                    of=result.numel(),
                )
            named[output.name] = result.contiguous()
        else:
            named[output.name] = canonical(result.contiguous())
    return named


__all__ = [
    "TORCH_DTYPES",
    "ExecutionError",
    "NonFiniteState",
    "bind_inputs",
    "canonical",
    "deliver",
]
