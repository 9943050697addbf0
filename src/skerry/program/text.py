"""A Program as a person reads it.

What    `to_text(program)` gives one line a node: its number, type, op, operands and attributes,
        with ports and outputs named.
Pure    Strings. The text is for reading; the canonical bytes are what is signed.
"""

from __future__ import annotations

import struct

from skerry.program.graph import DTYPES, F32, Attr, Node, Program

_LITERAL_BYTES_SHOWN = 16


def _attr(node: Node, name: str, value: Attr) -> str:
    if isinstance(value, bytes):
        shown = value[:_LITERAL_BYTES_SHOWN].hex()
        return f"{name}={shown}{'..' if len(value) > _LITERAL_BYTES_SHOWN else ''}"
    if name == "value" and node.type.dtype == F32 and isinstance(value, int):
        return f"value={struct.unpack('<f', value.to_bytes(4, 'little'))[0]!r}"
    if name == "to" and isinstance(value, int):
        return DTYPES[value]
    if isinstance(value, tuple):
        return f"{name}=({','.join(map(str, value))})"
    return f"{name}={value}"


def node_text(program: Program, at: int) -> str:
    """Return the line of one node."""
    node = program.nodes[at]
    if node.op == "input":
        port = program.inputs[node.integer("port")]
        return f"%{at}: {node.type} = input {port.name} ({port.role})"
    hidden = ("shape", "dtype")
    words = [node.op, *(f"%{read}" for read in node.inputs)]
    words += [_attr(node, name, value) for name, value in node.attrs if name not in hidden]
    return f"%{at}: {node.type} = {' '.join(words)}"


def to_text(program: Program) -> str:
    """Return the whole Program, a line a node."""
    lines = [f"program {program.name} (shards {program.shards}, op set {program.version})"]
    lines += [f"  {node_text(program, at)}" for at in range(len(program.nodes))]
    lines += [
        f"  return {output.name} ({output.role}) = %{output.node}" for output in program.outputs
    ]
    return "\n".join(lines) + "\n"
