"""The reference: every op of the table in plain Python integers.

What    `REFERENCE[op](node, *operands)` gives an op's value as an `Array`. The table below is the
        contents page; `reference_float` says how one element rounds, `reference_shapes` which
        element comes from where.
Why     It is the specification. Every other backend, the golden vectors and the reference page are
        held to it; it knows neither torch nor floats, except for the sequences of `exact.scalar`.
Rule    Slow on purpose: nothing is vectorised, nothing fused, nothing clever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

from skerry.exact import reference_float as real
from skerry.exact import reference_shapes as shapes
from skerry.exact.ports import TORCH_DTYPES, bind_inputs, deliver
from skerry.exact.reference_shapes import Array, wrapped
from skerry.program.bounds import integer_bounds
from skerry.program.graph import BOOL, DTYPES, F32, I64, Node, Program, TensorType

Rule: TypeAlias = Callable[..., Array]
_Scalar: TypeAlias = Callable[..., int]


def _each(on_real: _Scalar | None, on_integer: _Scalar | None = None) -> Rule:
    """Return the rule that applies a function of one element to every element."""

    def rule(node: Node, *operands: Array) -> Array:
        function = on_real if on_integer is None or node.type.dtype == F32 else on_integer
        assert function is not None, f"{node.op} has no rule for {node.type.dtype}"
        rows = zip(*(operand.elements for operand in operands), strict=True)
        return Array(node.type.shape, [int(function(*row)) for row in rows])

    return rule


def _floordiv(a: int, b: int) -> int:
    return 0 if b == 0 else wrapped(a // b)


def _rem(a: int, b: int) -> int:
    return 0 if b == 0 else a % b


def _cast_rule(source: str, target: str) -> _Scalar:
    if source == target:
        return lambda x: x
    if target == BOOL:
        return (lambda x: x & ~real.SIGN != 0) if source == F32 else (lambda x: x != 0)
    if source == BOOL:
        return real.from_integer if target == F32 else (lambda x: x)
    return real.to_integer if target == I64 else real.from_integer


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
    # one IEEE operation on f32, modulo 2^64 on i64
    "add": _each(real.add, lambda a, b: wrapped(a + b)),
    "sub": _each(real.sub, lambda a, b: wrapped(a - b)),
    "mul": _each(real.mul, lambda a, b: wrapped(a * b)),
    "div": _each(real.div),
    "sqrt": _each(real.sqrt),
    "neg": _each(real.neg, lambda a: wrapped(-a)),
    "abs": _each(real.absolute, lambda a: wrapped(abs(a))),
    "max": _each(real.maximum, max),
    "min": _each(real.minimum, min),
    "floordiv": _each(None, _floordiv),
    "rem": _each(None, _rem),
    "and": _each(None, lambda a, b: a & b),
    "or": _each(None, lambda a, b: a | b),
    "not": _each(None, lambda a: 1 - a),
    "select": _each(lambda condition, a, b: a if condition else b),
    # fixed sequences
    "exp": _each(real.exp),
    "log": _each(real.log),
    "tanh": _each(real.tanh),
    "erf": _each(real.erf),
    "sin": _each(real.sin),
    "cos": _each(real.cos),
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

#: Ops whose element rule depends on the element type of what they read, not of what they give.
_COMPARISONS: Final[dict[str, tuple[_Scalar, _Scalar]]] = {
    "lt": (real.less, lambda a, b: a < b),
    "le": (real.less_equal, lambda a, b: a <= b),
    "eq": (real.equal, lambda a, b: a == b),
}


def evaluate(node: Node, reads: Sequence[TensorType], operands: Sequence[Array]) -> Array:
    """Return the value of a node that is no input, from the types and values it reads."""
    if node.op in _COMPARISONS:
        rule = _each(_COMPARISONS[node.op][0 if reads[0].dtype == F32 else 1])
    elif node.op == "cast":
        rule = _each(_cast_rule(reads[0].dtype, DTYPES[node.integer("to")]))
    else:
        rule = REFERENCE[node.op]
    return rule(node, *operands)


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
