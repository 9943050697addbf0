"""Canonical bytes of a Program, and the digest a judge can open node by node.

What    `to_bytes` and `from_bytes` carry a Program; `program_digest` names it.
Rule    The digest is the Merkle root (base.digests) over leaf 0 = the header (name, ports, outputs,
        shards, version, node count) and leaf i + 1 = the MessagePack bytes of node i. Attributes
        stand in the order that the op table gives, so equal Programs have equal bytes.
Pure    Bytes in, bytes out. `from_bytes` refuses what is not canonical; `check` judges the meaning.
"""

from __future__ import annotations

from typing import Final

import msgspec

from skerry.base.digests import digest, merkle_root
from skerry.program.graph import InvalidProgram, Node, Output, Port, Program

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


def node_digests(program: Program) -> list[bytes]:
    """Return the leaves of the Program's tree: the header first, then one a node."""
    leaves = [digest("program.header", _encoder.encode(_header(program)))]
    leaves += [digest("program.node", _encoder.encode(node)) for node in program.nodes]
    return leaves


def program_digest(program: Program) -> bytes:
    """Return the 32-byte name of a Program."""
    return merkle_root(node_digests(program))
