"""The other side of a dispute as its process: started, asked, and noticed when it is gone.

What    `SolverProcess` starts `skerry.node.solver` and talks to it in lines of JSON.
        `end_left_over` ends a process of ours that outlived who started it.
Why     A solver that dies must cost itself the game, and nobody else anything.
Rule    A number of a process is trusted only where its command line is the one that we gave it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from skerry.base.errors import NodeError
from skerry.node.court_party import POLL_SECONDS, Paying
from skerry.node.party import Lie
from skerry.storage import write_file

Line = TypeVar("Line", bound=msgspec.Struct)
MODULE = "skerry.node.solver"
PID_NAME = "solver.pid"


class SolverGone(NodeError):
    """The solver's process ended before the dispute did."""

    code = "node.solver"

    def __init__(self, words: str) -> None:
        super().__init__(
            f"the solver's process ended: {words or 'it said nothing'}",
            next_step="run the command again; its clock would have cost the solver the game",
        )


def end_left_over(path: Path, words: tuple[str, ...]) -> None:
    """End the process whose number stands in a file, if its command line has these words."""
    try:
        pid = int(path.read_text())
    except (OSError, ValueError):
        return
    while all(word in _command(pid) for word in words):
        os.kill(pid, signal.SIGTERM)
        time.sleep(POLL_SECONDS)


def _command(pid: int) -> str:
    """Return the command line of a process; of none, nothing."""
    asked = ["ps", "-o", "stat=,command=", "-ww", "-p", str(pid)]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return "" if told.startswith("Z") else told


class SolverProcess:
    """The other side.

    Attributes:
        command: what it was started by.
    """

    def __init__(self, path: Path, url: str, folder: Path, lie: Lie | None, paying: Paying) -> None:
        end_left_over(folder / PID_NAME, (MODULE, str(folder)))
        command = [sys.executable, "-m", MODULE, str(path), "--chain", url]
        command += ["--folder", str(folder)]
        command += ["--fee-max", str(paying.fee_max), "--patience", str(paying.patience)]
        if lie is not None:
            command += ["--lie", str(lie)]
        self.command = command
        self._words = folder / "solver.log"
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True
            )
        write_file(folder / PID_NAME, str(self._process.pid).encode(), durable=False)

    def ask(self, line: msgspec.Struct) -> None:
        """Tell it what to do next."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(line).decode() + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def hear(self, kind: type[Line]) -> Line:
        """Return what it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        return msgspec.json.decode(line, type=kind)

    def fate(self) -> str:
        """Return how it ended, in words; nothing while it lives or where it had done its part."""
        code = self._process.poll()
        if not code:
            return ""
        if code < 0:
            return f"was ended by signal {-code}"
        return f"ended: {self._words.read_text(errors='replace').strip() or f'exit code {code}'}"

    def _gone(self) -> SolverGone:
        self._process.wait()
        return SolverGone(self._words.read_text(errors="replace").strip())

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
