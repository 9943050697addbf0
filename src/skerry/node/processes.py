"""The crew: worker processes that are started, watched and replaced.

What    `Crew.start` spawns worker processes; each that ends while the run goes on is replaced.
        `Crew.words_of(pid)` says how a process ended and what it last wrote.
Why     A death needs no operator, and whoever looks later finds the worker's own words.
Rule    The secret goes by the environment. Threads are pinned before a library can read the
        variables. Only processes that this crew started are ever signalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from skerry.node.session import SECRET_VARIABLE
from skerry.storage import StorageError

_TAIL_BYTES = 2000
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_KILLED: Final = (-signal.SIGKILL, -signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class CrewTerms:
    """How worker processes are started.

    Attributes:
        workers: how many.
        threads: compute threads of each; 0 shares this machine's cores evenly.
        backend: which backend runs Programs.
        data: the prepared data folder.
    """

    workers: int
    threads: int = 0
    backend: str = "native"
    data: Path | None = None

    @property
    def threads_each(self) -> int:
        """The threads that each worker gets."""
        return self.threads or max(1, (os.cpu_count() or 1) // max(self.workers, 1))


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended: the end of what it wrote, and whether something killed it."""

    words: str
    killed: bool = False


@dataclass
class Crew:
    """The worker processes of one run.

    Attributes:
        terms: how they are started.
        run: the run's folder.
        on_exit: told the pid of a process that ended, and how.
        on_start: told the pid of a process as soon as there is one, before it has done anything.
    """

    terms: CrewTerms
    run: Path
    on_exit: Callable[[int, Death], None]
    on_start: Callable[[int], None] = lambda pid: None
    _processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    _watching: set[asyncio.Task[None]] = field(default_factory=set)
    _ending: bool = False

    async def start(self, address: str, secret: bytes) -> None:
        """Start all workers."""
        for slot in range(self.terms.workers):
            task = asyncio.ensure_future(self._keep_alive(slot, address, secret))
            self._watching.add(task)

    async def _keep_alive(self, slot: int, address: str, secret: bytes) -> None:
        """Run the worker of one slot again and again until the crew is dismissed."""
        log = self.run / "logs" / f"worker-{slot}.log"
        log.parent.mkdir(exist_ok=True)
        while not self._ending:
            try:
                with log.open("ab") as words:
                    process = await self._spawn(slot, address, secret, words.fileno())
                    start = words.tell()
            except OSError as error:
                trouble = StorageError(log, "starting a worker that logs to", error)
                self.on_exit(0, Death(str(trouble)))
                return
            self._processes[process.pid] = process
            self.on_start(process.pid)
            code = await process.wait()
            del self._processes[process.pid]
            if not self._ending:
                self.on_exit(
                    process.pid, Death(last_words(code, log, start), killed=code in _KILLED)
                )

    async def _spawn(
        self, slot: int, address: str, secret: bytes, words: int
    ) -> asyncio.subprocess.Process:
        terms = self.terms
        command = [sys.executable, "-m", "skerry.node.worker", "--connect", address]
        command += ["--run", str(self.run), "--slot", str(slot), "--backend", terms.backend]
        command += ["--threads", str(terms.threads_each)]
        if terms.data is not None:
            command += ["--data", str(terms.data)]
        threads = {name: str(terms.threads_each) for name in _THREAD_VARIABLES}
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env={**os.environ, **threads, SECRET_VARIABLE: secret.hex()},
            start_new_session=True,  # so that Ctrl-C reaches the coordinator alone
        )

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are alive."""
        return tuple(self._processes)

    def owns(self, pid: int) -> bool:
        """Return whether the process is one of this crew and alive."""
        return pid in self._processes

    def kill(self, pid: int) -> None:
        """Kill one process of this crew; harmless when it is not one."""
        if process := self._processes.get(pid):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)

    async def dismiss(self) -> None:
        """End all processes and replace none."""
        self._ending = True
        for pid in self.pids:
            self.kill(pid)
        if self._watching:
            await asyncio.wait(self._watching)


def last_words(code: int, log: Path, start: int) -> str:
    """Return how a process ended, with the end of what it wrote to its log."""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    with contextlib.suppress(OSError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _TAIL_BYTES))
        cut = size - _TAIL_BYTES > start
        words = file.read().decode(errors="replace").strip()
        if cut:  # begin with a whole line
            words = words.partition("\n")[2]
        if words:
            return f"the worker {how}; its last words:\n{words}"
    return f"the worker {how}"
