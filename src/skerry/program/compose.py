"""Programs made of Programs.

What    `inline` places one Program inside another that is being built; `prune` drops the nodes that
        no output needs.
Why     A step over S shards is S times the gradient Program and once the optimizer: written once,
        placed where needed, and still one flat graph for a judge to walk.
Pure    Structs in, structs out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from skerry.program.graph import InvalidProgram, Node, Output, Program

if TYPE_CHECKING:
    from skerry.program.build import Builder, Value


def inline(
    builder: Builder, program: Program, given: Mapping[str, Value], *, stream_from: int = 0
) -> dict[str, Value]:
    """Place `program` inside `builder`, its ports bound to `given`; return its outputs by name.

    Args:
        builder: where the nodes go.
        program: what is placed.
        given: one value for each port, of the port's type.
        stream_from: added to the stream of every `uniform`, to keep two placements apart.

    Raises:
        InvalidProgram: a port is not bound, or bound to another type.
    """
    values: list[Value] = []
    for node in program.nodes:
        if node.op == "input":
            port = program.inputs[node.integer("port")]
            value = given.get(port.name)
            if value is None or value.type != port.type:
                bound = "nothing" if value is None else str(value.type)
                raise InvalidProgram(f"port {port.name!r} needs {port.type}, got {bound}")
            values.append(value)
            continue
        attrs = dict(node.attrs)
        if node.op == "uniform":
            attrs["stream"] = node.integer("stream") + stream_from
        values.append(builder.node(node.op, [values[read] for read in node.inputs], **attrs))
    return {output.name: values[output.node] for output in program.outputs}


def prune(program: Program) -> Program:
    """Return the Program without the nodes that no output needs; every port stays."""
    needed = [False] * len(program.nodes)
    for output in program.outputs:
        needed[output.node] = True
    for at in range(len(program.nodes) - 1, -1, -1):
        if needed[at]:
            for read in program.nodes[at].inputs:
                needed[read] = True
    renumbered: dict[int, int] = {}
    nodes: list[Node] = []
    for at, node in enumerate(program.nodes):
        if needed[at]:
            renumbered[at] = len(nodes)
            reads = tuple(renumbered[read] for read in node.inputs)
            nodes.append(Node(node.op, reads, node.attrs, node.type))
    outputs = tuple(
        Output(output.name, output.role, renumbered[output.node]) for output in program.outputs
    )
    return Program(
        name=program.name, inputs=program.inputs, nodes=tuple(nodes), outputs=outputs,
        shards=program.shards, version=program.version,
    )  # fmt: skip
