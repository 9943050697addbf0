"""What running a Program costs, counted and never timed.

What    `cost(program)` counts basic operations, bytes moved and the peak bytes alive.
Why     The same count prices a unit, sizes a stake and tells a planner what fits a machine; the
        count is an integer, so everyone agrees on it.
Units   operations: multiplies and adds alike, a transcendental as about 20; bytes: canonical sizes.
Pure    One pass over the nodes.
"""

from __future__ import annotations

import msgspec

from skerry.program.graph import Node, Program
from skerry.program.ops import OPS


class Cost(msgspec.Struct, frozen=True):
    """The counted cost of one run.

    Attributes:
        operations: basic arithmetic operations.
        product_operations: the part of them inside dot.
        bytes_moved: bytes read and written by nodes that are not views.
        bytes_peak: bytes alive at once, the operands and the value of the running node included.
        bytes_state: bytes of the state that the Program is given.
    """

    operations: int
    product_operations: int
    bytes_moved: int
    bytes_peak: int
    bytes_state: int


def node_operations(node: Node, nodes: tuple[Node, ...]) -> int:
    """Return the basic operations of one node."""
    spec = OPS[node.op]
    if node.op == "dot":
        return 2 * node.type.elements * nodes[node.inputs[0]].type.shape[-1]
    if spec.family == "reduction":
        return spec.weight * nodes[node.inputs[-1]].type.elements
    return spec.weight * node.type.elements


def _owners(program: Program) -> list[int]:
    """Return for each node the node whose storage it lies in: views own nothing."""
    owners: list[int] = []
    for at, node in enumerate(program.nodes):
        owners.append(owners[node.inputs[0]] if OPS[node.op].family == "view" else at)
    return owners


def _peak_bytes(program: Program) -> int:
    owners = _owners(program)
    last_use = list(range(len(program.nodes)))
    for at, node in enumerate(program.nodes):
        for read in node.inputs:
            last_use[owners[read]] = at
    for output in program.outputs:
        last_use[owners[output.node]] = len(program.nodes)
    freed: dict[int, int] = {}
    alive = peak = 0
    for at, node in enumerate(program.nodes):
        if owners[at] == at:
            alive += node.type.size_bytes
            freed[last_use[at]] = freed.get(last_use[at], 0) + node.type.size_bytes
        peak = max(peak, alive)
        alive -= freed.pop(at, 0)
    return peak


def cost(program: Program) -> Cost:
    """Return the counted cost of one run of a valid Program."""
    operations = product = moved = 0
    for node in program.nodes:
        count = node_operations(node, program.nodes)
        operations += count
        product += count if node.op == "dot" else 0
        if OPS[node.op].family != "view":
            read = sum(program.nodes[at].type.size_bytes for at in node.inputs)
            moved += node.type.size_bytes + read
    state = sum(port.type.size_bytes for port in program.inputs if port.role == "state")
    return Cost(operations, product, moved, _peak_bytes(program), state)
