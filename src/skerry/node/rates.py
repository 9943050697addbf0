"""How fast this machine is, measured on the job's own Program.

What    `measured_rate(run)` runs the job's main Program twice on zeros and returns counted
        operations a second of one core.
Why     A plan from a data sheet is a guess; one step of the very Program is not.
"""

from __future__ import annotations

import torch

from skerry.exact import compile_program
from skerry.node.clocks import RealClock
from skerry.node.life import RunJob
from skerry.node.states import TORCH_DTYPES
from skerry.program import cost


def measured_rate(run: RunJob) -> float:
    """Return counted operations a second of one core on the main Program of a run."""
    program = run.programs["step"] if "step" in run.programs else run.programs["grad"]
    executable = compile_program(program, "fast" if run.config.arithmetic == "fast" else "native")
    inputs = {
        port.name: torch.zeros(port.type.shape, dtype=TORCH_DTYPES[port.type.dtype])
        for port in program.inputs
    }
    threads, clock = torch.get_num_threads(), RealClock()
    torch.set_num_threads(1)
    try:
        executable.run(inputs)
        start = clock.now()
        executable.run(inputs)
        return cost(program).operations / max(clock.now() - start, 1e-9)
    finally:
        torch.set_num_threads(threads)
