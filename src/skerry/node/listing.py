"""What runs there are, read from their folders and nothing else.

What    `list_runs(folder)` returns one `RunStatus` for each run below a folder.
Why     Looking must never disturb a run: logs are read, and a session counts as alive only while
        its process is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.node.session import NoSession, read_session
from skerry.storage import read_lines


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        name: the run's folder.
        status: "running", "finished", "stopped", "failed", or "killed" where it left no last word.
        round: rounds that are merged.
        rounds: rounds of the whole run.
        loss: mean training loss of the last round.
        workers: workers at work now.
        bytes_sent: bytes of all kinds so far.
        root: root of the last merged state, hexadecimal.
        detail: the last word of a run that failed.
    """

    name: str
    status: str
    round: int
    rounds: int
    loss: float | None
    workers: int
    bytes_sent: int
    root: str
    detail: str = ""


_ENDS = {"finished": "finished", "asked": "stopped"}


def list_runs(folder: Path) -> list[RunStatus]:
    """Return the runs below `folder`, by name."""
    logs = sorted(folder.glob("*/log.jsonl")) if folder.is_dir() else []
    return [run_status(log.parent) for log in logs]


def run_status(run: Path) -> RunStatus:
    """Return where one run stands."""
    lines = read_lines(run / "log.jsonl")
    started = _last(lines, "started")
    merged = _last(lines, "round")
    ended = _last(lines, "ended")
    alive = _alive(run)
    after = lines.index(started) if started in lines else 0
    session = lines[after:]
    if alive:
        status = "running"
    elif ended and ended in session:
        status = _ENDS.get(str(ended.get("kind")), "failed")
    else:
        status = "killed"
    moves = [line for line in session if line.get("type") in ("worker_up", "worker_down")]
    return RunStatus(
        name=run.name,
        status=status,
        round=int(merged.get("round", -1)) + 1,
        rounds=int(started.get("rounds", 0)),
        loss=merged.get("loss"),
        workers=int(moves[-1].get("workers", 0)) if moves and alive else 0,
        bytes_sent=sum(dict(merged.get("bytes_sent") or {}).values()),
        root=str(merged.get("root", "")),
        detail=str(ended.get("detail", "")) if status == "failed" else "",
    )


def _last(lines: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next((line for line in reversed(lines) if line.get("type") == kind), {})


def _alive(run: Path) -> bool:
    try:
        os.kill(read_session(run).pid, 0)
    except (NoSession, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
