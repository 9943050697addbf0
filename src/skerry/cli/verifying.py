"""The commands `verify` and `reveal`."""

from __future__ import annotations

import struct
from pathlib import Path

import typer

from skerry.base.ids import nickname
from skerry.base.units import format_bytes, format_count, format_seconds
from skerry.cli import console
from skerry.messages.disputes import (
    Open,
    Pick,
    RevealLeaf,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.messages.receipts import Receipt
from skerry.node.checking import answer, run_of, verify_receipt, walk_to_lie
from skerry.node.dispute import Move, WalkResult, read_receipt
from skerry.node.past import load_run
from skerry.program import program_digest
from skerry.program.text import node_text
from skerry.storage import RunFolder
from skerry.verify import Finding, Forfeit, Verdict

FAULT_EXIT = 4


def verify_command(path: Path, against: str, *, as_json: bool) -> None:
    """Replay a unit, or walk a party to its lie; exit code 4 where something differs."""
    if against:
        _walk(path, "" if against == "here" else against, as_json=as_json)
        return
    receipt = read_receipt(path)
    verdict = verify_receipt(path)
    if as_json:
        console.show_json({"equal": verdict.equal, "verdict": verdict})
    else:
        console.show_rows([*receipt_rows(receipt), _verdict_row(verdict)])
    if not verdict.equal:
        raise typer.Exit(FAULT_EXIT)


def receipt_rows(receipt: Receipt) -> list[console.Row]:
    """Return what a receipt is about, as rows."""
    unit = receipt.unit
    last = unit.step_from + unit.steps - 1
    steps = f"step {last}" if unit.steps == 1 else f"steps {unit.step_from} to {last}"
    return [
        (
            "unit",
            f"round {unit.id.round}, lane {unit.id.lane}",
            f"{steps}, {unit.segments} segments",
        ),
        ("signer", nickname(receipt.signer), receipt.signer.hex()[:16]),
        ("claim", receipt.state_after.hex()[:16], "root of the state after"),
        ("cost", f"{format_count(receipt.cost.operations)} operations", "counted"),
    ]


def _verdict_row(verdict: Verdict) -> console.Row:
    return ("verdict", "equal" if verdict.equal else "DIFFERS", str(verdict))


def _walk(path: Path, address: str, *, as_json: bool) -> None:
    seen: list[Move] = []

    def watch(move: Move) -> None:
        seen.append(move)
        if not as_json:
            console.out.print(f"move {len(seen):>3}  {describe_move(move)}", markup=False)

    walk = walk_to_lie(path, address, watch)
    if as_json:
        console.show_json(
            {"outcome": walk.outcome, "moves": len(walk.moves), "bytes_sent": walk.bytes_sent,
             "seconds": walk.seconds}
        )  # fmt: skip
    else:
        console.show_rows(walk_rows(path, walk))
    if walk.outcome is not None:
        raise typer.Exit(FAULT_EXIT)


def describe_move(move: Move) -> str:
    """Return a move of the walk as one line."""
    match move:
        case Open(segment=None):
            return f"challenger  doubts output {move.output}"
        case Open():
            return f"challenger  doubts segment {move.segment}"
        case Pick():
            return f"challenger  picks part {move.choice}"
        case RevealRoots():
            return f"respondent  reveals {len(move.roots)} roots"
        case RevealTrace() | RevealStep():
            return f"respondent  reveals the trace of the step, {len(move.roots)} roots"
        case RevealLeaf():
            return f"respondent  reveals a leaf of {len(move.data)} bytes"


def walk_rows(path: Path, walk: WalkResult) -> list[console.Row]:
    """Return how a walk ended, as rows."""
    rows = receipt_rows(walk.receipt)
    rows.append(_verdict_row(walk.verdict))
    match walk.outcome:
        case None:
            rows.append(("walk", "nothing to dispute", "both runs agree in every root"))
        case Forfeit(wrong, reason):
            rows.append(("forfeit", reason, str(wrong)))
        case Finding() as finding:
            rows += finding_rows(path, walk.receipt, finding)
    rows.append(
        (
            "walk",
            f"{len(walk.moves)} moves, {format_bytes(walk.bytes_sent)}",
            format_seconds(walk.seconds),
        )
    )
    return rows


def finding_rows(path: Path, receipt: Receipt, finding: Finding) -> list[console.Row]:
    """Return where two runs part, as rows."""
    _, programs = load_run(RunFolder(run_of(path)))
    place = f"step {receipt.unit.step_from + finding.step}"
    rows: list[console.Row] = [
        ("parts at", place, f"segment {finding.segment}, step {finding.step} of the unit")
    ]
    if finding.node is None:
        return [*rows, ("entry", str(finding.name), "a state entry that no op touches was changed")]
    program = next(it for it in programs.values() if program_digest(it) == receipt.unit.program)
    dtype = program.nodes[finding.node].type.dtype
    return [
        *rows,
        ("op", finding.op, node_text(program, finding.node)),
        (
            "element",
            f"{finding.element}",
            f"claimed {_number(finding.claimed, dtype)}, recomputed {_number(finding.own, dtype)}",
        ),
    ]


def _number(data: bytes, dtype: str) -> str:
    if dtype == "f32":
        return f"{struct.unpack('<f', data)[0]!r} (0x{int.from_bytes(data, 'little'):08x})"
    return str(int.from_bytes(data, "little", signed=dtype == "i64"))


def reveal_command(path: Path, lie: str, *, as_json: bool) -> None:
    """Answer for a receipt until a walk ends."""

    def announce(address: str, receipt: Receipt) -> None:
        if as_json:
            console.show_json({"address": address, "state_after": receipt.state_after})
            return
        console.show_rows(
            [
                *receipt_rows(receipt),
                ("answering", address, "with one planted lie" if lie else "honestly"),
                ("next", f"skerry verify {path} --against {address}", ""),
            ]
        )

    answer(path, lie, announce)
