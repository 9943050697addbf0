"""How results and refusals look.

What    `show` prints a typed result as aligned nouns or as JSON; `refuse` prints an error with its
        next step and says which exit code it has.
Why     Every command speaks alike: data on standard output, notes on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skerry.base.errors import SkerryError

out = Console(highlight=False, soft_wrap=True)
notes = Console(stderr=True, highlight=False, soft_wrap=True)

Row = tuple[str, str, str]
_FIGURE_WIDTH_MAX = 32


def to_json(value: object) -> str:
    """Return one line of JSON of a typed result; bytes are hexadecimal."""
    return msgspec.json.encode(_plain(value), order="deterministic").decode()


def _plain(value: object) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(inner) for name, inner in asdict(value).items()}
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def show_json(value: object) -> None:
    """Print a typed result as one JSON object on one line."""
    print(to_json(value), flush=True)


def show_rows(rows: Sequence[Row]) -> None:
    """Print (noun, figure, remark) rows, aligned; a long figure pushes its remark along."""
    noun_width = max((len(noun) for noun, _, _ in rows), default=0)
    with_remark = [len(figure) for _, figure, remark in rows if remark]
    figure_width = min(max(with_remark, default=0), _FIGURE_WIDTH_MAX)
    for noun, figure, remark in rows:
        line = Text.assemble((f"{noun:<{noun_width}}", "bold"), "  ", f"{figure:<{figure_width}}")
        if remark:
            line.append(f"  {remark}", "dim")
        line.rstrip()
        out.print(line)
    out.file.flush()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a header."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def refuse(error: SkerryError, *, as_json: bool) -> int:
    """Print an error and return its exit code."""
    if as_json:
        show_json(
            {"error": {"code": error.code, "message": error.message, "next": error.next_step}}
        )
    else:
        notes.print(f"[bold red]error[/] [dim]{error.code}[/]", end="  ")
        notes.print(error.message, markup=False)
        if error.next_step:
            notes.print("[bold]next[/]", end="   ")
            notes.print(error.next_step, markup=False)
    sys.stdout.flush()
    return error.exit_code
