"""Fast arithmetic: the same Program in ordinary float operations, for machines one trusts.

What    `compile_fast(program)` runs exact products and sums natively: a quantise hands its operand
        on, a dot is a float matmul, a sum a float sum, a rescale hands its operand on, exponents
        are never computed; exp, log and their kin are torch's own. Everything else is as it is.
Why     It is the baseline of every measurement, and it is what one runs when nobody needs proof.
Rule    A chain of integers is made float ("soft") only if it starts in quantises and ends in
        nothing but rescales that undo the same exponents. Codes that leave the Program stay exact
        integers, and so do counts and indices. Results are close to the exact ones and differ by
        machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from skerry.exact.torch_backend import TensorExecutable
from skerry.exact.torch_plan import MAKERS, Step, exact_steps, site_of
from skerry.exact.torch_site import Kernel, Maker
from skerry.program.bounds import integer_bounds
from skerry.program.graph import F32, Node, Program

#: Ops through which a soft value passes, and which operands are that value (None: all of them).
_SOFT: Final[dict[str, tuple[int, ...] | None]] = {
    **dict.fromkeys(("reshape", "permute", "expand", "slice", "window", "pad", "sum", "neg"), (0,)),
    **dict.fromkeys(("concat", "add", "sub", "dot"), None),
    "take": (0,),
    "scatter_add": (1,),
}


class _Grid(NamedTuple):
    """The unit of an integer: the value is integer * 2^(sum of exponents - shift)."""

    shift: int
    exponents: tuple[int, ...]


def _root(program: Program, at: int) -> int:
    """Return the node whose elements node `at` only arranges."""
    while program.nodes[at].op in ("expand", "reshape", "permute", "slice", "window", "take"):
        at = program.nodes[at].inputs[0]
    return at


def _operands(node: Node) -> tuple[int, ...]:
    places = _SOFT.get(node.op, ())
    return tuple(range(len(node.inputs))) if places is None else places


def _grid_of(program: Program, node: Node, grids: Sequence[_Grid | None]) -> _Grid | None:
    if node.op == "quantise":
        return _Grid(node.integer("bits") - 1, (_root(program, node.inputs[1]),))
    read = [grids[node.inputs[place]] for place in _operands(node)]
    known = [grid for grid in read if grid is not None]
    if not known or len(known) < len(read) or (node.op == "pad" and node.integer("value") != 0):
        return None
    if node.op == "dot":
        exponents = sorted(e for grid in known for e in grid.exponents)
        return _Grid(sum(grid.shift for grid in known), tuple(exponents))
    return known[0] if all(grid == known[0] for grid in known) else None


def _undone_by(program: Program, rescale: Node, grid: _Grid) -> bool:
    roots = sorted(_root(program, read) for read in rescale.inputs[1:])
    return tuple(roots) == grid.exponents


def soft_grids(program: Program) -> list[_Grid | None]:
    """Return the grid of each value that fast arithmetic holds as a float, None of the others."""
    results = {output.node for output in program.outputs}
    barred = [at in results for at in range(len(program.nodes))]
    while True:
        grids: list[_Grid | None] = []
        for at, node in enumerate(program.nodes):
            grids.append(None if barred[at] else _grid_of(program, node, grids))
        before = sum(barred)
        for at, node in enumerate(program.nodes):
            for place, read in enumerate(node.inputs):
                grid = grids[read]
                if grid is None:
                    continue
                if node.op == "rescale" and place == 0:
                    barred[read] |= not _undone_by(program, node, grid)
                else:
                    barred[read] |= grids[at] is None or place not in _operands(node)
        if sum(barred) == before:
            return grids


def _identity(x: Tensor) -> Tensor:
    return x


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b.mT)


def _scaled(factor: float) -> Kernel:
    return _identity if factor == 1.0 else lambda x: x * factor


def _native(kernel: Kernel) -> Maker:
    return lambda site: kernel


def _native_extreme(op: str, kernel: Kernel) -> Maker:
    return lambda site: kernel if site.node.type.dtype == F32 else MAKERS[op](site)


_NATIVE: Final[dict[str, Maker]] = {
    "exp": _native(torch.exp),
    "log": _native(torch.log),
    "tanh": _native(torch.tanh),
    "erf": _native(torch.erf),
    "sin": _native(torch.sin),
    "cos": _native(torch.cos),
    "div": _native(torch.div),
    "sqrt": _native(torch.sqrt),
    "max": _native_extreme("max", torch.maximum),
    "min": _native_extreme("min", torch.minimum),
    "amax": lambda site: lambda x: torch.amax(x, site.node.integers("axes")),
    "argmax": lambda site: lambda x: torch.argmax(x, site.node.integer("axis")),
}


def compile_fast(program: Program, device: str = "cpu") -> TensorExecutable:
    """Return `program` made ready to run in ordinary float arithmetic on `device`."""
    place = torch.device(device)
    steps, carried = exact_steps(program, place, "float64")
    bounds = integer_bounds(program)
    grids = soft_grids(program)
    for at, node in enumerate(program.nodes):
        undone = grids[node.inputs[0]] if node.op == "rescale" else None
        if node.op in _NATIVE:
            site = site_of(program, at, node.inputs, bounds, place)
            steps[at] = Step(node.inputs, _NATIVE[node.op](site))
        elif undone is not None:
            factor = 2.0 ** (undone.shift - node.integer("shift"))
            steps[at] = Step(node.inputs[:1], _scaled(factor))
        elif grids[at] is None:
            continue
        elif node.op == "quantise":
            steps[at] = Step(node.inputs[:1], _identity)
        elif node.op == "dot":
            steps[at] = Step(node.inputs, _product)
        else:
            site = site_of(program, at, node.inputs, bounds, place, storage=torch.float32)
            steps[at] = Step(node.inputs, MAKERS[node.op](site))
    hard = [held and grid is None for held, grid in zip(carried, grids, strict=True)]
    return TensorExecutable(program, steps, hard, place)


__all__ = ["compile_fast", "soft_grids"]
