"""Units whose arithmetic is a hash: any planted lie spreads to all that reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256, shake_256

from hypothesis import strategies as st

from skerry.commit import segment_bounds, state_root, tensor_digest, write_transcript
from skerry.commit.state import state_names
from skerry.commit.tensors import ITEM_BYTES, leaf_bytes, tensor_leaves
from skerry.commit.transcript import Transcript
from skerry.messages.disputes import (
    Ask,
    Open,
    Pick,
    Reveal,
    RevealLeaf,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.messages.receipts import Cost, Receipt, Unit, UnitId
from skerry.messages.signing import sign, signer
from skerry.messages.wire import decode, encode
from skerry.program import Node, Output, Port, Program, TensorType, program_digest
from skerry.verify import Challenger, Game, Respondent, Terms

KEY, SIGN = signer(bytes(range(32)))
JOB = bytes([7] * 32)
VECTOR = TensorType("f32", (600,))


@dataclass(frozen=True)
class Lie:
    """One element that comes out wrong in one step."""

    step: int
    node: int
    element: int


@dataclass(frozen=True)
class Toy:
    """A Program, and how its unit is cut."""

    program: Program
    steps: int
    segments: int
    arity: int = 8
    carried: tuple[str, ...] = ("frozen",)

    @property
    def names(self) -> tuple[str, ...]:
        outputs = [it.name for it in self.program.outputs if it.role == "state"]
        return state_names([*outputs, *self.carried])


def noise(size: int, dtype: str, *seed: object) -> bytes:
    raw = shake_256(repr(seed).encode()).digest(size)
    return bytes(byte & 1 for byte in raw) if dtype == "bool" else raw


def digest_of(kind: TensorType, data: bytes) -> bytes:
    return tensor_digest(kind.dtype, kind.shape, data)


@dataclass
class Run:
    """One party's run of a toy unit, honest or not; it can say everything a dispute asks."""

    toy: Toy
    lies: tuple[Lie, ...] = ()
    stale: int | None = None  # this step starts from the state before the step before
    slips: Mapping[int, str] = field(default_factory=dict)  # step: input port given wrong bytes
    repaints: Mapping[int, str] = field(default_factory=dict)  # step: carried name it changes
    history: list[dict[str, bytes]] = field(default_factory=list)
    traces: list[list[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = {port.name: port.type for port in self.toy.program.inputs if port.role == "state"}
        self.kinds = kinds
        self.history.append(
            {name: noise(kind.size_bytes, kind.dtype, name) for name, kind in kinds.items()}
        )
        for step in range(self.toy.steps):
            self._step(step)

    def _step(self, step: int) -> None:
        program = self.toy.program
        before = self.history[step - 1 if self.stale == step else step]
        values: list[bytes] = []
        for at, node in enumerate(program.nodes):
            kind = node.type
            if node.op == "input":
                port = program.inputs[node.integer("port")]
                slipped = self.slips.get(step) == port.name
                if port.role == "state" and not slipped:
                    value = before[port.name]
                else:
                    value = noise(kind.size_bytes, kind.dtype, port.name, step, slipped)
            else:
                read = [sha256(values[it]).digest() for it in node.inputs]
                value = noise(kind.size_bytes, kind.dtype, at, read)
            for lie in self.lies:
                if (lie.step, lie.node) == (step, at):
                    spot = lie.element * ITEM_BYTES[kind.dtype]
                    value = value[:spot] + bytes([value[spot] ^ 1]) + value[spot + 1 :]
            values.append(value)
        after = dict(self.history[step])
        after.update({it.name: values[it.node] for it in program.outputs if it.role == "state"})
        if step in self.repaints:
            name = self.repaints[step]
            after[name] = noise(len(after[name]), self.kinds[name].dtype, "repainted")
        self.traces.append(values)
        self.history.append(after)

    def states(self, boundaries: Sequence[int]) -> list[dict[str, bytes]]:
        assert list(boundaries) == sorted(boundaries)
        return [
            {name: digest_of(self.kinds[name], self.history[at][name]) for name in self.kinds}
            for at in boundaries
        ]

    def outputs(self, name: str) -> list[bytes]:
        (node,) = (it.node for it in self.toy.program.outputs if it.name == name)
        return [digest_of(self.toy.program.nodes[node].type, it[node]) for it in self.traces]

    def values(self, step: int) -> list[bytes]:
        nodes = self.toy.program.nodes
        pairs = zip(nodes, self.traces[step], strict=True)
        return [digest_of(node.type, value) for node, value in pairs]

    def leaf_digests(self, step: int, node: int) -> list[bytes]:
        kind = self.toy.program.nodes[node].type
        return tensor_leaves(kind.dtype, kind.shape, self.traces[step][node])

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        kind = self.toy.program.nodes[node].type
        return leaf_bytes(kind.dtype, kind.shape, self.traces[step][node], leaf)

    def element(self, lie: Lie) -> bytes:
        item = ITEM_BYTES[self.toy.program.nodes[lie.node].type.dtype]
        return self.traces[lie.step][lie.node][lie.element * item : (lie.element + 1) * item]

    def transcript(self) -> Transcript:
        bounds = segment_bounds(self.toy.steps, self.toy.segments)
        roots = [state_root(state) for state in self.states(bounds)]
        names = [it.name for it in self.toy.program.outputs if it.role != "state"]
        return write_transcript(roots[0], roots[1:], {name: self.outputs(name) for name in names})

    def receipt(self) -> Receipt:
        written = self.transcript()
        unit = Unit(
            id=UnitId(JOB, 0, 0),
            program=program_digest(self.toy.program),
            state=written.state_before,
            step_from=0,
            steps=self.toy.steps,
            segments=self.toy.segments,
            seed=1,
        )
        bare = Receipt(
            unit=unit,
            segments=written.segments,
            outputs=written.outputs,
            cost=Cost(1, 1),
            signer=KEY,
        )
        return sign(bare, SIGN)

    def terms(self) -> Terms:
        return Terms(self.receipt(), self.toy.program, self.toy.names, self.toy.arity)


def small(steps: int = 5, segments: int = 2, arity: int = 8) -> Toy:
    """Return a unit of two state tensors, one of which the Program never writes."""
    inputs = (
        Port("params", "state", VECTOR),
        Port("frozen", "state", VECTOR),
        Port("batch", "data", TensorType("i64", (3,))),
    )
    nodes = [Node("input", (), (("port", at),), port.type) for at, port in enumerate(inputs)]
    nodes.append(Node("mix", (0, 1, 2), (), VECTOR))
    nodes.append(Node("mix", (0,), (), TensorType("i64", (2, 2))))
    outputs = (Output("params", "state", 3), Output("loss", "metric", 4))
    return Toy(Program("small", inputs, tuple(nodes), outputs), steps, segments, arity)


SIZES = st.sampled_from([(), (1,), (3,), (2, 5), (513,), (2, 700), (1, 2600)])
FIRM = st.builds(TensorType, st.sampled_from(["f32", "i64"]), SIZES)
ANY = st.builds(TensorType, st.sampled_from(["f32", "i64", "bool"]), SIZES)


@st.composite
def toys(draw: st.DrawFn) -> Toy:
    """Draw a unit in which every value but the last reaches the state, and the last an output."""
    state = draw(st.lists(FIRM, min_size=1, max_size=4))
    names = [f"s{at}" for at in range(len(state))]
    inputs = [
        *(Port(name, "state", kind) for name, kind in zip(names, state, strict=True)),
        Port("frozen", "state", draw(FIRM)),
        Port("batch", "data", draw(FIRM)),
        Port("seed", "chance", TensorType("i64", ())),
    ]
    nodes = [Node("input", (), (("port", at),), port.type) for at, port in enumerate(inputs)]
    for kind in draw(st.lists(ANY, max_size=8)):
        # A bool may come out right by luck, so the value after it reads what it read as well.
        reads = tuple(range(max(0, len(nodes) - 2), len(nodes)))
        soft = kind.dtype == "bool" and nodes[-1].type.dtype == "bool"
        nodes.append(Node("mix", reads, (), TensorType("i64", kind.shape) if soft else kind))
    for kind in state:
        nodes.append(Node("mix", tuple(range(len(nodes))), (), kind))
    first = len(nodes) - len(state)
    nodes.append(Node("mix", (0, first), (), draw(FIRM)))
    outputs = [Output(name, "state", first + at) for at, name in enumerate(names)]
    outputs += [Output("loss", "metric", len(nodes) - 1), Output("copy", "value", first)]
    program = Program("toy", tuple(inputs), tuple(nodes), tuple(outputs))
    steps = draw(st.integers(1, 20))
    segments = draw(st.integers(1, min(steps, 4)))
    return Toy(program, steps, segments, draw(st.sampled_from([2, 4, 8, 16])))


@st.composite
def lies(draw: st.DrawFn, toy: Toy) -> Lie:
    node = draw(st.integers(0, len(toy.program.nodes) - 1))
    size = math.prod(toy.program.nodes[node].type.shape)
    return Lie(draw(st.integers(0, toy.steps - 1)), node, draw(st.integers(0, size - 1)))


@dataclass
class Played:
    """A dispute that was played to its end, with a judge who saw every message."""

    challenger: Challenger
    judge: Game
    asks: list[Ask]
    reveals: list[Reveal]


def carry_ask(ask: Ask | None) -> Ask:
    """Return a challenger's message as it arrives."""
    assert ask is not None
    arrived = decode(encode(ask))
    assert isinstance(arrived, Open | Pick)
    return arrived


def carry_reveal(reveal: Reveal | None) -> Reveal:
    """Return a respondent's message as it arrives."""
    assert reveal is not None
    arrived = decode(encode(reveal))
    assert isinstance(arrived, RevealRoots | RevealTrace | RevealStep | RevealLeaf)
    return arrived


def judged(terms: Terms, game: Game | None, ask: Ask) -> Game:
    """Return what a judge holds after the challenger's move."""
    if isinstance(ask, Open):
        assert game is None
        return Game.open(terms, ask)
    assert game is not None
    return game.pick(ask)


def play(terms: Terms, doubting: Run, answering: Run) -> Played:
    """Play a dispute in which every message goes over the wire."""
    challenger, respondent = Challenger.open(terms, doubting), Respondent(terms, answering)
    game: Game | None = None
    asks = [carry_ask(challenger.ask)]
    reveals: list[Reveal] = []
    while True:
        game = judged(terms, game, asks[-1])
        respondent = respondent.tell(asks[-1])
        if challenger.outcome:
            assert respondent.answer is None
            return Played(challenger, game, asks, reveals)
        reveals.append(carry_reveal(respondent.answer))
        game = game.reveal(reveals[-1])
        challenger = challenger.tell(reveals[-1])
        asks.append(carry_ask(challenger.ask))
