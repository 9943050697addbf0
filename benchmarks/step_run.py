"""One step of any Program by the reference and by torch, able to open whatever it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from skerry.commit.tensors import ITEM_BYTES, leaf_bytes, tensor_digest, tensor_leaves
from skerry.exact import compile_program
from skerry.exact.reference import ReferenceExecutable, to_array
from skerry.program import Program

WORD = (1 << 64) - 1


class StepRun:
    """The values of one step; a `verify.RunRoots` with one step, whatever it is called."""

    def __init__(self, program: Program, inputs: Mapping[str, Tensor]) -> None:
        self.program = program
        self.inputs = dict(inputs)
        executable = compile_program(program, "reference")
        assert isinstance(executable, ReferenceExecutable), "the reference gives its arrays"
        given = [to_array(inputs[port.name]) for port in program.inputs]
        self._arrays = executable.arrays(given)
        self._leaves: dict[int, list[bytes]] = {}

    def bits(self, node: int, element: int) -> int:
        """Return one element of the reference's value as its bits."""
        return int(self._arrays[node].elements[element]) & WORD

    def column(self, node: int) -> list[int]:
        """Return every element of the reference's value as its bits."""
        return [int(x) & WORD for x in self._arrays[node].elements]

    def torch_columns(self, nodes: Iterable[int]) -> dict[int, list[int]]:
        """Return the same by the torch backend."""
        values = compile_program(self.program, "torch").values(self.inputs, list(nodes))
        return {at: [int(x) & WORD for x in to_array(x).elements] for at, x in values.items()}

    @cached_property
    def data(self) -> list[bytes]:
        """The canonical bytes of every value."""
        found = []
        for node, array in zip(self.program.nodes, self._arrays, strict=True):
            width = ITEM_BYTES[node.type.dtype]
            mask = (1 << 8 * width) - 1
            found.append(
                b"".join((int(x) & mask).to_bytes(width, "little") for x in array.elements)
            )
        return found

    @cached_property
    def digests(self) -> list[bytes]:
        """The tensor digest of every value."""
        pairs = zip(self.program.nodes, self.data, strict=True)
        return [tensor_digest(node.type.dtype, node.type.shape, data) for node, data in pairs]

    def values(self, step: int) -> Sequence[bytes]:
        """Return the tensor digests."""
        return self.digests

    def leaf_digests(self, step: int, node: int) -> Sequence[bytes]:
        """Return the leaf digests of one value."""
        if node not in self._leaves:
            kind = self.program.nodes[node].type
            self._leaves[node] = tensor_leaves(kind.dtype, kind.shape, self.data[node])
        return self._leaves[node]

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        """Return the bytes of one leaf of one value."""
        kind = self.program.nodes[node].type
        return leaf_bytes(kind.dtype, kind.shape, self.data[node], leaf)

    def states(self, boundaries: Sequence[int]) -> Sequence[Mapping[str, bytes]]:
        """Refuse: a step alone has no states."""
        raise NotImplementedError

    def outputs(self, name: str) -> Sequence[bytes]:
        """Refuse: a step alone has no outputs."""
        raise NotImplementedError


def f32_tensor(bits: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return an f32 tensor with these bits."""
    signed = [x - (1 << 32) if x >> 31 else x for x in bits]
    return torch.tensor(signed, dtype=torch.int32).view(torch.float32).reshape(tuple(shape))
