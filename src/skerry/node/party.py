"""A party to a dispute: its own run of a unit, of which it can show any part.

What    `PartyRun` runs a unit once and remembers the digests at every step; what lies deeper it
        computes again when asked. With a `Lie` it is the run of somebody who changed one element
        by one unit in the last place and went on from there.
Why     Committing to everything would cost more than the work; a dispute asks for little. The lie
        is there for demonstrations and tests of the walk.
Rule    A lie is part of the arithmetic: the Program is rewritten so that one step's node has
        another element, and whatever reads the node reads the lie. Node numbers stay the
        original's to whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skerry.base.errors import JobError
from skerry.commit import segment_bounds, state_root, write_transcript
from skerry.commit.tensors import leaf_bytes, tensor_leaves
from skerry.commit.transcript import Transcript
from skerry.exact.executable import Executable
from skerry.messages.receipts import Unit
from skerry.node.past import Before
from skerry.node.states import StateDigests, digest_tensor, tensor_bytes
from skerry.node.unit import Feed
from skerry.program import Node, Output, Program, TensorType

VALUES_BYTES_MAX = 1 << 28


class LieImpossible(JobError):
    """A lie names a step, node or element that the unit does not have."""

    code = "job.lie"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"that lie cannot be told: {reason}", next_step="give STEP:NODE:ELEMENT of the unit"
        )


class LieVanished(JobError):
    """A lie was told and made no difference: a later rounding, or a product by zero, took it."""

    code = "job.lie.vanished"

    def __init__(self, lie: str) -> None:
        super().__init__(
            f"the lie {lie} changes neither the state nor an output of the unit",
            next_step="tell another one: a later node, or another element",
        )


@dataclass(frozen=True, slots=True)
class Lie:
    """One element that a party changes: step of the unit, node of its Program, row-major place."""

    step: int
    node: int
    element: int

    @classmethod
    def parse(cls, text: str) -> Lie:
        """Return the lie that "STEP:NODE:ELEMENT" names.

        Raises:
            LieImpossible: it is spelled otherwise.
        """
        parts = text.split(":")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise LieImpossible(f"{text!r} is not STEP:NODE:ELEMENT")
        return cls(*map(int, parts))

    def __str__(self) -> str:
        """Return STEP:NODE:ELEMENT."""
        return f"{self.step}:{self.node}:{self.element}"


def next_value(honest: Tensor) -> int:
    """Return what a liar puts for one element: its neighbour. For f32 the bits of it."""
    if honest.dtype == torch.bool:
        return int(not bool(honest))
    if honest.dtype == torch.int64:
        return int(honest) + (1 if int(honest) < (1 << 62) else -1)
    bits = int(honest.reshape(1).view(torch.int32)) & 0xFFFFFFFF
    away = bits + 1
    return away if (away >> 23) & 0xFF != 0xFF else 0


def with_lie(program: Program, node: int, element: int, value: int) -> tuple[Program, list[int]]:
    """Return `program` with one element of a node replaced, and the new number of each old node."""
    kind = program.nodes[node].type
    codes = {"f32": 0, "i64": 1, "bool": 2}
    flat = TensorType("i64", (kind.elements,))
    added = len(program.nodes[: node + 1])
    index = TensorType("i64", kind.shape)
    extra = [
        Node("iota", (), (("axis", 0), ("shape", flat.shape)), flat),
        Node("reshape", (added,), (("shape", kind.shape),), index),
        Node("full", (), (("dtype", 1), ("shape", kind.shape), ("value", element)), index),
        Node("eq", (added + 1, added + 2), (), TensorType("bool", kind.shape)),
        Node(
            "full",
            (),
            (("dtype", codes[kind.dtype]), ("shape", kind.shape), ("value", value)),
            kind,
        ),
        Node("select", (added + 3, added + 4, node), (), kind),
    ]
    seen = [at if at < node else at + len(extra) for at in range(len(program.nodes))]
    seen[node] = added + len(extra) - 1
    nodes = list(program.nodes[: node + 1]) + extra
    for old in program.nodes[node + 1 :]:
        nodes.append(Node(old.op, tuple(seen[at] for at in old.inputs), old.attrs, old.type))
    outputs = tuple(Output(it.name, it.role, seen[it.node]) for it in program.outputs)
    made = Program(program.name, program.inputs, tuple(nodes), outputs, program.shards)
    return made, seen


@dataclass
class PartyRun:
    """One party's run of a unit; a `verify.RunRoots`.

    Attributes:
        executable: the unit's Program, made ready.
        unit: the unit.
        before: what it starts from.
        feed: makes each step's data and chance.
        lie: what to change, or None to be honest.
        compile: makes the changed Program ready.
    """

    executable: Executable
    unit: Unit
    before: Before
    feed: Feed
    lie: Lie | None = None
    compile: Callable[[Program], Executable] | None = None
    _digests: list[dict[str, bytes]] = field(default_factory=list)
    _outputs: dict[str, list[bytes]] = field(default_factory=dict)
    _kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    _changed: tuple[Executable, list[int]] | None = None
    _values: tuple[int, list[bytes]] | None = None
    _value: tuple[int, int, Tensor] | None = None

    def __post_init__(self) -> None:
        self._check_lie()
        program, known = self.executable.program, StateDigests()
        self._outputs = {it.name: [] for it in program.outputs if it.role != "state"}
        state = dict(self.before.state)
        bounds = segment_bounds(self.unit.steps, self.unit.segments)
        for step in range(self.unit.steps):
            self._digests.append(known.of(state))
            if step in bounds:
                self._kept[step] = dict(state)
            results = self._run_step(step, state)
            for name in self._outputs:
                self._outputs[name].append(digest_tensor(results[name]))
            state |= self._states_of(results)
        self._digests.append(known.of(state))

    def _check_lie(self) -> None:
        lie, nodes = self.lie, self.executable.program.nodes
        if lie is None:
            return
        if lie.step >= self.unit.steps or lie.node >= len(nodes):
            raise LieImpossible(f"the unit has {self.unit.steps} steps of {len(nodes)} nodes")
        if lie.element >= nodes[lie.node].type.elements:
            raise LieImpossible(f"node {lie.node} has {nodes[lie.node].type.elements} elements")

    def _states_of(self, results: Mapping[str, Tensor]) -> dict[str, Tensor]:
        roles = {it.name: it.role for it in self.executable.program.outputs}
        return {name: x for name, x in results.items() if roles[name] == "state"}

    # -- steps

    def _inputs(self, step: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        program = self.executable.program
        inputs = {port.name: state[port.name] for port in program.inputs if port.role == "state"}
        return inputs | self.feed.inputs(program, self.unit, step) | self.before.given

    def _run_step(self, step: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = self._inputs(step, state)
        return self._executable_of(step, inputs)[0].run(inputs)

    def _executable_of(
        self, step: int, inputs: Mapping[str, Tensor]
    ) -> tuple[Executable, Sequence[int]]:
        """Return what runs a step, and under which number it computes each node."""
        program = self.executable.program
        if self.lie is None or self.lie.step != step:
            return self.executable, range(len(program.nodes))
        if self._changed is None:
            assert self.compile is not None, "a lie needs a compiler"
            at, element = self.lie.node, self.lie.element
            honest = self.executable.values(inputs, [at])[at].reshape(-1)[element]
            made, seen = with_lie(program, at, element, next_value(honest))
            self._changed = self.compile(made), seen
        return self._changed

    def _state_at(self, step: int) -> dict[str, Tensor]:
        start = max(at for at in self._kept if at <= step)
        state = dict(self._kept[start])
        if all(it.role != "state" for it in self.executable.program.outputs):
            return state  # no step changes it
        for here in range(start, step):
            state |= self._states_of(self._run_step(here, state))
        self._kept[step] = dict(state)
        return state

    # -- what a dispute asks

    @property
    def transcript(self) -> Transcript:
        """What a receipt of this run says."""
        bounds = segment_bounds(self.unit.steps, self.unit.segments)
        roots = [state_root(self._digests[at]) for at in bounds]
        return write_transcript(roots[0], roots[1:], self._outputs)

    def states(self, boundaries: Sequence[int]) -> list[Mapping[str, bytes]]:
        """Return the state, names to tensor digests, at each boundary."""
        return [self._digests[at] for at in boundaries]

    def outputs(self, name: str) -> list[bytes]:
        """Return the tensor digest of one output at every step."""
        return self._outputs[name]

    def values(self, step: int) -> list[bytes]:
        """Return the tensor digest of every node's value in one step, in node order."""
        if self._values is None or self._values[0] != step:
            inputs = self._inputs(step, self._state_at(step))
            executable, seen = self._executable_of(step, inputs)
            found: list[bytes] = []
            for batch in value_batches(self.executable.program.nodes, VALUES_BYTES_MAX):
                values = executable.values(inputs, [seen[at] for at in batch])
                found += [digest_tensor(values[seen[at]]) for at in batch]
            self._values = step, found
        return self._values[1]

    def _tensor(self, step: int, node: int) -> Tensor:
        if self._value is None or self._value[:2] != (step, node):
            inputs = self._inputs(step, self._state_at(step))
            executable, seen = self._executable_of(step, inputs)
            self._value = step, node, executable.values(inputs, [seen[node]])[seen[node]]
        return self._value[2]

    def leaf_digests(self, step: int, node: int) -> list[bytes]:
        """Return the leaf digests of one value."""
        kind = self.executable.program.nodes[node].type
        return tensor_leaves(kind.dtype, kind.shape, tensor_bytes(self._tensor(step, node)))

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        """Return the canonical bytes of one leaf of one value."""
        kind = self.executable.program.nodes[node].type
        return leaf_bytes(kind.dtype, kind.shape, tensor_bytes(self._tensor(step, node)), leaf)


def value_batches(nodes: Sequence[Node], bytes_max: int) -> Iterable[range]:
    """Yield runs of nodes whose values fit in `bytes_max` together, at least one node each."""
    start = size = 0
    for at, node in enumerate(nodes):
        if at > start and size + node.type.size_bytes > bytes_max:
            yield range(start, at)
            start, size = at, 0
        size += node.type.size_bytes
    yield range(start, len(nodes))


__all__ = [
    "Lie",
    "LieImpossible",
    "LieVanished",
    "PartyRun",
    "next_value",
    "value_batches",
    "with_lie",
]
