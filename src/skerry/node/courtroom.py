"""What both sides of a dispute on a chain know of it, and the sides of those who cannot be right.

What    `case_of` is what a party knows of a dispute; `check_lie` refuses what no court can judge.
        `LyingAnswerer` and `FalseDoubter` go on where an honest side would stop.
Why     Solver and challenger are different processes that know the same of one unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skerry.arithmetic.elements import wrapped
from skerry.base.errors import JobError
from skerry.chain.court_calls import Case, pick_call, shipped
from skerry.chain.courthouse import ARITIES
from skerry.chain.disputes import Answerer, Doubter, Shown, heard_parts
from skerry.chain.moves import Call
from skerry.chain.proofs import own_parts
from skerry.dataset import Dataset
from skerry.messages.disputes import Pick
from skerry.messages.receipts import Receipt, Unit
from skerry.node.dispute import terms_of
from skerry.node.party import Lie, LieImpossible, PartyRun
from skerry.node.past import PastRun
from skerry.node.readings import SplitSource, readings_of
from skerry.verify import RunRoots, Terms
from skerry.verify.folds import GREATEST
from skerry.verify.positions import Point
from skerry.verify.runs_game import parts_of

# A judge is shown a sample whole, and a call has its limits.
RECORD_BYTES_MAX = 4096


class LieNotJudged(JobError):
    """A lie ends in a last move that is too large for the court."""

    code = "job.lie.judge"

    def __init__(self, lie: Lie, what: str) -> None:
        super().__init__(
            f"the court cannot judge the lie {lie}: {what}",
            next_step="tell a lie about an op that computes",
        )


def check_lie(past: PastRun, receipt: Receipt, lie: Lie) -> None:
    """Refuse a lie that no unit can hold or no judge of the court can see through.

    Args:
        past: the run.
        receipt: names the unit.
        lie: what is to be changed.

    Raises:
        LieImpossible: there is no such element.
        LieNotJudged: the court has no judge for it.
    """
    program = past.lanes.programs[past.name_of(receipt.unit)]
    if lie.step >= receipt.unit.steps or lie.node >= len(program.nodes):
        raise LieImpossible(
            f"the unit has {receipt.unit.steps} steps of {len(program.nodes)} nodes"
        )
    node = program.nodes[lie.node]
    if lie.element >= node.type.elements:
        raise LieImpossible(f"node {lie.node} has {node.type.elements} elements")
    if node.op != "input" or program.inputs[node.integer("port")].role != "data":
        return
    source = sample_source(past, receipt.unit)
    size = source.reading.record_bytes if source is not None else 0
    if size > RECORD_BYTES_MAX:
        raise LieNotJudged(
            lie, f"a sample has {size:,} bytes, and a judge reads {RECORD_BYTES_MAX:,}"
        )


def sample_source(past: PastRun, unit: Unit) -> SplitSource | None:
    """Return the samples that a unit reads, or None where it reads none."""
    data, samples = past.lanes.feed.samples, unit.data
    if samples is None or not isinstance(data, Dataset):
        return None
    config = past.config
    known = readings_of(data.manifest, shards=config.shards, batch=config.samples_per_shard)
    for name, reading in known.items():
        if reading.digest == samples.reading:
            return SplitSource(reading, data.reader(name))
    return None


def case_of(past: PastRun, receipt: Receipt, run: PartyRun, docket: bytes) -> Case:
    """Return what a party knows of a dispute about a receipt of a run."""
    terms = court_terms(past, receipt)
    source = sample_source(past, receipt.unit)
    return Case(terms, run.states([0])[0], docket, shipped(), source)


def court_terms(past: PastRun, receipt: Receipt) -> Terms:
    """Return what both parties know before the first move, cut as the court cuts it."""
    plain = terms_of(past, receipt)
    return Terms(plain.receipt, plain.program, plain.names, arities=ARITIES)


# ---- those who cannot be right -------------------------------------------------------------------


class LyingAnswerer(Answerer):
    """A solver whose partial folds are made to come to its lie."""

    def own_parts(self) -> tuple[int, ...]:
        """Return honest parts, of which one takes up the difference."""
        assert self.runs is not None, "runs"
        parts, due = super().own_parts(), self.runs.at.fold
        if self.runs.judged.op in GREATEST:
            return (*(min(it, due) for it in parts[:-1]), due)
        return (*parts[:-1], wrapped(due - sum(parts[:-1])))


@dataclass
class FalseDoubter(Doubter):
    """A challenger who doubts what is true, and goes on where every part of it is.

    Attributes:
        truth: makes an honest run, which has the proofs of what a step was given; his own has none.
    """

    truth: Callable[[], RunRoots] | None = None

    def proofs(self) -> RunRoots:
        """Return the run whose leaves the judge is shown."""
        assert self.walk.game is not None, "a game"
        at = self.walk.game.position
        given = isinstance(at, Point) and self.case.terms.program.nodes[at.node].op == "input"
        return self.truth() if given and self.truth is not None else self.run

    def _shown_parts(self, event: Shown) -> Call:
        assert self.stand is not None, "a game of runs"
        assert self.runs is not None, "a game of runs"
        message = heard_parts(self.runs, event.data)
        shown = self.runs.reveal(message)
        pairs = enumerate(zip(own_parts(self.run, shown), parts_of(message), strict=True))
        choice = next((at for at, (own, it) in pairs if own != it), 0)
        pick = Pick(self.case.terms.game, shown.turn + 1, choice)
        self.runs = shown.pick(pick)
        call = pick_call(self.case, self.stand, shown, pick)
        if self.settles and self.runs.over:
            return self._settle(call.arguments[3])
        return call
