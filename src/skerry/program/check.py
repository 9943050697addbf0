"""Validation of a Program from outside: every limit explicit, linear time, never a crash.

What    `check(program, limits)` returns nothing, or raises InvalidProgram with the reason.
Why     A node runs what strangers send. It must know before the first byte is allocated that the
        graph is well formed, its integers are exact and its memory is bounded.
Pure    One pass over the nodes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from skerry.program.bounds import integer_bounds
from skerry.program.cost import cost
from skerry.program.graph import InvalidProgram, Node, Program, TensorType
from skerry.program.ops import OPS
from skerry.program.shapes import check_shape

OP_SET_VERSION: Final = 1
_NAME_CHARS_MAX = 256
_INPUT_ROLES = ("state", "data", "chance", "given")
_OUTPUT_ROLES = ("state", "value", "metric")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a checker accepts.

    Attributes:
        nodes_max: nodes of the graph.
        ports_max: inputs, and outputs, each.
        elements_max: elements of one tensor.
        bytes_peak_max: bytes alive at once, by the counted cost.
        const_bytes_max: bytes of all literals together.
        operations_max: counted operations of one run.
        shards_max: shards of a batch.
    """

    nodes_max: int = 1 << 18
    ports_max: int = 4096
    elements_max: int = 1 << 32
    bytes_peak_max: int = 1 << 38
    const_bytes_max: int = 1 << 26
    operations_max: int = 1 << 60
    shards_max: int = 4096


def check(program: Program, limits: Limits | None = None) -> None:
    """Refuse a Program that is not well formed or exceeds `limits`.

    Raises:
        InvalidProgram: with the node and the reason.
    """
    limits = limits or Limits()
    _check_header(program, limits)
    const_bytes = 0
    for at, node in enumerate(program.nodes):
        try:
            _check_node(program, at, node, limits)
        except InvalidProgram as error:
            raise InvalidProgram(error.reason, node=at) from None
        if node.op == "const":
            const_bytes += node.type.size_bytes
            if const_bytes > limits.const_bytes_max:
                raise InvalidProgram(f"literals exceed {limits.const_bytes_max} bytes", node=at)
    _check_outputs(program)
    integer_bounds(program)
    counted = cost(program)
    if counted.bytes_peak > limits.bytes_peak_max:
        raise InvalidProgram(
            f"needs {counted.bytes_peak} bytes at once; the limit is {limits.bytes_peak_max}"
        )
    if counted.operations > limits.operations_max:
        raise InvalidProgram(
            f"needs {counted.operations} operations; the limit is {limits.operations_max}"
        )


def _check_header(program: Program, limits: Limits) -> None:
    if program.version != OP_SET_VERSION:
        raise InvalidProgram(f"op set {program.version} is not {OP_SET_VERSION}")
    if not 1 <= len(program.nodes) <= limits.nodes_max:
        raise InvalidProgram(f"{len(program.nodes)} nodes; 1 to {limits.nodes_max} are allowed")
    if max(len(program.inputs), len(program.outputs)) > limits.ports_max:
        raise InvalidProgram(f"more than {limits.ports_max} inputs or outputs")
    if not 1 <= program.shards <= limits.shards_max:
        raise InvalidProgram(f"{program.shards} shards; 1 to {limits.shards_max} are allowed")
    _check_names("the Program", [program.name])
    _check_names("an input", [port.name for port in program.inputs])
    for port in program.inputs:
        if port.role not in _INPUT_ROLES:
            raise InvalidProgram(f"input {port.name!r} has no role {port.role!r}")
        check_shape(port.type.shape, limits.elements_max)


def _check_names(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise InvalidProgram(f"two of the names of {what} are equal")
    for name in names:
        if not 1 <= len(name) <= _NAME_CHARS_MAX or not name.isprintable():
            raise InvalidProgram(f"the name of {what} must have 1 to {_NAME_CHARS_MAX} characters")


def _check_node(program: Program, at: int, node: Node, limits: Limits) -> None:
    spec = OPS.get(node.op)
    if spec is None:
        raise InvalidProgram(f"unknown op {node.op[:40]!r}")
    if not spec.inputs_min <= len(node.inputs) <= spec.inputs_max:
        raise InvalidProgram(f"{node.op} takes no {len(node.inputs)} operands")
    if not all(0 <= read < at for read in node.inputs):
        raise InvalidProgram("reads a value that is not yet made")
    if tuple(name for name, _ in node.attrs) != spec.attrs:
        raise InvalidProgram(f"{node.op} needs the attributes {spec.attrs} in that order")
    _check_attr_ranges(node)
    expected = _expected_type(program, node)
    check_shape(expected.shape, limits.elements_max)
    if node.type != expected:
        raise InvalidProgram(f"{node.op} gives {expected}, not the declared {node.type}")


def _check_attr_ranges(node: Node) -> None:
    for name, value in node.attrs:
        entries = value if isinstance(value, tuple) else (value,)
        for entry in entries:
            if isinstance(entry, int) and not -(1 << 63) <= entry < 1 << 63:
                raise InvalidProgram(f"attribute {name} is no 64-bit integer")


def _expected_type(program: Program, node: Node) -> TensorType:
    attrs = dict(node.attrs)
    if node.op == "input":
        port = attrs["port"]
        if not isinstance(port, int) or not 0 <= port < len(program.inputs):
            raise InvalidProgram(f"there is no input {port!r}")
        return program.inputs[port].type
    return OPS[node.op].rule([program.nodes[read].type for read in node.inputs], attrs)


def _check_outputs(program: Program) -> None:
    if not program.outputs:
        raise InvalidProgram("there is no output")
    _check_names("an output", [output.name for output in program.outputs])
    states = {port.name: port.type for port in program.inputs if port.role == "state"}
    for output in program.outputs:
        if output.role not in _OUTPUT_ROLES:
            raise InvalidProgram(f"output {output.name!r} has no role {output.role!r}")
        if not 0 <= output.node < len(program.nodes):
            raise InvalidProgram(f"output {output.name!r} names no node")
        given = states.get(output.name)
        made = program.nodes[output.node].type
        if output.role == "state" and given is not None and given != made:
            raise InvalidProgram(f"state {output.name!r} enters as {given} and leaves as {made}")
