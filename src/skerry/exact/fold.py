"""Constant folding: what depends on no port is computed once, when a Program is compiled.

What    `constant_nodes(program)` marks the nodes that read no port; `fold(steps, ..)` computes
        those of them that others read, up to a bound of bytes held.
Why     Rotary tables, masks and index grids are the same in every step.
Pure    The marking is; the folding runs kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor

from skerry.exact.torch_plan import Step
from skerry.program.graph import Program

#: Bytes of folded values held by one executable; a Program that has more computes them each run.
FOLDED_BYTES_MAX: Final = 1 << 28


def constant_nodes(program: Program) -> list[bool]:
    """Return for each node whether its value depends on no port."""
    constant: list[bool] = []
    for node in program.nodes:
        constant.append(node.op != "input" and all(constant[read] for read in node.inputs))
    return constant


def fold(
    program: Program, steps: Sequence[Step | None], bytes_max: int = FOLDED_BYTES_MAX
) -> dict[int, Tensor]:
    """Return the values of the constant nodes that a run reads, at most `bytes_max` of storage.

    Args:
        program: the graph.
        steps: the step of each node; None for an input.
        bytes_max: once exceeded, later constants are left to the run.
    """
    constant = constant_nodes(program)
    found: dict[int, Tensor] = {}
    storages: set[int] = set()
    held = 0
    for at, step in enumerate(steps):
        if step is None or not constant[at] or not all(read in found for read in step.reads):
            continue
        if program.nodes[at].type.size_bytes > bytes_max:
            continue
        value = step.kernel(*(found[read] for read in step.reads))
        storage = value.untyped_storage()
        if storage.data_ptr() not in storages:
            if held + storage.nbytes() > bytes_max:
                continue
            storages.add(storage.data_ptr())
            held += storage.nbytes()
        found[at] = value
    wanted = {output.node for output in program.outputs}
    for at, step in enumerate(steps):
        if step is not None and at not in found:
            wanted.update(step.reads)
    return {at: value for at, value in found.items() if at in wanted}


__all__ = ["FOLDED_BYTES_MAX", "constant_nodes", "fold"]
