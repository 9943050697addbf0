"""A unit of any size whose trace exists only where somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256, shake_256

import numpy as np

from skerry.commit import segment_bounds, state_root
from skerry.commit.tensors import ITEM_BYTES, leaf_count, leaf_digest, leaf_span, seal_tensor
from skerry.commit.transcript import output_root
from skerry.commit.trees import quick_root
from skerry.messages.receipts import Cost, Receipt, Unit, UnitId
from skerry.program import Node, Output, Port, Program, TensorType, program_digest
from skerry.verify.terms import Arities, Terms

STATE = ("m", "params", "residual", "step", "v")
SIDE = 3163  # squared a little over ten million
_PARITY = bytes(byte & 1 for byte in range(256))
WIDE = TensorType("f32", (SIDE, SIDE))
WHOLE = TensorType("i64", (SIDE, SIDE))


@dataclass(frozen=True)
class Shape:
    """How large the unit is, and how it is cut."""

    steps: int
    nodes: int
    segments: int
    arities: Arities


@dataclass(frozen=True)
class Lie:
    """What the solver lies about: the op of one node, and where.

    Attributes:
        op: the op.
        step: the step of the unit.
        output: whether no state shows it, so that the doubt is about an output.
    """

    op: str
    step: int
    output: bool = False


def target(op: str, first: int) -> tuple[list[Node], Node]:
    """Return the operands of a node and the node; the operands stand from node `first` on."""
    scalar = TensorType("i64", ())
    f32 = Node("neg", (0,), (), WIDE)
    i64 = Node("cast", (0,), (("to", 1),), WHOLE)
    match op:
        case "select":
            mask = Node("lt", (0, 1), (), TensorType("bool", WIDE.shape))
            return [mask, f32, f32], Node(op, (first, first + 1, first + 2), (), WIDE)
        case "mul":
            return [f32, f32], Node(op, (first, first + 1), (), WIDE)
        case "mul i64":
            return [i64, i64], Node("mul", (first, first + 1), (), WHOLE)
        case "dot":
            return [i64, i64], Node(op, (first, first + 1), (), WHOLE)
        case "sum":
            return [i64], Node(op, (first,), (("axes", (0, 1)),), scalar)
        case "scatter_add":
            flat = TensorType("i64", (SIDE * SIDE,))
            index = Node("cast", (0,), (("to", 1),), flat)
            return [index, index], Node(op, (first, first + 1), (("size", SIDE * SIDE),), flat)
        case "cumsum":
            return [i64], Node(op, (first,), (("axis", 0),), WHOLE)
        case "rescale":
            return [i64, i64, i64], Node(op, (first, first + 1, first + 2), (("shift", 40),), WIDE)
        case "input":
            return [], Node("input", (), (("port", 1),), WIDE)
        case _:
            raise ValueError(op)


def program_of(shape: Shape, lie: Lie, at: int) -> Program:
    """Return a Program of `shape` whose node `at` is the one that is lied about."""
    ports = [Port(name, "state", WIDE) for name in STATE]
    nodes = [Node("input", (), (("port", it),), WIDE) for it in range(len(STATE))]
    operands, node = target(lie.op, at - 8)
    nodes += [Node("add", (0, 1), (), WIDE) for _ in range(shape.nodes - len(nodes))]
    nodes[at - 8 : at - 8 + len(operands)] = operands
    nodes[at] = node
    last = shape.nodes - len(STATE)
    outputs = [Output(name, "state", last + it) for it, name in enumerate(STATE)]
    outputs.append(Output("loss", "metric", at))
    return Program("step", tuple(ports), tuple(nodes), tuple(outputs))


@dataclass(eq=False)
class LazyRun:
    """One party's run: honest, or with the lie told."""

    program: Program
    shape: Shape
    lie: Lie
    at: int
    lies: bool
    kept: dict[tuple[int, bool], list[bytes]] = field(default_factory=dict)

    def _tainted(self, step: int, node: int) -> bool:
        """Whether a value of this run is the liar's."""
        if not self.lies:
            return False
        if self.lie.output:
            return (step, node) == (self.lie.step, self.at)
        return step > self.lie.step or (step == self.lie.step and node >= self.at)

    def _real(self, step: int, node: int) -> bool:
        """Whether anybody will look into a value."""
        if step != self.lie.step:
            return False
        return node == self.at or node in self.program.nodes[self.at].inputs

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        """Return the bytes of one leaf."""
        kind = self.program.nodes[node].type
        first, stop = leaf_span(kind.shape, leaf)
        size = (stop - first) * ITEM_BYTES[kind.dtype]
        tainted = self._tainted(step, node) and leaf == self._doubted(kind)
        seed = f"{step} {node} {leaf} {tainted}".encode()
        raw = shake_256(seed).digest(size)
        if kind.dtype == "bool":
            return raw.translate(_PARITY)
        if kind.dtype == "i64" and not tainted:
            index = self.program.nodes[self.at].op == "scatter_add" and node == self.at - 8
            return _small(raw, 41 if index else 40, positive=index)
        return raw

    def _doubted(self, kind: TensorType) -> int:
        return leaf_count(kind.shape) * 2 // 3

    def leaf_digests(self, step: int, node: int) -> list[bytes]:
        """Return the leaf digests of a value that somebody looks into."""
        key = node, self._tainted(step, node)
        if key not in self.kept:
            count = leaf_count(self.program.nodes[node].type.shape)
            self.kept[key] = [leaf_digest(self.leaf(step, node, at)) for at in range(count)]
        return self.kept[key]

    @lru_cache(maxsize=64)  # noqa: B019
    def values(self, step: int) -> list[bytes]:
        """Return the digests of a step's values, most of them of tensors that nobody sees."""
        found = []
        for at, node in enumerate(self.program.nodes):
            if self._real(step, at) or (step == self.lie.step and node.op == "input" and at == 1):
                kind = node.type
                root = quick_root(self.leaf_digests(step, at))
                found.append(seal_tensor(kind.dtype, kind.shape, root))
            else:
                found.append(sha256(f"{step} {at} {self._tainted(step, at)}".encode()).digest())
        return found

    def states(self, boundaries: Sequence[int]) -> list[dict[str, bytes]]:
        """Return the states at some boundaries."""
        first = len(self.program.nodes) - len(STATE)
        found = []
        for at in boundaries:
            if at == 0:
                found.append({name: sha256(f"start {name}".encode()).digest() for name in STATE})
            else:
                last = self.values(at - 1)
                found.append({name: last[first + it] for it, name in enumerate(STATE)})
        return found

    def outputs(self, name: str) -> list[bytes]:
        """Return one output at every step."""
        return [self.values(step)[self.at] for step in range(self.shape.steps)]

    def terms(self, signer: bytes = bytes(32)) -> Terms:
        """Return the terms of a dispute about this run's receipt, which `signer` signs."""
        bounds = segment_bounds(self.shape.steps, self.shape.segments)
        roots = [state_root(state) for state in self.states(bounds)]
        unit = Unit(
            id=UnitId(sha256(b"job").digest(), 3, 1),
            program=program_digest(self.program),
            state=roots[0],
            step_from=96,
            steps=self.shape.steps,
            segments=self.shape.segments,
            seed=7,
        )
        receipt = Receipt(
            unit=unit,
            segments=tuple(roots[1:]),
            outputs=(("loss", output_root(self.outputs("loss"))),),
            cost=Cost(1 << 50, 1 << 45),
            signer=signer,
        )
        return Terms(receipt, self.program, STATE, arities=self.shape.arities)


def _small(raw: bytes, shift: int, *, positive: bool) -> bytes:
    """Return integers of 23 bits: with a sign, as quantise makes them, or without, as an index."""
    kind = "<u8" if positive else "<i8"
    return bytes((np.frombuffer(raw, kind) >> np.array(shift, kind[1:])).tobytes())
