"""A desk as a child process: told orders, started again when it dies.

What    `DeskProcess.ask(order)` returns what the desk answers. The desk is started when it is first
        needed; after its death it is started anew, the later the more often it died in a row.
Why     A desk loads a chain's client and, for a replay, torch. Whoever lives long loads neither,
        and outlives its faults.
Rule    One order at a time, since the desk answers in order. What a desk is told must be safe to
        tell twice: whoever asks again after a death cannot know how far the dead one came.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec

from skerry.base.errors import NodeError
from skerry.node.market.orders import PLACE_NAME, Order, Place, Said
from skerry.storage import make_folder, write_file

LOG_NAME = "desk.log"
LINE_BYTES_MAX = 1 << 22
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.5, 30.0
STOP_SECONDS = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class DeskRefused(NodeError):
    """A node's desk does not do what it was told; the desk's own words say why."""

    code = "node.desk"

    def __init__(self, said: Said) -> None:
        self.reason = said.error
        super().__init__(said.why or said.error, next_step=said.next_step)


class DeskDied(NodeError):
    """A node's desk ended while it was asked."""

    code = "node.desk.died"

    def __init__(self, folder: Path, code: int | None) -> None:
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        super().__init__(
            f"the market's desk in {folder} ended with {how}",
            next_step=f"it is started again by itself; {folder / LOG_NAME} has its last words",
        )


class DeskProcess:
    """The desk of one folder.

    Args:
        folder: the desk's folder.
        place: where it works.
        threads: compute threads of a replay.
        nice: how far it stands back behind other programs, 0 to 19.
    """

    def __init__(self, folder: Path, place: Place, *, threads: int = 1, nice: int = 0) -> None:
        self.folder, self.place = folder, place
        self.starts = 0
        self._threads, self._nice = threads, nice
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The process, while one lives."""
        lives = self._process is not None and self._process.returncode is None
        return self._process.pid if lives and self._process is not None else None

    async def ask(self, order: Order) -> Said:
        """Tell the desk something and return its answer.

        Raises:
            DeskRefused: it does not do it, or could not be opened.
            DeskDied: it ended meanwhile.
        """
        async with self._turn:
            process = await self._living()
            assert process.stdin is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(msgspec.json.encode(order) + b"\n")
                await process.stdin.drain()
            return await self._hear(process)

    async def _living(self) -> asyncio.subprocess.Process:
        """Return the process; start one if there is none."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._failures:
            pause = PAUSE_SECONDS * 2 ** (self._failures - 1)
            await asyncio.sleep(min(pause, PAUSE_SECONDS_MAX))
        self._process = process = await self._start()
        self.starts += 1
        await self._hear(process)
        self._failures = 0
        return process

    async def _start(self) -> asyncio.subprocess.Process:
        make_folder(self.folder)
        write_file(self.folder / PLACE_NAME, msgspec.json.encode(self.place))
        command = [sys.executable, "-m", "skerry.node.market.desk", str(self.folder)]
        threads = dict.fromkeys(_THREAD_VARIABLES, str(self._threads))
        with (self.folder / LOG_NAME).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **threads},
                limit=LINE_BYTES_MAX,
                start_new_session=True,  # so that Ctrl-C reaches whoever started this, alone
            )
        if self._nice:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, self._nice)
        return process

    async def _hear(self, process: asyncio.subprocess.Process) -> Said:
        assert process.stdout is not None
        try:
            line = await process.stdout.readline()
        except asyncio.CancelledError:
            await self._end(process)  # its answer would be taken for that to the next order
            raise
        if not line:
            await process.wait()
            self._failures += 1
            raise DeskDied(self.folder, process.returncode)
        said = msgspec.json.decode(line, type=Said)
        if said.error:
            if not said.address and self.starts and await self._ended(process):
                self._failures += 1
            raise DeskRefused(said)
        return said

    @staticmethod
    async def _ended(process: asyncio.subprocess.Process) -> bool:
        """Return whether a desk that refused has ended, as one does that cannot be opened."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await process.wait()
        return process.returncode is not None

    async def close(self) -> None:
        """End the process, politely first."""
        async with self._turn:
            if self._process is not None:
                await self._end(self._process)
                self._process = None

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()  # the end of its input is the end of its work
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
