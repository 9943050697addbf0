"""Canonical bytes of a Program, and the digest a judge can open node by node.

What    `to_bytes` and `from_bytes` carry a Program; `program_digest` names it.
Rule    The digest is the Merkle root (base.digests) over leaf 0 = the header (name, ports, outputs,
        shards, version, node count) and leaf i + 1 = node i as a judge reads it. Attributes stand
        in the order that the op table gives, so equal Programs have equal bytes.
        A judge opens one node and nothing else of the Program, so its leaf is the MessagePack
        array [op, inputs, attributes, type, reads], where reads are the types of its operands; in
        an input [role, name] of its port; in a concat, which may have thousands, the Merkle root
        over [number, node, start along the axis, type] of each, while inputs are their count. The
        literal of a const gives way to its tensor digest.
Pure    Bytes in, bytes out. `from_bytes` refuses what is not canonical; `check` judges the meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from skerry.base.digests import digest, merkle_root
from skerry.commit.tensors import tensor_digest
from skerry.program.graph import InvalidProgram, Node, Output, Port, Program, TensorType

PROGRAM_BYTES_MAX: Final = 1 << 28


class Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Everything of a Program but its nodes."""

    version: int
    name: str
    shards: int
    inputs: tuple[Port, ...]
    outputs: tuple[Output, ...]
    node_count: int


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(tuple[Header, tuple[Node, ...]])


def _header(program: Program) -> Header:
    return Header(
        program.version, program.name, program.shards, program.inputs, program.outputs,
        len(program.nodes),
    )  # fmt: skip


def to_bytes(program: Program) -> bytes:
    """Return the canonical bytes."""
    return _encoder.encode((_header(program), program.nodes))


def from_bytes(data: bytes) -> Program:
    """Return the Program that `data` encodes; its meaning is not yet checked.

    Raises:
        InvalidProgram: the bytes are too many, malformed or not canonical.
    """
    if len(data) > PROGRAM_BYTES_MAX:
        raise InvalidProgram(f"{len(data)} bytes exceed the limit of {PROGRAM_BYTES_MAX}")
    try:
        header, nodes = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidProgram(f"malformed bytes: {error}") from None
    program = Program(
        name=header.name, inputs=header.inputs, nodes=nodes, outputs=header.outputs,
        shards=header.shards, version=header.version,
    )  # fmt: skip
    try:
        canonical = to_bytes(program)
    except (msgspec.MsgspecError, OverflowError, UnicodeEncodeError) as error:
        raise InvalidProgram(f"malformed bytes: {error}") from None
    if canonical != data:
        raise InvalidProgram("the bytes are not canonical")
    return program


class Operand(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One operand of a concat, as a leaf under the node's root."""

    number: int
    node: int
    start: int
    type: TensorType


def concat_operands(program: Program, node: Node) -> list[Operand]:
    """Return the operands of a concat with where each begins along the axis."""
    operands, start = list[Operand](), 0
    for number, at in enumerate(node.inputs):
        kind = program.nodes[at].type
        operands.append(Operand(number, at, start, kind))
        start += kind.shape[node.integer("axis")]
    return operands


def operand_bytes(operand: Operand) -> bytes:
    """Return the bytes of one operand of a concat."""
    return _encoder.encode(operand)


def operand_leaves(operands: Sequence[Operand]) -> list[bytes]:
    """Return the leaves under the root of a concat."""
    return [digest("program.operand", operand_bytes(operand)) for operand in operands]


def judged_node(program: Program, at: int) -> bytes:
    """Return node `at` as a judge reads it: alone, with the types of what it reads.

    Raises:
        InvalidProgram: the node reads what is not there, or its literal does not fit.
    """
    node = program.nodes[at]
    inputs: object = node.inputs
    attrs = node.attrs
    reads: object
    try:
        match node.op:
            case "input":
                port = program.inputs[node.integer("port")]
                reads = (port.role, port.name)
            case "concat":
                inputs = len(node.inputs)
                reads = merkle_root(operand_leaves(concat_operands(program, node)))
            case "const":
                literal = tensor_digest(node.type.dtype, node.type.shape, node.raw("data"))
                attrs = tuple((key, literal if key == "data" else it) for key, it in attrs)
                reads = ()
            case _:
                reads = tuple(program.nodes[read].type for read in node.inputs)
    except (LookupError, ValueError, AssertionError) as error:
        raise InvalidProgram(f"{node.op[:40]} cannot be read: {error}", node=at) from None
    return _encoder.encode((node.op, inputs, attrs, node.type, reads))


def node_digests(program: Program) -> list[bytes]:
    """Return the leaves of the Program's tree: the header first, then one a node.

    Raises:
        InvalidProgram: as `judged_node`.
    """
    leaves = [digest("program.header", header_bytes(program))]
    nodes = range(len(program.nodes))
    leaves += [digest("program.node", judged_node(program, at)) for at in nodes]
    return leaves


def header_bytes(program: Program) -> bytes:
    """Return the bytes of everything but the nodes."""
    return _encoder.encode(_header(program))


def program_digest(program: Program) -> bytes:
    """Return the 32-byte name of a Program.

    Raises:
        InvalidProgram: as `judged_node`.
    """
    return merkle_root(node_digests(program))
