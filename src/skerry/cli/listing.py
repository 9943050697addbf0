"""The command `ps`."""

from __future__ import annotations

from pathlib import Path

from skerry.base.units import format_bytes
from skerry.cli import console
from skerry.node.listing import list_runs


def ps_command(runs: Path, *, as_json: bool) -> None:
    """List the runs below a folder."""
    found = list_runs(runs)
    if as_json:
        console.show_json({"runs": found})
        return
    if not found:
        console.notes.print(f"no runs in {runs}; next: skerry run JOB.toml")
        return
    console.show_table(
        ("run", "status", "round", "loss", "workers", "sent", "state"),
        [
            (
                it.name,
                it.status,
                f"{it.round}/{it.rounds}",
                "" if it.loss is None else f"{it.loss:.4f}",
                str(it.workers),
                format_bytes(it.bytes_sent),
                it.root[:16],
            )
            for it in found
        ],
    )
