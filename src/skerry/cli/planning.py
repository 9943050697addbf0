"""The commands `plan` and `prepare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from skerry.base.units import format_bytes, format_count, format_ratio, format_seconds
from skerry.cli import console
from skerry.dataset import Report
from skerry.exact import available_backends
from skerry.job import Job
from skerry.node.jobs import plan_here
from skerry.node.submission import (
    JobFile,
    TracedJob,
    load_job,
    prepare_data,
    trace_job,
)
from skerry.node.submission import (
    Progress as Told,
)
from skerry.plan import NoPlan, Plan
from skerry.program import cost


@contextmanager
def preparation_bars(*, shown: bool) -> Iterator[Told]:
    """Show a bar for each stage of data preparation, on standard error."""
    if not shown:
        yield lambda stage, done, total: None
        return
    columns = (
        TextColumn("[bold]{task.description:<18}"), BarColumn(32), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console.notes, transient=True) as bars:
        stages: dict[str, object] = {}

        def told(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=max(total, 1))
            bars.update(stages[stage], completed=done, total=max(total, done, 1))  # type: ignore[arg-type]

        yield told


def prepared(file: JobFile, *, shown: bool) -> Report:
    """Prepare a job's data with bars."""
    with preparation_bars(shown=shown) as told:
        return prepare_data(file, told)


def prepare_command(path: Path, changes: Sequence[str], *, as_json: bool) -> None:
    """Prepare a job's data and show the report."""
    report = prepared(load_job(path, changes), shown=not as_json)
    if as_json:
        console.show_json(report)
        return
    console.show_rows(report.rows())
    console.show_rows([("next", f"skerry plan {path}", "")])


def plan_command(path: Path, changes: Sequence[str], *, as_json: bool) -> None:
    """Show what a job would do; exit code 3 when it cannot."""
    file = load_job(path, changes)
    report = prepared(file, shown=not as_json)
    traced = trace_job(file, report)
    plan = plan_here(traced)
    if as_json:
        console.show_json({"plan" if isinstance(plan, Plan) else "no_plan": plan})
    else:
        console.show_rows(plan_rows(traced, plan))
        if isinstance(plan, Plan):
            console.show_rows([("next", f"skerry run {path}", "")])
    if isinstance(plan, NoPlan):
        raise typer.Exit(3)


def merges_of(job: Job) -> str:
    """Return in words where a job merges, if it does not in every round."""
    every = job.rounds.merge_rounds
    return "" if every == 1 else f", a merge every {every} rounds"


def plan_rows(traced: TracedJob, plan: Plan | NoPlan) -> list[console.Row]:
    """Return a plan, or its absence, as rows."""
    job, programs = traced.file.job, traced.run.programs
    main = "step" if "step" in programs else "grad"
    counted = cost(programs[main])
    rows: list[console.Row] = [
        (
            "job",
            job.name,
            f"{format_count(traced.layout.elements)} parameters, {traced.opened.source}",
        ),
        ("data", f"{traced.manifest.name}", f"{traced.manifest.split('train').samples:,} samples"),
        (
            "step",
            f"{format_count(counted.operations)} operations",
            f"{len(programs[main].nodes):,} nodes, {job.train.arithmetic} arithmetic,"
            f" {job.train.profile} profile",
        ),
        (
            "rounds",
            f"{job.round_count} x {job.rounds.local_steps} steps",
            f"{job.rounds.lanes} lanes, codec {job.rounds.codec}{merges_of(job)}",
        ),
    ]
    if isinstance(plan, NoPlan):
        return [*rows, ("no plan", plan.reason, ""), ("change", plan.change, "")]
    backend = "native" if "native" in available_backends() else "torch (no compiled kernels)"
    return [
        *rows,
        ("units", f"{plan.units:,}", "one lane of one round; signed, checked and paid each"),
        ("workers", f"{plan.workers} x {plan.threads} thread(s)", f"backend {backend}"),
        ("memory", format_bytes(plan.memory_bytes), "all workers together"),
        ("time", format_seconds(plan.seconds), "from a rate measured just now; evaluation apart"),
        (
            "traffic",
            format_bytes(plan.bytes_sent),
            f"{format_ratio(plan.bytes_ring, plan.bytes_sent)} than a float32 all-reduce every"
            f" step, {format_bytes(plan.bytes_ring)}",
        ),
    ]
