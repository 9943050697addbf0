"""From a `[data]` section to a folder of samples with a manifest.

What    `prepare(config, out_dir, progress)` reads, cleans, splits, tokenises, packs and stores.
Why     The folder appears whole or not at all: it is built beside its place and renamed. The same
        config over the same files gives the same bytes, so a second run has nothing to do; it
        checks every file first, which makes it the way to repair a damaged folder as well.
Stages  read · clean · split · vocabulary · tokenise · scale · write · check, each told to
        `progress(stage, done, total)` often enough for a bar.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import msgspec

from skerry.base.digests import digest
from skerry.base.errors import NodeError
from skerry.dataset.config import BadRecord, DatasetConfig
from skerry.dataset.manifest import MANIFEST_NAME, DatasetError, Source, check, encode
from skerry.dataset.report import Report
from skerry.dataset.sources import Sources, file_digest, find_sources
from skerry.dataset.store import Dataset, Progress, quiet
from skerry.dataset.table_samples import build_table
from skerry.dataset.tally import Tally
from skerry.dataset.text_samples import build_text
from skerry.dataset.tokens import TextTokenizer, byte_tokenizer, given_tokenizer
from skerry.dataset.work import Work

EXAMPLES_NAME = "examples.json"

# Part of the config's digest: raise it whenever the same config would give other bytes.
PIPELINE_VERSION = 1


def prepare(config: DatasetConfig, out_dir: str | Path, progress: Progress = quiet) -> Report:
    """Prepare the data that `config` names in `out_dir`, unless they are there already.

    Raises:
        DatasetError: when the config or the data cannot be used as given.
        NodeError: when this machine cannot write the result.
    """
    out = Path(out_dir).absolute()
    config.check()
    try:
        sources = find_sources(config)
        source_list = _read_sources(sources, progress)
        tokenizer = _fixed_tokenizer(sources)
        name = _config_digest(sources.config, source_list, tokenizer)
        report = _prepared_before(out, name, progress)
        if report is not None:
            return report
        part = _part_folder(out)
        work = Work(part, sources, source_list, name, tokenizer, Tally(), progress)
        try:
            manifest = build_text(work) if sources.kind == "text" else build_table(work)
            check(manifest)
            (part / EXAMPLES_NAME).write_bytes(msgspec.json.encode(work.tally.examples))
            (part / MANIFEST_NAME).write_bytes(encode(manifest))
            _put_in_place(part, out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise NodeError(
            f"preparing {out} stopped: {error.strerror or error} ({error.filename or out})",
            next_step="free disk space or correct the permissions, then run the command again",
        ) from error
    return Report(
        folder=str(out),
        digest=manifest.digest.hex(),
        reused=False,
        manifest=manifest,
        examples=tuple(work.tally.examples),
    )


def _read_sources(sources: Sources, progress: Progress) -> tuple[Source, ...]:
    total = sum(file.size_bytes for file in sources.files)
    found, done = [], 0
    for file in sources.files:
        name = file_digest(file.path).hex()
        found.append(Source(name=file.name, size_bytes=file.size_bytes, digest=name))
        done += file.size_bytes
        progress("read", done, total)
    return tuple(found)


def _fixed_tokenizer(sources: Sources) -> TextTokenizer | None:
    """Return the tokenizer that is known before the text is read, if it is."""
    choice = sources.config.tokenizer
    if sources.kind == "table" or choice == "bpe":
        return None
    if choice == "byte":
        return byte_tokenizer()
    return given_tokenizer(Path(choice), sources.config.eos_token)


def _config_digest(
    config: DatasetConfig, sources: tuple[Source, ...], tokenizer: TextTokenizer | None
) -> str:
    """Return the name of what is asked for, whatever the paths on this machine."""
    plain = msgspec.structs.replace(config, dataset_name="-", tokenizer="-", eos_token="")
    vocabulary = (
        b"bpe" if tokenizer is None else tokenizer.content + bytes([tokenizer.eos_id % 256])
    )
    return digest(
        "dataset-config",
        PIPELINE_VERSION.to_bytes(4, "little"),
        digest("config", msgspec.json.encode(plain, order="deterministic")),
        digest("sources", msgspec.json.encode(sources, order="deterministic")),
        digest("vocabulary", vocabulary),
    ).hex()


def _prepared_before(out: Path, config_digest: str, progress: Progress) -> Report | None:
    """Return a report on `out` when it holds, undamaged, what is asked for."""
    if not out.exists():
        return None
    if not (out / MANIFEST_NAME).is_file():
        if out.is_dir() and not any(out.iterdir()):
            return None
        raise DatasetError(
            f"{out} exists and is not a prepared data set",
            next_step="name another folder; this one would be replaced",
        )
    try:
        with Dataset.open(out) as dataset:
            if dataset.manifest.config_digest != config_digest:
                return None
            dataset.check(progress)
            return Report(
                folder=str(out),
                digest=dataset.digest.hex(),
                reused=True,
                manifest=dataset.manifest,
                examples=_read_examples(out / EXAMPLES_NAME),
            )
    except DatasetError:
        return None


def _read_examples(path: Path) -> tuple[BadRecord, ...]:
    """Return the examples of an earlier run; they are a convenience and may be missing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[BadRecord, ...])
    except (OSError, msgspec.MsgspecError, ValueError):
        return ()


def _part_folder(out: Path) -> Path:
    """Return a new folder beside `out`, after removing those of runs that were killed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}.part-"
    for left in out.parent.glob(f"{prefix}*"):
        if not _is_running(left.name.removeprefix(prefix)):
            shutil.rmtree(left, ignore_errors=True)
    part = out.parent / f"{prefix}{os.getpid()}"
    part.mkdir()
    return part


def _is_running(process: str) -> bool:
    if not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _put_in_place(part: Path, out: Path) -> None:
    """Rename `part` to `out`; what stood there moves into `part`, whose name is free again."""
    old = part.with_name(part.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        part.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        out.rename(old)
        part.rename(out)
        shutil.rmtree(old, ignore_errors=True)
