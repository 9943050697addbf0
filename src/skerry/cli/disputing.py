"""The command `dispute`: a receipt goes to court, and every move is shown as it happens."""

from __future__ import annotations

from pathlib import Path

import typer

from skerry.base.units import format_count, format_seconds
from skerry.cli import console
from skerry.cli.sealing import ask_passphrase
from skerry.cli.verifying import finding_rows, receipt_rows
from skerry.messages.receipts import Receipt
from skerry.node.court import CourtWatch, Means, play_dispute
from skerry.node.court_moves import CourtMove
from skerry.node.court_party import Paying
from skerry.node.court_result import DisputeResult

LOST_EXIT = 4
_DOING = {
    "announce": "announces a doubt",
    "open": "doubts",
    "show": "shows state roots",
    "show_step": "shows the step's values",
    "show_trace": "shows the trace",
    "reveal": "shows roots",
    "show_leaf": "shows the leaf",
    "show_parts": "shows partial sums",
    "judge": "has it judged",
    "settle": "picks, has it judged",
    "refute": "refutes what was shown",
    "timeout": "ends it by the clock",
    "withdraw": "leaves",
}


def means_of(key: Path | None, fee_max: int, patience: float) -> Means:
    """Return by what the challenger plays, as the command's words say."""
    return Means(key, ask_passphrase, Paying(fee_max, patience))


def dispute_command(
    path: Path,
    lie: str,
    rpc_url: str,
    means: Means,
    *,
    honest: bool,
    published: bool,
    as_json: bool,
) -> None:
    """Take a receipt to court; exit code 4 where the solver lost."""
    watch = CourtWatch() if as_json else watch_moves()
    result = play_dispute(path, lie=lie, honest=honest, rpc_url=rpc_url, means=means, watch=watch)
    if as_json:
        console.show_json(
            {"result": result, "adds_up": result.adds_up, "transactions": len(result.moves)}
        )
    else:
        show_result(path, result)
    if result.challenger_won:
        raise typer.Exit(LOST_EXIT)


def watch_moves() -> CourtWatch:
    """Return what shows a dispute while it is played."""

    def claimed(receipt: Receipt) -> None:
        console.show_rows(receipt_rows(receipt))
        console.out.print(_line("move", "who", "does", "of", "gas", "clock"), style="bold")

    return CourtWatch(
        stage=lambda words: console.out.print(words, style="dim"),
        claim=claimed,
        move=lambda move: console.out.print(move_line(move), markup=False),
    )


def _line(number: str, who: str, does: str, about: str, gas: str, left: str) -> str:
    return f"{number:>4}  {who:<10}  {does:<23}  {about:<42}  {gas:>9}  {left:>8}".rstrip()


def move_line(move: CourtMove) -> str:
    """Return a move as one line of the table: what, of what, gas, and the mover's clock."""
    does = _DOING.get(move.name, "picks" if move.name.startswith("pick") else move.name)
    left = "" if move.seconds_left is None else clock_words(move.seconds_left)
    return _line(str(move.number), move.who, does, move.about, f"{move.gas:,}", left)


def clock_words(seconds: int) -> str:
    """Return seconds as a chess clock shows them."""
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def show_result(path: Path, result: DisputeResult) -> None:
    """Show how a dispute ended, and where the money went."""
    console.show_rows(result_rows(path, result))
    rows = [
        (it.who, f"{it.before:,}", f"{it.after:,}", f"{it.after - it.before:+,}")
        for it in result.balances
    ]
    before, after = result.held
    rows.append(("in the vault", f"{before:,}", f"{after:,}", f"{after - before:+,}"))
    console.show_table(("account", "before", "after", "change"), rows)
    words = "add up to what the vault holds" if result.adds_up else "DO NOT add up"
    console.out.print(f"the accounts {words}")


def result_rows(path: Path, result: DisputeResult) -> list[console.Row]:
    """Return how a dispute ended, as rows."""
    found = result.finding
    rows = [] if found is None else finding_rows(path, result.receipt, found)
    if result.liar == "challenger":
        rows = [(*it[:2], it[2].replace("recomputed", "doubted with")) for it in rows]
    if result.challenger_won:
        verdict = "the claim is false: the stake is slashed"
    else:
        verdict = "the claim is true: the bond is slashed"
    loser = "solver" if result.challenger_won else "challenger"
    by = "by the clock" if result.silent else verdict
    gas = f"{format_count(result.gas_before)} before it, for court, deposits and claim"
    return [
        *rows,
        ("planted", result.lie, f"step, node and element, by the {result.liar}"),
        ("verdict", f"the {loser} lost", by),
        ("gas", f"{result.gas:,}", gas),
        ("moves", f"{len(result.moves)} transactions", format_seconds(result.seconds)),
    ]
