"""Executables: a Program made ready to run, by any of four backends.

What    `compile_program(program, backend)` returns an `Executable`. "native" is compiled C,
        "torch" stock tensor operations, "reference" the specification in plain Python: the three
        give the same bits. "fast" runs the same Program in ordinary float arithmetic.
Why     Callers hold one protocol; which machine and which kernels answer is a word in the job.
Rule    Without its compiled extension "native" runs on "torch": slower, and not one bit else.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Final, Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor

from skerry.exact.carriers import Carrier
from skerry.exact.ports import ExecutionError
from skerry.program.graph import Program

Backend: TypeAlias = Literal["native", "torch", "reference", "fast"]
BACKENDS: Final[tuple[Backend, ...]] = ("native", "torch", "reference", "fast")


class Executable(Protocol):
    """A Program made ready to run."""

    @property
    def program(self) -> Program:
        """The Program that runs."""
        ...

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs by name for the inputs by port name.

        Raises:
            ExecutionError: an input is missing, unknown or of another type.
            NonFiniteState: a state output holds an infinity or a NaN.
        """
        ...

    def values(self, inputs: Mapping[str, Tensor], node_ids: Iterable[int]) -> dict[int, Tensor]:
        """Return the values of the asked nodes, as the specification gives them."""
        ...


def native_available() -> bool:
    """Return whether the compiled extension is here and loads."""
    try:
        importlib.import_module("skerry.exact.native_plan")
    except ImportError:
        return False
    return True


def available_backends() -> tuple[Backend, ...]:
    """Return the backends that run here as themselves."""
    return BACKENDS if native_available() else BACKENDS[1:]


def compile_program(
    program: Program,
    backend: Backend = "native",
    device: str = "cpu",
    *,
    carrier: Carrier = "float64",
) -> Executable:
    """Return `program`, already checked, made ready to run.

    Args:
        program: a Program that `program.check` accepts.
        backend: who computes; see the module.
        device: a torch device; "native" and "reference" know only "cpu".
        carrier: which number format the torch backend's products use; never changes a bit.

    Raises:
        ExecutionError: there is no such backend, or it does not run on that device.
    """
    if backend not in BACKENDS:
        raise ExecutionError(
            f"there is no backend {backend!r}", next_step=f"choose one of {', '.join(BACKENDS)}"
        )
    if backend in ("native", "reference") and torch.device(device).type != "cpu":
        raise ExecutionError(
            f"backend {backend!r} does not run on {device!r}", next_step="use the torch backend"
        )
    if backend == "native" and native_available():
        native = importlib.import_module("skerry.exact.native_plan")
        return cast(Executable, native.compile_native(program))
    if backend == "reference":
        from skerry.exact.reference import compile_reference

        return compile_reference(program)
    if backend == "fast":
        from skerry.exact.fast import compile_fast

        return compile_fast(program, device)
    from skerry.exact.torch_backend import compile_torch

    return compile_torch(program, device, carrier)


__all__ = [
    "BACKENDS",
    "Backend",
    "Executable",
    "available_backends",
    "compile_program",
    "native_available",
]
