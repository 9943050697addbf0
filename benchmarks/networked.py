"""What the benchmarks of the network share: a network of processes, and a job ready to run.

What    `LiveNetwork` is `skerry up` as a process, with a chain where it is paid; `ready_job`
        prepares the data of a job file and traces its model, so that only the run is timed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from skerry.node.submission import TracedJob, load_job, prepare_data, trace_job

JOBS = Path(__file__).parents[1] / "jobs"
STOP_SECONDS = 30.0


@dataclass
class LiveNetwork:
    """A network below `folder` with `count` nodes beside its seed.

    `owners` adds to the settings of the nodes that it names.
    """

    folder: Path
    count: int = 4
    paid: bool = False
    owners: Mapping[str, str] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict)
    chain: str = ""
    invite: str = ""
    _process: subprocess.Popen[str] | None = None
    _reading: threading.Thread | None = None

    def __enter__(self) -> LiveNetwork:
        """Start the processes and wait until all are ready."""
        for number in range(1, self.count + 1):  # as the workers of a local run: not stood back
            home = self.folder / f"node-{number}"
            home.mkdir(parents=True, exist_ok=True)
            settings = f"[limits]\nnice = 0\nshare = {self.count}\n"
            settings += "[market]\nfaucet = true\n" if self.paid else ""
            settings += self.owners.get(home.name, "")
            (home / "node.toml").write_text(settings)
        command = [sys.executable, "-m", "skerry", "up", "--nodes", str(self.count)]
        self._process = subprocess.Popen(
            [
                *command,
                *([] if self.paid else ["--no-chain"]),
                "--folder",
                str(self.folder),
                "--json",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "nodes" in said:
                self.nodes, self.chain = said["nodes"], said["chain"]
                self.invite = said["invite"]
                break
        if not self.nodes:
            raise RuntimeError("the network did not come up")
        self._reading = threading.Thread(
            target=self._drain, args=(self._process.stdout,), daemon=True
        )
        self._reading.start()
        return self

    @staticmethod
    def _drain(said: IO[str]) -> None:
        """Read what the network tells, so that no process of it waits to be heard."""
        for _ in said:
            pass

    def __exit__(self, *why: object) -> None:
        """End all processes, politely first."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._reading is not None:
                self._reading.join()
            if self._process.stdout is not None:
                self._process.stdout.close()

    @property
    def solvers(self) -> list[str]:
        """The nodes that take jobs, by the order of their keys, in which they are asked."""
        names = [name for name in self.nodes if name != "seed"]
        return sorted(names, key=lambda name: str(self.nodes[name]["key"]))

    def kill(self, name: str, *, disk: bool) -> None:
        """Kill a node as `kill -9` does; take its folder away too if `disk`."""
        os.kill(int(self.nodes[name]["pid"]), signal.SIGKILL)
        if disk:
            shutil.rmtree(self.folder / name, ignore_errors=True)


def ready_job(name: str, folder: Path, changes: Sequence[str]) -> tuple[TracedJob, Path]:
    """Return a job of `jobs/`, traced, and the folder of its data, with all files in `folder`."""
    file = load_job(JOBS / f"{name}.toml", [*changes, f"output_dir={folder / 'run'}"])
    report = prepare_data(file)
    return trace_job(file, report), Path(report.folder)
