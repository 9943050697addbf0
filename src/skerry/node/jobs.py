"""The life of a job, in one function.

What    `live_job(file)` is the whole sentence: job file -> data -> Programs -> plan -> rounds over
        worker processes -> trained model, with what it came to.
Why     The command line, the Python API and a reader start here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.base.errors import PlanError
from skerry.dataset import Manifest, Report
from skerry.node.events import RunEvent
from skerry.node.life import RunResult, run_job
from skerry.node.publishing import publish
from skerry.node.rates import measured_rate
from skerry.node.submission import (
    JobFile,
    Progress,
    TracedJob,
    crew_terms,
    keep_submission,
    plan_job,
    prepare_data,
    trace_job,
)
from skerry.plan import NoPlan, Plan


class JobFitsNobody(PlanError):
    """The plan says that the job cannot run here."""

    code = "plan.none"

    def __init__(self, refusal: NoPlan) -> None:
        super().__init__(refusal.reason, next_step=refusal.change)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the held-out data say of one state.

    Attributes:
        round: the round whose state it was.
        loss: mean loss a token or sample.
        bits_per_character: for text, else None.
        accuracy: for classification, else None.
    """

    round: int
    loss: float
    bits_per_character: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job came to.

    Attributes:
        run: what the rounds came to.
        plan: what was expected.
        evaluations: of the untrained state first, where it was evaluated, to the last.
        model: the folder of the trained model; None when the run was asked to stop before its end.
    """

    run: RunResult
    plan: Plan
    evaluations: tuple[Evaluation, ...]
    model: Path | None


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who is told what while a job lives."""

    progress: Progress = lambda stage, done, total: None
    prepared: Callable[[Report], None] = lambda report: None
    traced: Callable[[TracedJob, Plan], None] = lambda traced, plan: None
    event: Callable[[RunEvent], None] = lambda event: None
    market: Callable[[str], None] = lambda words: None


def live_job(
    file: JobFile,
    watchers: Watchers | None = None,
    *,
    network: str | None = None,
    client: Path | None = None,
) -> JobResult:
    """Run a job from its file to its trained model; go on where an earlier call was stopped.

    Args:
        file: the job.
        watchers: who is told what.
        network: the folder of a running network, or an invite; without, this machine runs the job.
        client: the folder of who pays on a network with a chain; see `network.purse`.

    Raises:
        JobError: the file, the model or the data cannot be used.
        PlanError: the job does not fit this machine.
        NodeError: this machine cannot go on; the last checkpoint is intact.
    """
    watchers = watchers or Watchers()
    report = prepare_data(file, watchers.progress)
    watchers.prepared(report)
    traced = trace_job(file, report)
    plan = plan_here(traced)
    if isinstance(plan, NoPlan):
        raise JobFitsNobody(plan)
    watchers.traced(traced, plan)
    keep_submission(traced)
    if network is None:
        crew = crew_terms(file, plan, report)
        run = run_job(traced.run, file.run_folder, crew, watch=watchers.event)
    else:
        from skerry.node.network.networks import Purse, run_on_network  # loads 18 MB

        data = Path(report.folder)
        purse = Purse(client, file.job.market, watchers.market)
        run = run_on_network(
            traced.run, file.run_folder, data, network, watch=watchers.event, purse=purse
        )
    evaluations = tuple(
        evaluation_of(at, sums, report.manifest) for at, sums in sorted(run.evaluations.items())
    )
    model = publish(traced, run, evaluations[-1] if evaluations else None) if run.finished else None
    return JobResult(run, plan, evaluations, model)


def plan_here(traced: TracedJob) -> Plan | NoPlan:
    """Return what a job would do on this machine, at a rate measured on its own Program."""
    return plan_job(traced, measured_rate(traced.run))


def evaluation_of(at: int, sums: Mapping[str, float], manifest: Manifest) -> Evaluation:
    """Return what the sums of an evaluation say."""
    count = sums.get("count", 0.0)
    loss = sums.get("loss_sum", math.nan) / count if count else math.nan
    text = manifest.kind == "text"
    return Evaluation(
        round=at,
        loss=loss,
        bits_per_character=manifest.split("heldout").bits_per_character(loss) if text else None,
        accuracy=sums["correct"] / count if "correct" in sums and count else None,
    )
