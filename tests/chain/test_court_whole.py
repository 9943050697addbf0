"""Whole disputes before the real adjudicator: a lie is told in a real op, and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import pytest
import torch

from benchmarks.step_run import StepRun
from skerry.chain.disputes import Answerer, Doubter, Ended
from skerry.commit import state_root, tensor_digest
from skerry.commit.state import state_names
from skerry.commit.tensors import ITEM_BYTES, leaf_bytes, tensor_leaves
from skerry.messages.receipts import Cost, Receipt, Unit, UnitId
from skerry.program import F32, Builder, Program, program_digest
from skerry.verify.terms import Arities, Terms
from tests.chain.court_evm import BOND, CHALLENGER, SOLVER, Court
from tests.verify.toy import JOB, KEY

COLUMNS = 1300  # three leaves to a row, so a product of two rows has three runs


@cache
def program() -> Program:
    """Return a Program whose every value of interest becomes an entry of the state."""
    b = Builder("whole")
    x = b.input("x", "state", F32, (2, COLUMNS))
    w = b.input("w", "state", F32, (3, COLUMNS))
    b.output("x", x, "state")
    b.output("added", b.add(x, x), "state")
    b.output("product", b.matmul(x, w), "state")
    b.output("best", b.reduce("amax", w, (1,)), "state")
    b.output("sum", b.sum_f32(w, (0, 1)), "state")
    return b.build()


@cache
def computed() -> StepRun:
    """Return the honest values."""
    torch.manual_seed(3)
    values = {"x": torch.randn(2, COLUMNS), "w": torch.randn(3, COLUMNS)}
    return StepRun(program(), values)


@dataclass
class Party:
    """A run of one step, with the value of one node changed in one element."""

    node: int | None = None
    element: int = 0
    repainted: bool = False
    changed: Mapping[int, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.changed = {}
        if self.node is not None:
            kind = program().nodes[self.node].type
            data = bytearray(computed().data[self.node])
            data[self.element * ITEM_BYTES[kind.dtype]] ^= 1
            self.changed = {self.node: bytes(data)}

    def _bytes(self, node: int) -> bytes:
        return self.changed.get(node, computed().data[node])

    def values(self, step: int) -> Sequence[bytes]:
        found = list(computed().digests)
        for node, data in self.changed.items():
            kind = program().nodes[node].type
            found[node] = tensor_digest(kind.dtype, kind.shape, data)
        # what comes after a lie differs too, as it does in a real run
        last = max(self.changed, default=len(found))
        for at in range(last + 1, len(found)):
            found[at] = bytes([at % 251]) * 32
        return found

    def states(self, boundaries: Sequence[int]) -> Sequence[Mapping[str, bytes]]:
        return [self._state(at) for at in boundaries]

    def _state(self, at: int) -> dict[str, bytes]:
        written = {it.name: it.node for it in program().outputs}
        inputs = {port.name: node for node, port in enumerate(program().inputs)}
        honest = computed().digests
        state = {name: bytes([7]) * 32 for name in written}
        state |= {name: honest[node] for name, node in inputs.items()}
        if at == 1:
            values = self.values(0)
            state |= {name: values[node] for name, node in written.items()}
            if self.repainted:
                state["w"] = bytes([9]) * 32
        return state

    def outputs(self, name: str) -> Sequence[bytes]:
        raise AssertionError("the Program has no outputs but the state's")

    def leaf_digests(self, step: int, node: int) -> Sequence[bytes]:
        kind = program().nodes[node].type
        return tensor_leaves(kind.dtype, kind.shape, self._bytes(node))

    def leaf(self, step: int, node: int, leaf: int) -> bytes:
        kind = program().nodes[node].type
        return leaf_bytes(kind.dtype, kind.shape, self._bytes(node), leaf)

    def terms(self, arities: Arities) -> Terms:
        before, after = map(state_root, self.states([0, 1]))
        unit = Unit(
            id=UnitId(JOB, 2, 1), program=program_digest(program()), state=before, step_from=5,
            steps=1, segments=1, seed=3,
        )  # fmt: skip
        receipt = Receipt(unit=unit, segments=(after,), outputs=(), cost=Cost(1, 1), signer=KEY)
        return Terms(receipt, program(), state_names(self._state(0)), arities=arities)


class Liar(Answerer):
    """A solver whose partial folds are made to come to its lie."""

    def own_parts(self) -> tuple[int, ...]:
        assert self.runs is not None
        parts = super().own_parts()
        if self.runs.judged.op in ("amax", "exponent"):
            return (*parts[:-1], self.runs.at.fold)
        rest = sum(parts[:-1])
        return (*parts[:-1], self.runs.at.fold - rest)


def ended(doubting: Party, answering: Party) -> tuple[Ended, list[str]]:
    """Play to the end; return how it ended and every call."""
    court = Court(Arities(8, 8, 8, 16, 16, 2))
    terms = answering.terms(court.arities)
    case = court.case(terms, answering.states([0])[0])
    doubter = Doubter(case, doubting, CHALLENGER, bytes(32))
    answerer = Liar(case, answering) if answering.changed else Answerer(case, answering)
    court.send(CHALLENGER, doubter.announce())
    court.now += 1
    court.send(CHALLENGER, doubter.open(SOLVER, bond=BOND, clock=court.clock()))
    cursor, calls = 0, []
    while doubter.ended is None:
        event = court.heard[cursor]
        cursor += 1
        for who, side in ((CHALLENGER, doubter), (SOLVER, answerer)):
            call = side.hear(event)
            if call is not None:
                court.now += 1
                court.send(who, call)
                calls.append(call.function)
    return doubter.ended, calls


def nodes_of(op: str) -> list[int]:
    """Return the nodes of an op."""
    return [at for at, node in enumerate(program().nodes) if node.op == op]


OPS = ["input", "add", "exponent", "quantise", "dot", "rescale", "amax", "sum", "expand"]


@pytest.mark.parametrize("op", OPS)
def test_a_lie_in_a_real_op_is_judged_and_lost(op: str) -> None:
    node = nodes_of(op)[0]
    size = program().nodes[node].type.elements
    found, calls = ended(Party(), Party(node, size * 2 // 3))
    assert found.challenger_won
    assert not found.silent
    assert calls[-1] == "settle"


@pytest.mark.parametrize("op", ["add", "rescale"])
def test_a_false_challenge_of_a_real_op_is_judged_and_lost(op: str) -> None:
    node = nodes_of(op)[0]
    found, calls = ended(Party(node, 1), Party())
    assert not found.challenger_won
    assert calls[-1] == "settle"


def test_an_entry_that_was_repainted_does_not_follow_from_the_step() -> None:
    found, calls = ended(Party(), Party(repainted=True))
    assert found.challenger_won
    assert calls == ["move", "judge"]
