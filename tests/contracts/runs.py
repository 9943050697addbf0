"""A run of one step of any Program, by the reference, that can open whatever it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import Tensor

from skerry.commit.tensors import leaf_bytes, tensor_digest, tensor_leaves
from skerry.exact import compile_program
from skerry.exact.reference import ReferenceExecutable, to_array
from skerry.program import Program

WIDTH = {"f32": 4, "i64": 8, "bool": 1}


class StepRun:
    """The values of one step; `step` is whatever it is called."""

    def __init__(self, program: Program, inputs: Mapping[str, Tensor]) -> None:
        self.program = program
        executable = compile_program(program, "reference")
        assert isinstance(executable, ReferenceExecutable)
        given = [to_array(inputs[port.name]) for port in program.inputs]
        self.elements = [array.elements for array in executable.arrays(given)]

    def bits(self, node: int, element: int) -> int:
        """Return one element as its bits."""
        return int(self.elements[node][element]) & (1 << 64) - 1

    @cached_property
    def data(self) -> list[bytes]:
        """The canonical bytes of every value."""
        found = []
        for node, elements in zip(self.program.nodes, self.elements, strict=True):
            width = WIDTH[node.type.dtype]
            mask = (1 << 8 * width) - 1
            found.append(b"".join((int(x) & mask).to_bytes(width, "little") for x in elements))
        return found

    @cached_property
    def digests(self) -> list[bytes]:
        """The tensor digest of every value."""
        pairs = zip(self.program.nodes, self.data, strict=True)
        return [tensor_digest(node.type.dtype, node.type.shape, data) for node, data in pairs]

    def values(self, step: int) -> Sequence[bytes]:
        return self.digests

    def leaf_digests(self, step: int, node: int) -> Sequence[bytes]:
        kind = self.program.nodes[node].type
        return tensor_leaves(kind.dtype, kind.shape, self.data[node])

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        kind = self.program.nodes[node].type
        return leaf_bytes(kind.dtype, kind.shape, self.data[node], leaf)

    def states(self, boundaries: Sequence[int]) -> Sequence[Mapping[str, bytes]]:
        raise NotImplementedError

    def outputs(self, name: str) -> Sequence[bytes]:
        raise NotImplementedError
