"""Node processes that a test can kill, each with a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from skerry.node.network.plain import NODE_NAME

_TRIES = 600


@dataclass
class PlainNodes:
    """Processes of `skerry.node.network.plain` below `root`."""

    root: Path
    count: int = 4
    backend: str = "torch"
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> PlainNodes:
        for number in range(self.count):
            self.start(number)
        return self

    def __exit__(self, *why: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def folder(self, number: int) -> Path:
        """Return the folder of a node."""
        return self.root / f"node-{number}"

    def start(self, number: int) -> None:
        """Start a node and wait until it says where it listens."""
        folder = self.folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NODE_NAME).unlink(missing_ok=True)
        command = [sys.executable, "-m", "skerry.node.network.plain", "--folder", str(folder)]
        with (folder / "said").open("ab") as said:
            self._processes[number] = subprocess.Popen(
                [*command, "--backend", self.backend], stdout=said, stderr=said
            )
        pause = threading.Event()
        for _ in range(_TRIES):
            if (folder / NODE_NAME).is_file():
                return
            assert self._processes[number].poll() is None, self.said(number)
            pause.wait(0.1)
        raise AssertionError("the node did not start in time")

    def kill(self, number: int, *, disk: bool = False) -> None:
        """Kill a node as `kill -9` does; take its folder away too if `disk`."""
        self._processes[number].kill()
        self._processes[number].wait()
        if disk:
            shutil.rmtree(self.folder(number), ignore_errors=True)

    def pid(self, number: int) -> int:
        """Return the process of a node."""
        return self._processes[number].pid

    def said(self, number: int) -> str:
        """Return what a node wrote."""
        return (self.folder(number) / "said").read_text()
