"""Integer bounds: how large each i64 value can be, whatever the Program is given.

What    `integer_bounds(program)` gives, for each node, a number that no |element| exceeds, or None.
Why     A `dot` or a `rescale` whose integers stay within 2^53 is exact in float64, and its one
        rounding to f32 is the only one. A Program that could exceed it is refused, so backends
        need no check of their own.
Pure    One pass over the nodes.
"""

from __future__ import annotations

from typing import Final

from skerry.program.graph import BOOL, I64, InvalidProgram, Node, Program

CARRIER_MAX: Final = 1 << 53


def node_bound(node: Node, bounds: list[int | None], nodes: tuple[Node, ...]) -> int | None:
    """Return the bound of one node from those of its inputs, or None where there is none."""
    if node.type.dtype != I64:
        return None
    known = [bounds[at] for at in node.inputs]
    first = known[0] if known else None
    match node.op:
        case "quantise":
            return 1 << (node.integer("bits") - 1)
        case "full":
            return abs(node.integer("value"))
        case "iota":
            return node.type.shape[node.integer("axis")]
        case "argmax" | "topk":
            return nodes[node.inputs[0]].type.elements
        case "exponent":
            return 129
        case "cast":
            return 1 if nodes[node.inputs[0]].type.dtype == BOOL else None
        case "reshape" | "permute" | "expand" | "slice" | "window" | "neg" | "abs" | "take":
            return first
        case "pad":
            return None if first is None else max(first, abs(node.integer("value")))
        case "concat" | "max" | "min":
            return _worst(known)
        case "select":
            return _worst(known[1:])
        case "add" | "sub":
            return None if None in known else sum(bound or 0 for bound in known)
        case "mul":
            return None if None in known else (known[0] or 0) * (known[1] or 0)
        case "sum":
            terms = nodes[node.inputs[0]].type.elements // node.type.elements
            return None if first is None else first * terms
        case "scatter_add":
            rows = nodes[node.inputs[0]].type.elements
            return None if known[1] is None else known[1] * rows
        case "dot":
            terms = nodes[node.inputs[0]].type.shape[-1]
            return None if None in known else (known[0] or 0) * (known[1] or 0) * terms
        case _:
            return None


def _worst(known: list[int | None]) -> int | None:
    return None if None in known else max(bound or 0 for bound in known)


def integer_bounds(program: Program) -> list[int | None]:
    """Return the bound of each node.

    Raises:
        InvalidProgram: a dot or the integer of a rescale could exceed 2^53.
    """
    bounds: list[int | None] = []
    for at, node in enumerate(program.nodes):
        bound = node_bound(node, bounds, program.nodes)
        checked = bounds[node.inputs[0]] if node.op == "rescale" else bound
        if node.op in ("dot", "rescale") and (checked is None or checked > CARRIER_MAX):
            shown = "without a bound" if checked is None else f"as large as {checked}"
            raise InvalidProgram(f"{node.op} on integers {shown}; at most 2^53 is exact", node=at)
        bounds.append(bound)
    return bounds
