"""The command `run`, and its live view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from skerry.base.units import format_bytes, format_count, format_ratio
from skerry.cli import console
from skerry.cli.planning import plan_rows, preparation_bars
from skerry.node.events import (
    CheckpointWritten,
    EvaluationFinished,
    RoundFinished,
    RunEvent,
    RunStarted,
    WorkerDown,
    WorkerUp,
)
from skerry.node.jobs import Evaluation, JobResult, Watchers, live_job
from skerry.node.market.bought import bought_by
from skerry.node.submission import JobFile, TracedJob, load_job
from skerry.plan import Plan


def run_command(
    path: Path, changes: Sequence[str], network: str | None, *, as_json: bool, plain: bool
) -> None:
    """Run a job and show it live."""
    file = load_job(path, changes)
    result = watched(file, network, quiet=as_json, plain=plain)
    if as_json:
        console.show_json(result)
        return
    console.show_rows(result_rows(file, result))
    if network is not None and bought_by(file.run_folder) is not None:
        from skerry.cli.billing import invoice_command

        invoice_command(str(file.run_folder), None, "", as_json=False)


def watched(
    file: JobFile, network: str | None = None, *, quiet: bool = False, plain: bool = False
) -> JobResult:
    """Run a job; show bars on a terminal, a line a round elsewhere, nothing if `quiet`."""
    if quiet:
        return live_job(file, network=network)
    with preparation_bars(shown=True) as told, round_view(plain=plain) as event:
        return live_job(
            file,
            Watchers(
                progress=told,
                traced=lambda *known: _announce(*known),
                event=event,
                market=_market_line,
            ),
            network=network,
        )


def _announce(traced: TracedJob, plan: Plan) -> None:
    console.show_rows(plan_rows(traced, plan))


@contextmanager
def round_view(*, plain: bool) -> Iterator[Callable[[RunEvent], None]]:
    """Yield what shows each event of a run."""
    if plain or not console.out.is_terminal:
        yield _line
        return
    columns = (
        TextColumn("[bold]round {task.completed}/{task.total}"), BarColumn(24),
        TextColumn("{task.fields[line]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console.out) as bars:
        view = _Bars(bars)
        yield view.show


class _Bars:
    """A bar over rounds; deaths, joins and evaluations stay above it as lines."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.task: TaskID | None = None
        self.workers = 0

    def show(self, event: RunEvent) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self.task = self.bars.add_task(
                    "", total=event.rounds, completed=event.round, line="starting workers"
                )
            case WorkerUp() | WorkerDown():
                self.workers = event.workers
            case _:
                pass
        if isinstance(event, RoundFinished) and self.task is not None:
            self.bars.update(
                self.task,
                completed=event.round + 1,
                line=f"{_round_words(event)}  {self.workers} workers",
            )
            return
        words = describe(event)
        if words:
            self.bars.console.print(words, markup=False)


def _market_line(words: str) -> None:
    console.out.print(f"market  {words}", markup=False)
    console.out.file.flush()


def _line(event: RunEvent) -> None:
    words = describe(event)
    if words:
        console.out.print(words, markup=False)
        console.out.file.flush()


def describe(event: RunEvent) -> str:
    """Return an event as one line, or "" where it is not worth one."""
    match event:
        case RunStarted(round=at) if at:
            return f"going on at round {at} of {event.rounds}"
        case WorkerUp():
            return f"worker {event.worker} joined ({event.workers} at work)"
        case WorkerDown():
            return f"worker {event.worker} lost: {event.detail} ({event.workers} at work)"
        case RoundFinished():
            return f"round {event.round + 1:>4}  {_round_words(event)}"
        case EvaluationFinished():
            count = event.sums.get("count", 0.0) or 1.0
            return f"held out after {event.steps} steps: loss {event.sums['loss_sum'] / count:.4f}"
        case CheckpointWritten():
            return ""
        case _:
            return ""


def _round_words(event: RoundFinished) -> str:
    sent = sum(event.bytes_sent.values())
    return (
        f"step {event.steps}  loss {event.loss:.4f}  sent {format_bytes(sent)},"
        f" {format_ratio(event.ring_bytes, sent)} than all-reduce"
    )


def evaluation_words(evaluation: Evaluation) -> str:
    """Return an evaluation as words."""
    words = [f"loss {evaluation.loss:.4f}"]
    if evaluation.bits_per_character is not None:
        words.append(f"{evaluation.bits_per_character:.3f} bits per character")
    if evaluation.accuracy is not None:
        words.append(f"{evaluation.accuracy:.1%} right")
    return ", ".join(words)


def result_rows(file: JobFile, result: JobResult) -> list[console.Row]:
    """Return what a job came to, as rows."""
    run = result.run
    rows: list[console.Row] = [("state", run.root.hex()[:16], f"after round {run.round}")]
    if result.evaluations:
        first, last = result.evaluations[0], result.evaluations[-1]
        before = f"untrained: {evaluation_words(first)}" if first.round == 0 else ""
        rows.append(("held out", evaluation_words(last), before))
    sent = ", ".join(f"{kind} {format_bytes(count)}" for kind, count in run.bytes_sent.items())
    total = sum(run.bytes_sent.values())
    rows += [
        ("sent", format_bytes(total), sent),
        (
            "compared",
            format_ratio(run.ring_bytes, total),
            f"than a float32 all-reduce every step: {format_bytes(run.ring_bytes)}",
        ),
        ("receipts", format_count(run.receipts), f"{run.commit_share:.1%} of the work's time"),
    ]
    if run.deaths:
        rows.append(("lost", f"{run.deaths} worker(s)", "replaced; the bits are the same"))
    if result.model is None:
        return [*rows, ("next", f"skerry run {file.job.name}", "stopped: run it again to go on")]
    return [
        *rows,
        ("model", str(result.model), "safetensors and a card"),
        ("next", f"skerry sample {file.run_folder}", ""),
    ]
