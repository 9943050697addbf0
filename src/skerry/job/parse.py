"""From the text of a job file to a Job, or the sentence that says what is wrong with it.

What    `parse_job(text, changes)` reads TOML, applies `key=value` changes, and checks each key.
Why     A user meets this room first: every refusal names the key and the nearest right one.
Pure    Strings in, a frozen Job out.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec

from skerry.base.errors import JobError
from skerry.job.schema import Job, ModelSection

JOB_TEXT_BYTES_MAX = 1 << 20
DEPTH_MAX = 16
_SOURCES = ("factory", "example", "hf_config", "model_name_or_path")
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`")
_PATH = re.compile(r"- at `\$\.?(?P<path>[^`]*)`")


class JobFileError(JobError):
    """A job file cannot be used.

    Attributes:
        key: the dotted key that is wrong, or "" when the file is no TOML.
    """

    code = "job.file"

    def __init__(self, reason: str, *, key: str = "", next_step: str = "") -> None:
        self.key = key
        where = f"{key}: " if key else ""
        super().__init__(
            f"job file: {where}{reason}",
            next_step=next_step or "correct the file, then try `skerry plan` on it",
        )


def parse_job(text: str, changes: Sequence[str] = ()) -> Job:
    """Return the Job that `text` describes, with `changes` of the form key=value applied.

    Raises:
        JobFileError: with the key that is wrong.
    """
    if len(text.encode("utf-8", "surrogatepass")) > JOB_TEXT_BYTES_MAX:
        raise JobFileError(f"larger than {JOB_TEXT_BYTES_MAX} bytes")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise JobFileError(f"not valid TOML: {error}") from None
    for change in changes:
        _apply(table, change)
    _check_depth(table, 0)
    job = _convert(table)
    _check_model(job.model)
    _check_rounds(job)
    return job


def _apply(table: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise JobFileError(
            f"--set {change!r} is not key=value", next_step="write --set train.learning_rate=3e-4"
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise JobFileError(f"{name} is a value, not a table", key=key)
    table[path[-1]] = parsed


def _check_depth(value: object, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise JobFileError(f"tables nest deeper than {DEPTH_MAX}")
    if isinstance(value, dict):
        for inner in value.values():
            _check_depth(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_depth(inner, depth + 1)


def _convert(table: dict[str, Any]) -> Job:
    try:
        return msgspec.convert(table, Job, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _PATH.search(message)
        path = found["path"] if found else ""
        unknown = _UNKNOWN.search(message)
        if unknown is None:
            raise JobFileError(message.split(" - at ")[0], key=path) from None
        key = f"{path}.{unknown['key']}" if path else unknown["key"]
        close = difflib.get_close_matches(unknown["key"], _keys(path), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(_keys(path))}"
        raise JobFileError(f"there is no such key; {hint}", key=key) from None


def _keys(path: str) -> tuple[str, ...]:
    section: Any = Job
    for name in filter(None, path.split(".")):
        section = {field.name: field.type for field in msgspec.structs.fields(section)}[name]
    return tuple(field.name for field in msgspec.structs.fields(section))


def _check_model(model: ModelSection) -> None:
    given = [name for name in _SOURCES if getattr(model, name)]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        raise JobFileError(f"exactly one of {', '.join(_SOURCES)} is needed; {found}", key="model")
    if model.factory and not re.fullmatch(r"[\w.]+:[\w.]+", model.factory):
        raise JobFileError(f"{model.factory!r} is not module:function", key="model.factory")


def _check_rounds(job: Job) -> None:
    steps, local, merge = job.train.max_steps, job.rounds.local_steps, job.merge_steps
    if steps % merge:
        nearest = max(merge, round(steps / merge) * merge)
        whole = f"rounds of {local} local steps"
        if merge > local:
            whole = f"merges of {job.rounds.merge_rounds} {whole} each"
        raise JobFileError(
            f"{steps} steps are no whole number of {whole}; use {nearest}", key="train.max_steps"
        )
    if job.rounds.codec == "topk" and job.rounds.topk > job.rounds.chunk:
        raise JobFileError("more are kept than a chunk has", key="rounds.topk")
    if job.rounds.segments > local:
        raise JobFileError(
            f"{job.rounds.segments} segments of {local} local steps: at most one a step",
            key="rounds.segments",
        )
    for name in ("save_steps", "eval_steps"):
        every = getattr(job.checkpoint, name)
        if every % merge:
            steps_of = "rounds.local_steps" if merge == local else "the steps between two merges"
            raise JobFileError(
                f"{every} is no multiple of {steps_of}, {merge}", key=f"checkpoint.{name}"
            )
    if job.train.loss and not re.fullmatch(r"[\w.]+:[\w.]+", job.train.loss):
        raise JobFileError(f"{job.train.loss!r} is not module:function", key="train.loss")
