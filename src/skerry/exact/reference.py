"""The reference: every op of the table in plain Python integers.

What    `REFERENCE[op](node, *operands)` gives an op's value as an `Array`; what is not in the table
        works element by element. `arithmetic` says how one element rounds, `reference_shapes` which
        element comes from where.
Why     It is the specification. Every other backend, the golden vectors and the reference page are
        held to it; it knows neither torch nor floats, except for the sequences of
        `arithmetic.scalar`.
Rule    Slow on purpose: nothing is vectorised, nothing fused, nothing clever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

from skerry.arithmetic import elements, real
from skerry.exact import reference_shapes as shapes
from skerry.exact.ports import TORCH_DTYPES, bind_inputs, deliver
from skerry.exact.reference_shapes import Array
from skerry.program.bounds import integer_bounds
from skerry.program.graph import DTYPES, F32, Node, Program, TensorType

Rule: TypeAlias = Callable[..., Array]
_Scalar: TypeAlias = Callable[..., int]


def _each(function: _Scalar, node: Node, operands: Sequence[Array]) -> Array:
    """Return the array that a function of one element makes of every element."""
    rows = zip(*(operand.elements for operand in operands), strict=True)
    return Array(node.type.shape, [int(function(*row)) for row in rows])


def _quantise(node: Node, x: Array, e: Array) -> Array:
    bits = node.integer("bits")
    pairs = zip(x.elements, e.elements, strict=True)
    return Array(node.type.shape, [real.quantise(a, b, bits) for a, b in pairs])


def _rescale(node: Node, d: Array, *exponents: Array) -> Array:
    shift = node.integer("shift")
    rows = zip(d.elements, *(e.elements for e in exponents), strict=True)
    return Array(node.type.shape, [real.rescale(n, tuple(es), shift) for n, *es in rows])


REFERENCE: Final[dict[str, Rule]] = {
    # sources
    "const": shapes.const,
    "full": shapes.full,
    "iota": shapes.iota,
    "uniform": shapes.uniform,
    # views and moves
    "reshape": shapes.reshape,
    "permute": shapes.permute,
    "expand": shapes.expand,
    "slice": shapes.slice_,
    "window": shapes.window,
    "concat": shapes.concat,
    "pad": shapes.pad,
    "take": shapes.take,
    # exact products and sums
    "exponent": shapes.exponents,
    "quantise": _quantise,
    "dot": shapes.dot,
    "sum": shapes.sum_,
    "scatter_add": shapes.scatter_add,
    "rescale": _rescale,
    # order
    "amax": shapes.amax,
    "argmax": shapes.argmax,
    "topk": shapes.topk,
    "cumsum": shapes.cumsum,
}


def evaluate(node: Node, reads: Sequence[TensorType], operands: Sequence[Array]) -> Array:
    """Return the value of a node that is no input, from the types and values it reads."""
    if node.op == "cast":
        rule = elements.cast_rule(reads[0].dtype, DTYPES[node.integer("to")])
        return _each(rule, node, operands)
    if node.op in REFERENCE:
        return REFERENCE[node.op](node, *operands)
    return _each(elements.rule(node.op, reads[-1].dtype), node, operands)


def to_array(x: Tensor) -> Array:
    """Return the elements of a tensor; every NaN becomes the one NaN."""
    if x.dtype == torch.float32:
        bits = x.contiguous().view(torch.int32).flatten().tolist()
        elements = [bit & 0xFFFFFFFF for bit in bits]
        return Array(tuple(x.shape), [real.NAN if real.is_nan(e) else e for e in elements])
    return Array(tuple(x.shape), [int(e) for e in x.flatten().tolist()])


def to_tensor(array: Array, kind: TensorType) -> Tensor:
    """Return an array as a tensor."""
    if kind.dtype == F32:
        signed = [bits - (1 << 32) if bits & real.SIGN else bits for bits in array.elements]
        held = torch.tensor(signed, dtype=torch.int32).view(torch.float32)
    else:
        held = torch.tensor(array.elements, dtype=TORCH_DTYPES[kind.dtype])
    return held.reshape(kind.shape)


class ReferenceExecutable:
    """A Program run by the specification; see `executable.Executable`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def program(self) -> Program:
        """The Program that runs."""
        return self._program

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs by name; see `executable.Executable.run`."""
        asked = [output.node for output in self._program.outputs]
        values = self.values(inputs, asked)
        return deliver(self._program, [values[at] for at in asked])

    def values(self, inputs: Mapping[str, Tensor], node_ids: Iterable[int]) -> dict[int, Tensor]:
        """Return the values of the asked nodes; see `executable.Executable.values`."""
        given = [to_array(x) for x in bind_inputs(self._program, inputs, torch.device("cpu"))]
        arrays = self.arrays(given)
        return {at: to_tensor(arrays[at], self._program.nodes[at].type) for at in node_ids}

    def arrays(self, given: Sequence[Array]) -> list[Array]:
        """Return the value of every node from the arrays of the ports."""
        nodes, arrays = self._program.nodes, list[Array]()
        for node in nodes:
            if node.op == "input":
                arrays.append(given[node.integer("port")])
            else:
                reads = [nodes[read].type for read in node.inputs]
                arrays.append(evaluate(node, reads, [arrays[read] for read in node.inputs]))
        return arrays


def compile_reference(program: Program) -> ReferenceExecutable:
    """Return `program` made ready to run by the specification.

    Raises:
        InvalidProgram: an integer could leave the range in which it is exact.
    """
    integer_bounds(program)
    return ReferenceExecutable(program)


__all__ = [
    "REFERENCE",
    "ReferenceExecutable",
    "compile_reference",
    "evaluate",
    "to_array",
    "to_tensor",
]
