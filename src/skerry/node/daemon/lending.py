"""What an owner lends: workers in processes of their own, under his limits, while he allows it.

What    `Lending` takes readings twice a second, decides, and starts and ends the workers of all
        jobs accordingly; `Lending.staff` makes the workers of one job.
Why     The owner gets his machine back within two seconds, whatever a job is doing, and no job can
        take more than he lends.
Rule    A worker that must go is killed: it holds nothing that is not kept elsewhere, so its lane is
        handed back by its absence. Memory is limited twice: the kernel refuses more data than is
        lent (RLIMIT_DATA), and a worker that holds more is ended. Cores are limited by threads and
        affinity, precedence by niceness. Only processes that were started here are touched.
Limits  The kernel's limits are Linux's; elsewhere threads, niceness and the policy remain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from skerry.base.clock import Clock
from skerry.base.errors import NodeError
from skerry.base.units import format_bytes
from skerry.node.daemon.memory import NodeMemory
from skerry.node.daemon.policy import OwnerPolicy, Readings, Verdict, decide
from skerry.node.daemon.readings import resident_bytes, take_readings
from skerry.node.daemon.settings import Limits
from skerry.node.processes import Crew, CrewTerms, Death

POLL_SECONDS = 0.5
KEEP_SECONDS = 10.0
_DAY_SECONDS = 24 * 3600


class LentStaff:
    """The workers of one job: there while the owner allows it and the job needs them."""

    def __init__(
        self,
        lending: Lending,
        folder: Path,
        data: Path | None,
        ended: Callable[[int, Death], None],
    ) -> None:
        self._lending = lending
        self._folder = folder
        self._data = data
        self._ended = ended
        self._crew: Crew | None = None
        self._where: tuple[str, bytes] | None = None
        self._turning = asyncio.Lock()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are alive."""
        return self._crew.pids if self._crew else ()

    async def start(self, address: str, secret: bytes) -> None:
        """Start workers that connect to `address`, now or as soon as the owner allows it."""
        self._where = (address, secret)
        self._lending.staffs.add(self)
        await self.turn(self._lending.verdict)

    async def dismiss(self) -> None:
        """End all workers for good."""
        self._where = None
        self._lending.staffs.discard(self)
        await self.turn(self._lending.verdict)

    async def turn(self, verdict: Verdict) -> None:
        """Start or end the workers, so that there are some if and only if there may be."""
        async with self._turning:
            if self._where is not None and verdict.allowed:
                if self._crew is None:
                    self._crew = self._lending.crew(self._folder, self._data, self._ended)
                    await self._crew.start(*self._where)
                return
            if self._crew is not None:
                pids, crew = self._crew.pids, self._crew
                self._crew = None
                await crew.dismiss()
                if self._where is not None:
                    words = f"the owner took the machine back: {verdict.reason}"
                    for pid in pids:
                        self._ended(pid, Death(words, killed=True))

    def kill_greedy(self, pid: int, words: str) -> None:
        """End a worker that holds more than is lent; it is replaced."""
        if self._crew is not None:
            self._ended(pid, Death(words))
            self._crew.kill(pid)


class Lending:
    """The machine, as far as its owner lends it.

    Args:
        policy: when workers may run.
        limits: what they may take.
        memory: remembers how long they ran today.
        clock: monotonic seconds.
        spread: chooses which cores are taken where not all are lent.
        backend: which backend workers run.
        read: takes the readings, given the seconds computed today.
        told: is told what happens, as an event and its facts.
    """

    def __init__(
        self,
        policy: OwnerPolicy,
        limits: Limits,
        memory: NodeMemory,
        clock: Clock,
        *,
        spread: int = 0,
        backend: str = "native",
        read: Callable[[float], Readings] = take_readings,
        told: Callable[[str, dict[str, object]], None] = lambda kind, facts: None,
    ) -> None:
        self.policy = policy
        self.limits = limits
        self.staffs: set[LentStaff] = set()
        self._memory = memory
        self._clock = clock
        self._spread = spread
        self._backend = backend
        self._read = read
        self._told = told
        self._listeners: list[Callable[[Verdict], None]] = []
        self._unkept = 0.0
        self._watching: asyncio.Task[None] | None = None
        self.verdict = self._decide()

    def on_change(self, told: Callable[[Verdict], None]) -> None:
        """Tell `told` whenever the verdict changes."""
        self._listeners.append(told)

    def staff(
        self, folder: Path, data: Path | None, ended: Callable[[int, Death], None]
    ) -> LentStaff:
        """Return the workers of one job."""
        return LentStaff(self, folder, data, ended)

    def crew(self, folder: Path, data: Path | None, ended: Callable[[int, Death], None]) -> Crew:
        """Return a worker process under the limits, not yet started."""
        terms = CrewTerms(1, threads=self.limits.threads, backend=self._backend, data=data)
        return Crew(terms, folder, ended, on_start=self._limit)

    def _limit(self, pid: int) -> None:
        """Put the limits on a process that has just begun."""
        with contextlib.suppress(ProcessLookupError, PermissionError, OSError):
            os.setpriority(os.PRIO_PROCESS, pid, self.limits.nice)
        if self.limits.cores and hasattr(os, "sched_setaffinity"):
            here = sorted(os.sched_getaffinity(0))
            taken = {here[(self._spread + at) % len(here)] for at in range(self.limits.threads)}
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.sched_setaffinity(pid, taken)
        most = self.limits.memory_bytes
        if most and hasattr(resource, "prlimit"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))

    # -- watching

    async def start(self) -> None:
        """Begin to watch the machine."""
        self._watching = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        """End every worker and stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for staff in list(self.staffs):
            await staff.dismiss()
        self._keep()

    @property
    def pids(self) -> tuple[int, ...]:
        """All workers that are alive."""
        return tuple(pid for staff in self.staffs for pid in staff.pids)

    def _decide(self) -> Verdict:
        today = self._memory.computed_seconds(self._day()) + self._unkept
        return decide(self.policy, self._read(today))

    @staticmethod
    def _day() -> int:
        """Return the number of the local day."""
        return (int(time.time()) + time.localtime().tm_gmtoff) // _DAY_SECONDS

    async def _watch(self) -> None:
        before = self._clock.now()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = self._clock.now()
            if self.pids:
                self._unkept += now - before
            before = now
            if self._unkept >= KEEP_SECONDS:
                self._keep()
            await self.look()

    async def look(self) -> None:
        """Take readings once, and do what follows from them."""
        verdict = self._decide()
        if verdict != self.verdict:
            self.verdict = verdict
            self._told("lending", {"allowed": verdict.allowed, "reason": verdict.reason})
            for told in self._listeners:
                told(verdict)
            await asyncio.gather(*(staff.turn(verdict) for staff in list(self.staffs)))
        self._end_greedy()

    def _end_greedy(self) -> None:
        most = self.limits.memory_bytes
        if not most:
            return
        for staff in self.staffs:
            for pid in staff.pids:
                if (held := resident_bytes(pid)) > most:
                    words = f"it held {format_bytes(held)} where {format_bytes(most)} are lent"
                    self._told("greedy", {"pid": pid, "held": held, "lent": most})
                    staff.kill_greedy(pid, words)

    def _keep(self) -> None:
        seconds = int(self._unkept)
        with contextlib.suppress(NodeError):  # the disk may have room later; it counts until then
            if seconds:
                self._memory.add_computed(self._day(), seconds)
                self._unkept -= seconds
