"""Every op judged four ways: torch, reference, the rules in Python, and the contracts in an EVM.

Elementwise ops are compared element by element on long vectors, and some of them through openings.
Ops that map indices or reduce are always judged through openings, run by run. `cases` counts the
compared elements of each op, `mismatches` those that are not the same bits everywhere.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.adjudicate_cases import ELEMENTWISE, STRUCTURED, elementwise, structured
from benchmarks.measure import Note
from benchmarks.step_run import WORD, StepRun
from scripts.evm import Judges, judges
from skerry.program import Program, judged_node
from skerry.program.graph import DTYPES
from skerry.verify import folds, leaf
from skerry.verify.judged import Claim, Judged, Opened, read_node

CODES = {"f32": 1, "i64": 2, "bool": 3}
OPENED_EACH = 8  # elements of a structured case; of an elementwise one, judged through openings too


@dataclass
class Tally:
    """What was compared."""

    cases: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    gas: dict[str, int] = field(default_factory=dict)

    def compare(self, op: str, where: str, *found: int) -> None:
        """Count one case, in which every way should give the same."""
        self.cases[op] += 1
        if len(set(found)) != 1:
            self.mismatches.append(f"{op} {where}: {[hex(x) for x in found]}")

    def used(self, op: str, gas: int) -> None:
        """Remember the most gas of an op."""
        self.gas[op] = max(gas, self.gas.get(op, 0))


def as_claim(claim: Claim) -> tuple[bytes, bytes, int, int]:
    """Return a claim as the contracts take it."""
    return claim.node, claim.trace, claim.values, claim.element


def as_shown(openings: tuple[Opened, ...]) -> list[tuple[bytes, list[bytes]]]:
    """Return openings as the contracts take them."""
    return [(it.data, list(it.path)) for it in openings]


def vectors(tally: Tally, chain: Judges, op: str, count: int, rng: random.Random) -> None:
    """Compare an elementwise op on `count` elements."""
    for program, inputs in elementwise(op, count, rng):
        run = StepRun(program, inputs)
        at = program.outputs[0].node
        node = program.nodes[at]
        other = run.torch_columns([at])[at]
        operands = [run.column(read) for read in node.inputs]
        attr = node.integer(node.attrs[0][0]) if node.attrs else 0
        code = CODES[program.nodes[node.inputs[-1]].type.dtype]
        for i, (want, torches) in enumerate(zip(run.column(at), other, strict=True)):
            bits = [column[i] for column in operands] + [0] * (3 - len(operands))
            got = chain.arithmetic.words("element", op.encode(), code, *bits, attr)
            tally.compare(op, f"{attr} {[hex(x) for x in bits]}", want, torches, got)
        for _ in range(OPENED_EACH):
            opened(tally, chain, run, at, rng.randrange(node.type.elements))


def opened(tally: Tally, chain: Judges, run: StepRun, at: int, element: int) -> None:
    """Compare one element that is judged through openings."""
    program = run.program
    op, raw, want = program.nodes[at].op, judged_node(program, at), run.bits(at, element)
    claim = leaf.Gathered(program, run, 0, at).claim(element)
    if op in folds.FOLDS:
        fold = folded(tally, chain, run, at, claim, raw)
        tally.compare(op, f"{program.nodes[at]} [{element}]", *fold)
        return
    shown = leaf.openings_for(program, run, 0, at, element)
    twin = leaf.judge(claim, raw, shown)
    got = chain.adjudicator.call("judge", as_claim(claim), raw, as_shown(shown))
    tally.used(op, chain.adjudicator.gas)
    tally.compare(op, f"{program.nodes[at]} [{element}]", want, twin, got)


def folded(
    tally: Tally, chain: Judges, run: StepRun, at: int, claim: Claim, raw: bytes
) -> tuple[int, ...]:
    """Return the fold that an element claims, and what its runs come to, in Python and in the EVM.

    Every run is judged on its own; the element itself is the reference's.
    """
    program, element = run.program, claim.element
    judged: Judged = read_node(claim, raw)
    subject = run.bits(at, element)
    top, count = folds.claimed(judged, element, subject), folds.runs(judged, element)
    on_chain = chain.folds.call("runs", as_claim(claim), raw)
    twins, found = [], []
    for number in range(count):
        shown = folds.openings_for_run(program, run, 0, at, element, subject, number)
        twins.append(folds.judge_run(claim, raw, subject, number, shown) & WORD)
        call = (as_claim(claim), raw, subject, number, as_shown(shown))
        found.append(chain.folds.call("judge", *call))
        tally.used(judged.op, chain.folds.gas)
    if twins != found or on_chain != count:
        tally.mismatches.append(f"{judged.op} {judged.node} [{element}]: {twins} {found}")
    joined = found
    while len(joined) > 1:
        rows = [joined[i : i + folds.PARTS_MAX] for i in range(0, len(joined), folds.PARTS_MAX)]
        joined = [
            chain.folds.call(
                "combined", as_claim(claim), raw, b"".join(x.to_bytes(8, "big") for x in row)
            )
            for row in rows
        ]
    signs = [x - (1 << 64) if x >> 63 else x for x in twins]
    while len(signs) > 1:
        rows = [signs[i : i + folds.PARTS_MAX] for i in range(0, len(signs), folds.PARTS_MAX)]
        signs = [folds.combined(judged.op, row) for row in rows]
    claimed = chain.folds.call("claimed", as_claim(claim), raw, subject)
    return top & WORD, claimed, signs[0] & WORD, joined[0]


def structures(tally: Tally, chain: Judges, op: str, count: int, rng: random.Random) -> None:
    """Compare an op that maps indices or reduces on at least `count` elements."""
    done = 0
    while done < count:
        program, inputs = structured(op, rng)
        run = StepRun(program, inputs)
        at = program.outputs[0].node
        other = run.torch_columns([at])[at]
        if other != run.column(at):
            tally.mismatches.append(f"{op}: torch and reference differ on {program.nodes[at]}")
        for _ in range(OPENED_EACH):
            opened(tally, chain, run, at, rng.randrange(program.nodes[at].type.elements))
        done += OPENED_EACH


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Compare every op."""
    chain, tally, rng = judges(), Tally(), random.Random(7)
    scalar, other = (250, 24) if quick else (100_000, 1_000)
    start = time.perf_counter()
    for op in ELEMENTWISE:
        vectors(tally, chain, op, scalar, rng)
        note(f"{op:12} {tally.cases[op]:8} cases, {len(tally.mismatches)} mismatches")
    for op in STRUCTURED:
        structures(tally, chain, op, other, rng)
        note(f"{op:12} {tally.cases[op]:8} cases, {len(tally.mismatches)} mismatches")
    for line in tally.mismatches[:20]:
        note(line)
    return {
        "benchmark": "adjudicate",
        "quick": quick,
        "cases": dict(sorted(tally.cases.items())),
        "mismatches": len(tally.mismatches),
        "cases_scalar_min": min(tally.cases[op] for op in ELEMENTWISE),
        "cases_other_min": min(tally.cases[op] for op in STRUCTURED),
        "ops": len(tally.cases),
        "seconds": round(time.perf_counter() - start, 1),
    }


__all__ = ["DTYPES", "Program", "Tally", "opened", "run", "structures", "vectors"]
