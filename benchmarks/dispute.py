"""Gas and transactions of the longest disputes, from receipts of a node with Prague pricing.

The unit has 32 steps of 2,000 ops of ten million elements, and its trace is made where somebody
looks. Both sides play through the court, before the real market; every transaction of both counts.
Each dispute begins on a chain on which there was none before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.court_node import BOND, CHALLENGER, CourtGround, DoubtedJob
from benchmarks.court_trace import LazyRun, Lie, Shape, program_of
from benchmarks.happy import key_of, sign
from benchmarks.measure import Note
from skerry.chain.anvil import CHAIN, Anvil
from skerry.chain.court_calls import Case, shipped
from skerry.chain.courthouse import ARITIES
from skerry.chain.disputes import Answerer, Doubter
from skerry.chain.proofs import own_parts
from skerry.chain.published import Jumper, Publication, published_message
from skerry.chain.rpc import Rpc
from skerry.verify.runs_game import RunsGame
from skerry.verify.terms import Terms
from skerry.verify.walk import RunRoots

STEPS, NODES, NODE = 32, 2000, 1333


@dataclass(frozen=True)
class Strategy:
    """How a solver lies, and in how many segments its unit is cut."""

    name: str
    lie: Lie
    segments: int = 4


STRATEGIES = (
    Strategy("element of f32, three operands", Lie("select", 21)),
    Strategy("element of i64", Lie("mul i64", 21)),
    Strategy("dot", Lie("dot", 21)),
    Strategy("sum over everything", Lie("sum", 21)),
    Strategy("sum down the columns, so far", Lie("cumsum", 21)),
    Strategy("scattered sum", Lie("scatter_add", 21)),
    Strategy("output alone, dot", Lie("dot", 21, output=True)),
    Strategy("output alone, scattered sum", Lie("scatter_add", 21, output=True)),
    Strategy("rescale", Lie("rescale", 21)),
    Strategy("dot, a segment a step", Lie("dot", 21), segments=32),
)

PUBLISHED = tuple(it for it in STRATEGIES if it.name in ("dot", "scattered sum"))
QUICK = tuple(it for it in STRATEGIES if it.lie.op in ("dot", "scatter_add", "select"))


def quick_parts(run: RunRoots, game: RunsGame) -> tuple[int, ...]:
    """Return the partial folds that are due; long folds by whole arrays, which gives the same."""
    if game.judged.op not in ("sum", "scatter_add") or game.at.last - game.at.first < 64:
        return own_parts(run, game)
    step, element, inputs = game.point.step, game.point.element, game.judged.node.inputs

    def fold(at: int) -> int:
        leaves = [np.frombuffer(run.leaf(step, node, at), "<i8") for node in inputs]
        chosen = leaves[0] if len(leaves) == 1 else leaves[1][leaves[0] == element]
        return int(chosen.sum())

    cuts = game.cuts()
    return tuple(
        sum(fold(at) for at in range(cuts[part], cuts[part + 1])) for part in range(len(cuts) - 1)
    )


class Seeker(Doubter):
    """A challenger that adds long folds up quickly."""

    def own_parts(self, game: RunsGame) -> tuple[int, ...]:
        """Return the parts that were due, by one's own run."""
        return quick_parts(self.run, game)


class Seer(Jumper):
    """The same, where the solver published its roots."""

    def own_parts(self, game: RunsGame) -> tuple[int, ...]:
        """Return the parts that were due, by one's own run."""
        return quick_parts(self.run, game)


class Liar(Answerer):
    """A solver whose partial folds are made to come to its lie."""

    def own_parts(self) -> tuple[int, ...]:
        """Return honest parts, of which one takes up the difference."""
        assert self.runs is not None, "runs"
        parts = quick_parts(self.run, self.runs)
        at = len(parts) // 2
        rest = self.runs.combine([*parts[:at], *parts[at + 1 :]]) if len(parts) > 1 else 0
        off = (self.runs.at.fold - rest + (1 << 63)) % (1 << 64) - (1 << 63)
        return (*parts[:at], off, *parts[at + 1 :])


@dataclass
class Dispute:
    """A job on the chain, a receipt of it, and both parties' runs."""

    ground: CourtGround
    honest: LazyRun
    liar: LazyRun

    def __post_init__(self) -> None:
        self.terms: Terms = self.liar.terms()
        self.job = DoubtedJob(self.ground, 6, receipt=self.terms.game)
        self.job.award()
        self.ground.now += 3_600
        self.job.commit()
        self.challenger = key_of(CHALLENGER)
        self.case = Case(self.terms, self.honest.states([0])[0], self.job.docket(), shipped())
        self.ground.who = {self.challenger: "challenger", self.job.solver: "solver"}

    def walk(self) -> Doubter:
        """Return a challenger who has seen nothing but the receipt."""
        return Seeker(self.case, self.honest, self.challenger, bytes(32))

    def jump(self) -> Doubter:
        """Return a challenger who has seen roots that the solver published."""
        publication = Publication.of(self.liar, STEPS)
        message = published_message(
            self.terms.game, publication.root(), chain=CHAIN, court=self.ground.at["court"]
        )
        return Seer(
            self.case, self.honest, self.challenger, bytes(32),
            theirs=self.liar, publication=publication, signature=sign(self.job.solver, message),
        )  # fmt: skip

    def play(self, doubter: Doubter) -> bool:
        """Play to the end; return whether the challenger won."""
        ground, solver = self.ground, self.job.solver
        ground.heard.clear()
        ground.spent.clear()
        answerer = Liar(self.case, self.liar)
        ground.play(self.challenger, doubter.announce())
        clock = ground.terms.clock(self.job.terms.clock)
        ground.play(self.challenger, doubter.open(solver, bond=BOND, clock=clock))
        cursor = 0
        while doubter.ended is None:
            event = ground.heard[cursor]
            cursor += 1
            for who, side in ((self.challenger, doubter), (solver, answerer)):
                call = side.hear(event)
                if call is not None:
                    ground.play(who, call)
        return doubter.ended.challenger_won


def measured(ground: CourtGround, strategy: Strategy, *, published: bool = False) -> dict[str, Any]:
    """Return the gas and the transactions of a dispute against one strategy."""
    before = ground.rpc.ask("evm_snapshot"), ground.books, ground.now
    shape = Shape(STEPS, NODES, strategy.segments, ARITIES)
    program = program_of(shape, strategy.lie, NODE)
    kept: dict[tuple[int, bool], list[bytes]] = {}
    started = time.perf_counter()
    honest, liar = (
        LazyRun(program, shape, strategy.lie, NODE, lies, kept) for lies in (False, True)
    )
    dispute = Dispute(ground, honest, liar)
    won = dispute.play(dispute.jump() if published else dispute.walk())
    row = {
        "strategy": strategy.name,
        "won": won,
        "gas": sum(gas for *_, gas in ground.spent),
        "transactions": len(ground.spent),
        "seconds": round(time.perf_counter() - started, 1),
        "moves": [
            f"{who:10} {name:14} {size:6} B {gas:8,}" for who, name, size, gas in ground.spent
        ],
    }
    ground.rpc.ask("evm_revert", before[0])
    _, ground.books, ground.now = before
    return row


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Play a dispute against each strategy and keep the worst."""
    with Anvil(repeatable=True) as anvil:
        rpc = Rpc(anvil.url)
        ground = CourtGround(rpc, arities=ARITIES)
        DoubtedJob(ground, 6).fund()
        tried = [it for it in STRATEGIES if not quick or it in QUICK]
        rows = [measured(ground, it) for it in tried]
        shown = [measured(ground, it, published=True) for it in PUBLISHED if it in tried]
        rpc.close()
    for row in [*rows, *shown]:
        note(f"{row['strategy']:32} {row['gas']:9,} gas {row['transactions']:3} transactions")
        for move in row["moves"]:
            note(f"    {move}")
    deployed = {name: gas for name, gas in ground.gas.items() if name.startswith("deploy")}
    return {
        "gas": max(row["gas"] for row in rows),
        "transactions": max(row["transactions"] for row in rows),
        "oneshot_gas": max(row["gas"] for row in shown),
        "oneshot_transactions": max(row["transactions"] for row in shown),
        "rows": [{key: row[key] for key in row if key != "moves"} for row in rows],
        "moves": {row["strategy"]: row["moves"] for row in rows},
        "deployed": deployed,
        "pricing": "prague, transaction gas limit on, anvil 1.7.1",
    }
