"""Exact: Programs run, and the arithmetic that makes every run the same.

In      A checked `Program` and tensors for its ports.
Does    Runs it: "native" in C, "torch" in stock tensor operations, "reference" in plain Python
        integers, all three to the same bits; "fast" in ordinary floats. Golden vectors say whether
        a device is fit for exact work.
Out     Tensors by output name, or the value of any node.
Never   Chooses what to run, reads a job, or decides a dispute.
Start   reading at `reference`, then `executable`.
"""

from skerry.exact.executable import (
    BACKENDS,
    Backend,
    Executable,
    available_backends,
    compile_program,
)
from skerry.exact.ports import ExecutionError, NonFiniteState

__all__ = [
    "BACKENDS",
    "Backend",
    "Executable",
    "ExecutionError",
    "NonFiniteState",
    "available_backends",
    "compile_program",
]
