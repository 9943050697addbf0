"""The submitter's half of a job: from a job file to Programs, data and terms.

What    `load_job` reads a file, `prepare_data` its data, `trace_job` makes its Programs and terms,
        `plan_job` says what would happen. Each needs only the one before.
Why     The same four calls serve the command line, the Python API and a network later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from msgspec import UNSET

from skerry.base.digests import digest
from skerry.base.errors import JobError
from skerry.dataset import Dataset, DatasetConfig, Manifest, Report, prepare
from skerry.job import Job, JobFileError, parse_job
from skerry.messages.rounds import RunConfig
from skerry.models import OpenedModel, import_function, open_model
from skerry.node.life import RunJob
from skerry.node.past import NoSuchRun
from skerry.node.processes import CrewTerms
from skerry.node.readings import readings_of
from skerry.node.states import state_bytes
from skerry.plan import JobShape, Machine, NoPlan, Plan, plan_local
from skerry.program import PROFILES, Layout, Program, TensorType, cost, program_digest
from skerry.storage import RunFolder, blob_digest, read_file, write_file
from skerry.trace import Traced, trace_model
from skerry.train import (
    Codec,
    Optimizer,
    apply_program,
    bytes_expected,
    encode_program,
    merge_program,
    step_program,
)

Progress = Callable[[str, int, int], None]

RUNS_FOLDER = Path("runs")
#: Rows that `predict` reads at once: one prompt or one picture.
PREDICT_ROWS = 1


#: The job as it was started, every default filled in, in a run's folder.
JOB_NAME = "job.json"


class DataDoNotFit(JobError):
    """The prepared data are not what the task of the job reads."""

    code = "job.data.task"


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job and where it was read.

    Attributes:
        job: the job.
        text: the file as it was read, for the run folder.
        folder: the folder from which the job's paths count.
    """

    job: Job
    text: str
    folder: Path

    @property
    def run_folder(self) -> Path:
        """Where the run lives."""
        return Path(self.job.output_dir or RUNS_FOLDER / self.job.name)

    @property
    def data_folder(self) -> Path:
        """Where the prepared data live: runs that read the same data share it."""
        key = digest("data", msgspec.json.encode(self.job.data, order="deterministic")).hex()[:8]
        name = Path(str(self.job.data.get("dataset_name", "data"))).stem or "data"
        return self.run_folder.parent / "data" / f"{name}-{key}"


@dataclass(frozen=True, slots=True)
class TracedJob:
    """A job as Programs and terms.

    Attributes:
        file: the job it was.
        opened: its model.
        traced: the model's Programs.
        run: what a run needs.
        initial: the given initial state as a blob, or b"" where Program "init" makes it.
        manifest: names the data.
    """

    file: JobFile
    opened: OpenedModel
    traced: Traced
    run: RunJob
    initial: bytes
    manifest: Manifest

    @property
    def layout(self) -> Layout:
        """Where each parameter lies in the flat vector."""
        return self.traced.layout


def load_job(path: str | Path, changes: Sequence[str] = ()) -> JobFile:
    """Return the job of a TOML file, with `key=value` changes applied.

    Raises:
        JobFileError: the file is unreadable, or a key is wrong.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobFileError(
            f"cannot read {place}: {error}", next_step="give the path of a job file (TOML)"
        ) from error
    job = parse_job(text, changes)
    return JobFile(job, text, place.resolve().parent)


def kept_job(run: Path) -> JobFile:
    """Return the job of a run's folder, as it was started.

    Raises:
        NoSuchRun: the folder holds no run.
    """
    try:
        job = msgspec.json.decode((run / JOB_NAME).read_bytes(), type=Job)
        text = (run / "job.toml").read_text(encoding="utf-8")
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise NoSuchRun(run) from error
    return JobFile(msgspec.structs.replace(job, output_dir=str(run)), text, run)


def prepare_data(file: JobFile, progress: Progress = lambda stage, done, total: None) -> Report:
    """Prepare the job's data, or find them prepared.

    Raises:
        DatasetError: the data cannot be read or a key of [data] is wrong.
    """
    section = dict(file.job.data)
    name = section.get("dataset_name")
    if isinstance(name, str) and (file.folder / name).exists():
        section["dataset_name"] = str(file.folder / name)
    return prepare(DatasetConfig.read(section), file.data_folder, progress)


def batch_types(job: Job, manifest: Manifest) -> dict[str, TensorType]:
    """Return the fields of one shard's batch as the Programs read them."""
    rows = job.train.per_device_train_batch_size
    kinds: Mapping[str, str] = {"u16": "i64", "u32": "i64", "i64": "i64", "f32": "f32"}
    return {
        field.name: TensorType(kinds[field.dtype], (rows, *field.shape))  # type: ignore[arg-type]
        for field in manifest.fields
    }


def check_fit(job: Job, manifest: Manifest, opened: OpenedModel) -> None:
    """Refuse data of the wrong kind, and a vocabulary larger than the model's."""
    text = manifest.kind == "text"
    if text != (job.train.task == "causal-lm") and not job.train.loss:
        raise DataDoNotFit(
            f"train.task is {job.train.task!r}, the data are a {manifest.kind}",
            next_step="set train.task to causal-lm for text, else to classification or regression",
        )
    held = getattr(opened.hf_config, "vocab_size", None)
    tokenizer = manifest.tokenizer
    if text and tokenizer is not None and held is not None and held < tokenizer.vocab_size:
        raise DataDoNotFit(
            f"the data have {tokenizer.vocab_size} token ids, the model {held}",
            next_step=f"set vocab_size of model.hf_config to {tokenizer.vocab_size}",
        )


def optimizer_of(job: Job) -> Optimizer:
    """Return the optimizer of a job."""
    train = job.train
    return Optimizer(
        kind=train.optim,
        learning_rate=train.learning_rate,
        betas=(train.adam_beta1, train.adam_beta2),
        eps=train.adam_epsilon,
        weight_decay=train.weight_decay,
        momentum=train.momentum if train.optim == "sgd" else 0.0,
        nesterov=train.nesterov,
        max_grad_norm=train.max_grad_norm,
        schedule=train.lr_scheduler_type,
        warmup_steps=train.warmup_steps,
        max_steps=train.max_steps,
        learning_rate_min=train.learning_rate * train.min_lr_rate,
    )


def codec_of(job: Job) -> Codec:
    """Return the codec of a job's rounds."""
    rounds = job.rounds
    return Codec(
        kind=rounds.codec,
        level_width=rounds.level_width,
        rank=rounds.rank,
        chunk=rounds.chunk,
        topk=rounds.topk,
        residual_decay=rounds.residual_decay,
        outer_learning_rate=rounds.outer_learning_rate,
        outer_momentum=rounds.outer_momentum,
    )


def trace_job(file: JobFile, report: Report) -> TracedJob:
    """Return the job as Programs and terms.

    Raises:
        JobError: the model, the data and the task do not fit together.
    """
    job, manifest = file.job, report.manifest
    opened = open_model(job.model, folder=file.folder, seed=job.train.seed)
    check_fit(job, manifest, opened)
    profile = PROFILES[job.train.profile]
    loss = import_function(job.train.loss, file.folder) if job.train.loss else job.train.task
    traced = trace_model(
        opened.module,
        loss,
        batch_types(job, manifest),
        profile=profile,
        predict_rows=PREDICT_ROWS,
        build=lambda: open_model(job.model, folder=file.folder, seed=job.train.seed).module,
    )
    programs = round_programs(job, traced)
    init = None if opened.weights_given else traced.init
    if init is not None:
        programs["init"] = init
    initial = b"" if init is not None else state_bytes({"params": traced.initial_params})
    config = RunConfig(
        exchange="local" if "encode" in programs else "every-step",
        arithmetic=job.train.arithmetic,
        rounds=job.round_count,
        local_steps=job.rounds.local_steps,
        lanes=job.rounds.lanes,
        shards_per_lane=job.train.gradient_accumulation_steps,
        samples_per_shard=job.train.per_device_train_batch_size,
        segments=job.segments,
        seed=job.train.seed,
        save_rounds=job.checkpoint.save_steps // job.rounds.local_steps,
        save_limit=job.checkpoint.save_total_limit,
        eval_rounds=job.checkpoint.eval_steps // job.rounds.local_steps,
        eval_batches=evaluation_batches(job, manifest),
        programs=tuple(sorted((name, program_digest(it)) for name, it in programs.items())),
        initial=blob_digest(initial) if initial else None,
        data=bytes.fromhex(report.digest),
        readings=reading_names(job, manifest),
        merge_rounds=job.rounds.merge_rounds if job.rounds.merge_rounds > 1 else UNSET,
    )
    return TracedJob(file, opened, traced, RunJob(config, programs), initial, manifest)


def reading_names(job: Job, manifest: Manifest) -> tuple[tuple[str, bytes], ...]:
    """Return how the job reads each split of its data, by digest."""
    batch = job.train.per_device_train_batch_size
    found = readings_of(manifest, shards=job.shards, batch=batch)
    return tuple(sorted((name, it.digest) for name, it in found.items()))


def round_programs(job: Job, traced: Traced) -> dict[str, Program]:
    """Return the Programs that a run of the job needs, by what they are for."""
    optimizer, profile = optimizer_of(job), PROFILES[job.train.profile]
    elements = traced.layout.elements
    programs = {"evaluate": traced.evaluate}
    if traced.predict is not None:
        programs["predict"] = traced.predict
    if job.every_step:
        programs["grad"] = traced.grad
        programs["apply"] = apply_program(elements, optimizer, job.shards, profile=profile)
        return programs
    codec = codec_of(job)
    programs["step"] = step_program(
        traced.grad,
        optimizer,
        job.train.gradient_accumulation_steps,
        apply_residual=codec.applies_residual,
        profile=profile,
    )
    programs["encode"] = encode_program(codec, traced.layout, profile=profile)
    programs["merge"] = merge_program(codec, traced.layout, job.rounds.lanes, profile=profile)
    return programs


def evaluation_batches(job: Job, manifest: Manifest) -> int:
    """Return how many held-out batches one evaluation reads; 0 where nothing is held out."""
    if len(manifest.splits) < 2:
        return 0
    whole = manifest.split("heldout").samples // job.train.per_device_train_batch_size
    return min(whole, job.checkpoint.eval_batches or whole)


def crew_terms(file: JobFile, plan: Plan, report: Report) -> CrewTerms:
    """Return how the job's workers are started."""
    resources = file.job.resources
    backend: str = "native" if resources.backend == "auto" else resources.backend
    if file.job.train.arithmetic == "fast":
        backend = "fast"
    return CrewTerms(
        workers=plan.workers,
        threads=resources.threads_per_worker or plan.threads,
        backend=backend,
        data=Path(report.folder),
    )


def keep_submission(traced: TracedJob) -> None:
    """Write the job file and the given initial state to the run folder."""
    folder = RunFolder(traced.file.run_folder)
    for name, content in (
        ("job.toml", traced.file.text.encode()),
        (JOB_NAME, msgspec.json.encode(traced.file.job)),
    ):
        if not (folder.root / name).is_file():
            write_file(folder.root / name, content)
    if traced.initial:
        folder.blobs.put(traced.initial, durable=True)


def this_machine(operations_per_second: float) -> Machine:
    """Return what this machine has, at a measured rate."""
    pages = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else 0
    free = pages * os.sysconf("SC_PAGE_SIZE") if pages else 8 << 30
    return Machine(
        cores=os.cpu_count() or 1, memory_bytes=free, operations_per_second=operations_per_second
    )


def job_shape(traced: TracedJob) -> JobShape:
    """Return what a plan needs to know of a traced job."""
    job, programs = traced.file.job, traced.run.programs
    local = "step" in programs
    counted = cost(programs["step"] if local else programs["grad"])
    shards = 1 if local else job.train.gradient_accumulation_steps
    elements = traced.layout.elements
    return JobShape(
        parameters=elements,
        lanes=job.rounds.lanes,
        rounds=job.round_count,
        local_steps=job.rounds.local_steps,
        merge_rounds=job.rounds.merge_rounds,
        step_operations=counted.operations * shards,
        step_bytes_peak=counted.bytes_peak,
        update_bytes=update_bytes(job, traced.layout),
        workers_asked=job.resources.workers,
        memory_bytes_allowed=int(job.resources.memory_gb * (1 << 30)),
    )


def update_bytes(job: Job, layout: Layout) -> int:
    """Return about how many bytes one lane's update takes; most codecs never take more."""
    sent = bytes_expected(codec_of(job), layout)
    return sent * (job.train.gradient_accumulation_steps if job.every_step else 1)


def plan_job(traced: TracedJob, operations_per_second: float) -> Plan | NoPlan:
    """Return what would happen on this machine, or why it cannot."""
    return plan_local(job_shape(traced), this_machine(operations_per_second))


def open_data(file: JobFile, expected: bytes | None = None) -> Dataset:
    """Return the job's prepared data."""
    return Dataset.open(file.data_folder, expected=expected)


def load_params(state: Path) -> torch.Tensor:
    """Return "params" f32[P] of a saved state."""
    from safetensors.torch import load

    return load(read_file(state))["params"]
