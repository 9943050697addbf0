"""Published roots: what a solver signed is believed, and nothing that it tells beyond that."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from skerry.chain.anvil import CHAIN
from skerry.chain.deploy import Manifest, Placed
from skerry.chain.keyfiles import ChainKey
from skerry.chain.published import Publication
from skerry.node.court_published import (
    Digests,
    LeavesAsked,
    PublicationFalse,
    Published,
    PublishedRun,
    ValuesAsked,
    check_published,
    publish,
)
from skerry.program import Node, Output, Port, Program, TensorType
from tests.verify.toy import Run, Toy

SOLVER = ChainKey(bytes(31) + b"\x05")
RECEIPT = bytes([3]) * 32
AT = Manifest(CHAIN, 0, {"court": Placed(b"\x21" * 20, bytes(32), "")})
WIDE = TensorType("f32", (600,))
PROGRAM = Program(
    "step",
    (Port("w", "state", WIDE),),
    (Node("input", (), (("port", 0),), WIDE), Node("neg", (0,), (), WIDE)),
    (Output("w", "state", 1),),
)
STEPS = 4


@dataclass
class Solver:
    """Tells of its run what it is asked; of another run where `lies`."""

    run: Run
    asked: list[msgspec.Struct] = field(default_factory=list)

    def ask(self, line: msgspec.Struct) -> None:
        self.asked.append(line)

    def hear(self, kind: type[Digests]) -> Digests:
        line = self.asked[-1]
        if isinstance(line, ValuesAsked):
            return Digests(tuple(self.run.values(line.step)))
        assert isinstance(line, LeavesAsked)
        return Digests(tuple(self.run.leaf_digests(line.step, line.node)))


@pytest.fixture
def run() -> Run:
    return Run(Toy(PROGRAM, STEPS, 2, carried=()))


@pytest.fixture
def told(run: Run) -> Published:
    return publish(Publication.of(run, STEPS), RECEIPT, SOLVER, AT)


def test_what_was_signed_is_asked_for_once(run: Run, told: Published) -> None:
    publication = check_published(told, STEPS, RECEIPT, SOLVER.address, AT)
    solver = Solver(run)
    seen = PublishedRun(PROGRAM, publication, told.signature, solver)
    assert seen.leaf_digests(2, 1) == seen.leaf_digests(2, 1) == tuple(run.leaf_digests(2, 1))
    assert seen.values(2) == tuple(run.values(2))
    assert len(solver.asked) == 2


@pytest.mark.parametrize("signer", [b"\x06", b""])
def test_a_signature_of_somebody_else_is_none(told: Published, signer: bytes) -> None:
    other = bytes(64) if not signer else b""
    if signer:
        told = publish(Publication(told.steps), RECEIPT, ChainKey(signer.rjust(32, b"\0")), AT)
    else:
        told = Published(told.steps, other)
    with pytest.raises(PublicationFalse):
        check_published(told, STEPS, RECEIPT, SOLVER.address, AT)


def test_a_publication_speaks_of_every_step_of_this_receipt(told: Published) -> None:
    with pytest.raises(PublicationFalse):
        check_published(told, STEPS + 1, RECEIPT, SOLVER.address, AT)
    with pytest.raises(PublicationFalse):
        check_published(told, STEPS, bytes(32), SOLVER.address, AT)


def test_what_was_not_signed_is_not_believed(run: Run, told: Published) -> None:
    publication = check_published(told, STEPS, RECEIPT, SOLVER.address, AT)
    moved = Solver(run)
    seen = PublishedRun(PROGRAM, publication, told.signature, moved)
    seen.values(2)
    moved.run = Run(Toy(PROGRAM, STEPS, 2, carried=()), stale=1)
    with pytest.raises(PublicationFalse):
        seen.values(1)
    with pytest.raises(PublicationFalse):
        seen.leaf_digests(2, 1)
