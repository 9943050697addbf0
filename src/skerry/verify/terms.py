"""What a dispute is about, and the one way to lose it at once.

What    `Terms` is what both parties know before the first move. `MoveRefused` says which rule a
        move broke.
Why     Both parties and a judge must read the same facts, none of which needs a run.
Pure    Frozen values.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum, unique
from functools import cached_property

from skerry.base.errors import PeerError
from skerry.commit.transcript import segment_bounds
from skerry.messages.disputes import ARITY_MAX
from skerry.messages.receipts import Receipt
from skerry.messages.signing import signed_digest
from skerry.program import Program

ARITY = 8
RUNS_MAX = 256
WHOLE_NAMES_MAX = 16


@unique
class Wrong(StrEnum):
    """Why a move was refused, or a party lost without a finding."""

    SILENT = "silent"
    GAME = "game"
    TURN = "turn"
    KIND = "kind"
    CHOICE = "choice"
    COUNT = "count"
    ROOTS = "roots"
    STATE = "state"
    TRACE = "trace"
    LEAF = "leaf"
    OUTPUT = "output"
    PARTS = "parts"


class MoveRefused(PeerError):
    """A party made a move that the rules of the dispute do not allow: it loses."""

    code = "peer.move"

    def __init__(self, wrong: Wrong, reason: str) -> None:
        self.wrong = wrong
        self.reason = reason
        super().__init__(
            f"a move was refused ({wrong}): {reason}", next_step="claim the dispute as won"
        )


@dataclass(frozen=True, slots=True)
class Arities:
    """Into how many parts a reveal cuts what is in doubt, level by level; powers of two.

    Attributes:
        steps: the steps of a segment.
        names: the entries of a state.
        outputs: the steps of an output.
        nodes: the values of a step.
        leaves: the leaves of a value.
        runs: the runs of a reduction, where a judge walks into one.
    """

    steps: int
    names: int
    outputs: int
    nodes: int
    leaves: int
    runs: int

    def __post_init__(self) -> None:
        for name, arity in by_level(self):
            limit = RUNS_MAX if name == "runs" else ARITY_MAX
            if not 2 <= arity <= limit or arity & arity - 1:
                raise ValueError(f"arity {arity} of {name} is not a power of two from 2 to {limit}")

    @classmethod
    def all(cls, arity: int) -> Arities:
        """Return the same arity on every level."""
        return cls(arity, arity, arity, arity, arity, arity)


def by_level(arities: Arities) -> list[tuple[str, int]]:
    """Return the levels with their arities."""
    return [(it.name, getattr(arities, it.name)) for it in fields(arities)]


@dataclass(frozen=True)
class Terms:
    """What both parties know before the first move.

    Attributes:
        receipt: the doubted receipt.
        program: the Program that the receipt's unit names.
        names: the names of the state after a step, as `commit.state.state_names` orders them.
        arity: into how many parts a reveal cuts what is in doubt; a power of two.
        arities: the same for each level alone, where they differ; then `arity` says nothing.
        whole_steps: whether one step is doubted as a whole, as on a chain, where a row costs more
            than the few entries of a state that it would single out.
    """

    receipt: Receipt
    program: Program
    names: tuple[str, ...]
    arity: int = ARITY
    arities: Arities | None = None
    whole_steps: bool = False

    def __post_init__(self) -> None:
        Arities.all(self.arity)

    @cached_property
    def cuts(self) -> Arities:
        """The arity of every level."""
        return self.arities or Arities.all(self.arity)

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """The boundaries whose state roots the receipt gives."""
        return segment_bounds(self.receipt.unit.steps, self.receipt.unit.segments)

    @cached_property
    def bound_roots(self) -> tuple[bytes, ...]:
        """The state roots at `bounds`, as the receipt gives them."""
        return (self.receipt.state_before, *self.receipt.segments)

    @cached_property
    def state_nodes(self) -> dict[str, int]:
        """The node that becomes each entry of the state; what is not here is carried over."""
        return {it.name: it.node for it in self.program.outputs if it.role == "state"}

    @cached_property
    def output_nodes(self) -> dict[str, int]:
        """The node behind each value and metric."""
        return {it.name: it.node for it in self.program.outputs if it.role != "state"}

    @cached_property
    def game(self) -> bytes:
        """The name of the dispute: the receipt's own."""
        return signed_digest(self.receipt)
