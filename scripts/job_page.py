"""The reference page of the job file, read off its schema."""

from __future__ import annotations

import inspect
import re
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from skerry.job import schema

SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("", schema.Job),
    ("model", schema.ModelSection),
    ("train", schema.TrainSection),
    ("rounds", schema.RoundsSection),
    ("resources", schema.ResourcesSection),
    ("checkpoint", schema.CheckpointSection),
    ("market", schema.MarketSection),
)


def job_page(head: str) -> str:
    """Return the page: a table of keys for each section."""
    lines = [
        head,
        "# The job file",
        "",
        "TOML. Every key but `name`, `[model]` and `[data]` has a default; `--set key=value`",
        "changes one from the command line, for example `--set train.learning_rate=3e-4`. The keys",
        "of `[data]` are on [their own page](dataset.md).",
    ]
    for name, section in SECTIONS:
        lines += ["", f"## [{name}]" if name else "## Top level", ""]
        lines += ["| key | values | default | meaning |", "|---|---|---|---|"]
        meanings = _meanings(section)
        for field in msgspec.structs.fields(section):
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                continue
            if field.name == "data":
                continue
            default = "" if field.default is msgspec.NODEFAULT else f"`{_toml(field.default)}`"
            if field.default_factory is not msgspec.NODEFAULT:
                default = "`{}`"
            lines.append(
                f"| `{field.name}` | {_values(field.type)} | {default} "
                f"| {meanings.get(field.name, '')} |"
            )
    return "\n".join(lines) + "\n"


def _meanings(section: type[msgspec.Struct]) -> dict[str, str]:
    text = inspect.cleandoc(section.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for match in re.finditer(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE):
        found[match[1]] = " ".join(match[2].split()).replace("|", "&#124;")
    return found


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _values(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        base, meta = get_args(kind)[:2]
        low = meta.ge if meta.ge is not None else meta.gt
        if low is None:
            return _values(base)
        bound = f"{'at least' if meta.ge is not None else 'above'} {low:g}"
        return f"{_values(base)}, {bound}" if abs(low) < 1 << 32 else _values(base)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    names = {str: "text", int: "integer", float: "number", bool: "`true`, `false`"}
    return names.get(kind, "text or table" if str in get_args(kind) else "table")
