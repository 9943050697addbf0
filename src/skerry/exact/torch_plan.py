"""From the nodes of a Program to steps on tensors.

What    `exact_steps(program, ..)` gives each node a `Step`: the values it reads and the closure
        that computes it. Integers of at most 2^53 travel in float64 ("carried") between the end of
        a quantise and the start of a rescale; everywhere else an i64 is an int64.
Why     A float64 GEMM reads float64, so converting each operand to int64 and back would cost more
        than quantising it. Integers of that size are exact either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from skerry.exact import torch_elementwise, torch_moves
from skerry.exact.carriers import Carrier
from skerry.exact.ports import TORCH_DTYPES
from skerry.exact.torch_elementwise import carried as to_carried
from skerry.exact.torch_elementwise import integers as to_integers
from skerry.exact.torch_site import Kernel, Maker, Site
from skerry.program.bounds import CARRIER_MAX, integer_bounds
from skerry.program.graph import I64, Node, Program

MAKERS: Final[dict[str, Maker]] = {**torch_moves.MAKERS, **torch_elementwise.MAKERS}

#: Ops that compute the same on carried integers, and which of their operands are those integers.
CARRYING: Final[dict[str, tuple[int, ...] | None]] = {
    **dict.fromkeys(("reshape", "permute", "expand", "slice", "window", "pad", "sum", "neg"), (0,)),
    **dict.fromkeys(("concat", "add", "sub", "mul"), None),
    "take": (0,),
    "scatter_add": (1,),
}


class Step(NamedTuple):
    """How one value is computed: kernel(*values of reads)."""

    reads: tuple[int, ...]
    kernel: Kernel


def integer_operands(node: Node) -> tuple[int, ...]:
    """Return the places of the operands that a carrying op hands on as integers."""
    places = CARRYING[node.op]
    return tuple(range(len(node.inputs))) if places is None else places


def carried_nodes(program: Program, bounds: Sequence[int | None]) -> list[bool]:
    """Return for each node whether its integers are held in float64."""
    carried: list[bool] = []
    for node, bound in zip(program.nodes, bounds, strict=True):
        fits = node.type.dtype == I64 and bound is not None and bound <= CARRIER_MAX
        if fits and node.op not in ("quantise", "dot"):
            fits = node.op in CARRYING and all(
                carried[node.inputs[place]] for place in integer_operands(node)
            )
        carried.append(fits)
    return carried


def _wants_carried(node: Node, place: int, carried: bool) -> bool:
    if node.op == "dot":
        return True
    if node.op == "rescale":
        return place == 0
    return carried and node.op in CARRYING and place in integer_operands(node)


def unexpanded(program: Program, at: int) -> int:
    """Return the node that node `at` merely repeats along axes of size 1, or `at` itself."""
    while program.nodes[at].op == "expand":
        at = program.nodes[at].inputs[0]
    return at


def _reads(program: Program, node: Node) -> tuple[int, ...]:
    """Return what a kernel reads: exponents before they are expanded, since it broadcasts them."""
    if node.op in ("quantise", "rescale"):
        return (node.inputs[0], *(unexpanded(program, read) for read in node.inputs[1:]))
    return node.inputs


def _own_exponent(program: Program, node: Node) -> bool:
    if node.op != "quantise":
        return False
    scale = program.nodes[unexpanded(program, node.inputs[1])]
    return scale.op == "exponent" and scale.inputs[0] == node.inputs[0]


def _converted(kernel: Kernel, conversions: Sequence[Kernel | None]) -> Kernel:
    if not any(conversions):
        return kernel

    def converting(*operands: torch.Tensor) -> torch.Tensor:
        return kernel(
            *(
                operand if convert is None else convert(operand)
                for operand, convert in zip(operands, conversions, strict=True)
            )
        )

    return converting


def site_of(
    program: Program,
    at: int,
    reads: Sequence[int],
    bounds: Sequence[int | None],
    place: torch.device,
    *,
    storage: torch.dtype | None = None,
    carrier: Carrier = "float64",
) -> Site:
    """Return what a maker may know of node `at`, which reads the values `reads`."""
    node = program.nodes[at]
    return Site(
        node=node,
        reads=tuple(program.nodes[read].type for read in node.inputs),
        bounds=tuple(bounds[read] for read in reads),
        storage=TORCH_DTYPES[node.type.dtype] if storage is None else storage,
        own_exponent=_own_exponent(program, node),
        device=place,
        carrier=carrier,
    )


def exact_steps(
    program: Program, place: torch.device, carrier: Carrier
) -> tuple[list[Step | None], list[bool]]:
    """Return the step of each node, None for an input, and which values are carried."""
    bounds = integer_bounds(program)
    carried = carried_nodes(program, bounds)
    steps: list[Step | None] = []
    for at, node in enumerate(program.nodes):
        if node.op == "input":
            steps.append(None)
            continue
        reads = _reads(program, node)
        storage = torch.float64 if carried[at] else None
        site = site_of(program, at, reads, bounds, place, storage=storage, carrier=carrier)
        conversions: list[Kernel | None] = []
        for position, read in enumerate(reads):
            wants = _wants_carried(node, position, carried[at])
            if wants == carried[read] or program.nodes[read].type.dtype != I64:
                conversions.append(None)
            else:
                conversions.append(to_carried if wants else to_integers)
        steps.append(Step(reads, _converted(MAKERS[node.op](site), conversions)))
    return steps, carried


__all__ = [
    "CARRYING",
    "MAKERS",
    "Step",
    "carried_nodes",
    "exact_steps",
    "integer_operands",
    "site_of",
    "unexpanded",
]
