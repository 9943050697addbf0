"""The torch backend: stock tensor operations on any device, the specification's bits.

What    `compile_torch(program)` gives a `TensorExecutable`: a list of closures run in order, values
        dropped after their last use, constants folded once.
Why     No compiler and no custom kernel is needed to compute or to check a unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skerry.exact.carriers import CARRIERS, Carrier
from skerry.exact.fold import fold
from skerry.exact.ports import ExecutionError, bind_inputs, canonical, deliver
from skerry.exact.torch_plan import Step, exact_steps
from skerry.exact.torch_site import Kernel
from skerry.program.graph import Program


class _Line(NamedTuple):
    """One line of a schedule: compute value `at`, then forget the values `frees`."""

    at: int
    kernel: Kernel
    reads: tuple[int, ...]
    frees: tuple[int, ...]


class TensorExecutable:
    """A Program as closures on tensors; see `executable.Executable`."""

    def __init__(
        self,
        program: Program,
        steps: Sequence[Step | None],
        carried: Sequence[bool],
        device: torch.device,
    ) -> None:
        self._program = program
        self._steps = steps
        self._carried = carried
        self._device = device
        with torch.no_grad():
            self._folded = fold(program, steps)
        self._ports = [
            (at, node.integer("port"))
            for at, node in enumerate(program.nodes)
            if node.op == "input"
        ]
        self._results = [output.node for output in program.outputs]
        self._schedule = self._scheduled(self._results)

    @property
    def program(self) -> Program:
        """The Program that runs."""
        return self._program

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs by name; see `executable.Executable.run`."""
        values = self._computed(inputs, self._schedule)
        results = [self._plain(at, values[at]) for at in self._results]
        borrowed = {
            x.untyped_storage().data_ptr() for x in (*self._folded.values(), *inputs.values())
        }
        own = [x.clone() if x.untyped_storage().data_ptr() in borrowed else x for x in results]
        return deliver(self._program, own)

    @torch.no_grad()
    def values(self, inputs: Mapping[str, Tensor], node_ids: Iterable[int]) -> dict[int, Tensor]:
        """Return the values of the asked nodes; see `executable.Executable.values`."""
        asked = sorted(set(node_ids))
        values = self._computed(inputs, self._scheduled(asked))
        return {at: canonical(self._plain(at, values[at])).contiguous().clone() for at in asked}

    def _plain(self, at: int, value: Tensor | None) -> Tensor:
        assert value is not None, f"value {at} was freed before it was asked"
        return value.long() if self._carried[at] else value

    def _computed(
        self, inputs: Mapping[str, Tensor], schedule: Sequence[_Line]
    ) -> list[Tensor | None]:
        given = bind_inputs(self._program, inputs, self._device)
        values: list[Tensor | None] = [None] * len(self._program.nodes)
        for at, port in self._ports:
            values[at] = given[port]
        for at, folded in self._folded.items():
            values[at] = folded
        for at, kernel, reads, frees in schedule:
            values[at] = kernel(*[values[read] for read in reads])
            for read in frees:
                values[read] = None
        return values

    def _scheduled(self, asked: Iterable[int]) -> list[_Line]:
        """Return the lines that compute the asked values, each value freed after its last use."""
        kept = set(asked)
        needed = set(kept)
        for at in range(len(self._steps) - 1, -1, -1):
            step = self._steps[at]
            if at in needed and step is not None and at not in self._folded:
                needed.update(step.reads)
        lines: list[_Line] = []
        last_use: set[int] = set()
        for at in range(len(self._steps) - 1, -1, -1):
            step = self._steps[at]
            if at not in needed or step is None or at in self._folded:
                continue
            frees = tuple(
                read
                for read in sorted(set(step.reads))
                if read not in last_use and read not in kept
            )
            last_use.update(step.reads)
            lines.append(_Line(at, step.kernel, step.reads, frees))
        return lines[::-1]


def compile_torch(
    program: Program, device: str = "cpu", carrier: Carrier = "float64"
) -> TensorExecutable:
    """Return `program` made ready to run on `device` with exact products by `carrier`.

    Raises:
        ExecutionError: no such carrier, or the device lacks float64.
    """
    if carrier not in CARRIERS:
        raise ExecutionError(
            f"there is no carrier {carrier!r}", next_step=f"choose one of {', '.join(CARRIERS)}"
        )
    place = torch.device(device)
    if place.type == "mps":
        raise ExecutionError(
            f"device {device!r} has no float64, which the fixed sequences need",
            next_step='use device "cpu", or the fast backend',
        )
    steps, carried = exact_steps(program, place, carrier)
    return TensorExecutable(program, steps, carried, place)


__all__ = ["TensorExecutable", "compile_torch"]
