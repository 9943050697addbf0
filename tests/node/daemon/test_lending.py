"""The owner gets his machine back at once, and no worker takes more than he lends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from skerry.node.clocks import RealClock
from skerry.node.daemon.lending import POLL_SECONDS, Lending
from skerry.node.daemon.memory import NodeMemory
from skerry.node.daemon.policy import OwnerPolicy, Readings
from skerry.node.daemon.readings import resident_bytes
from skerry.node.daemon.settings import Limits
from skerry.node.processes import Death

LENT = Limits(memory_gib=4.0, cores=1, nice=7)


class Machine:
    """A machine whose owner comes and goes as the test says."""

    def __init__(self, folder: Path, limits: Limits = LENT) -> None:
        self.untouched = 1e6
        self.events: list[str] = []
        self.deaths: list[tuple[int, Death]] = []
        self.memory = NodeMemory(folder / "memory.sqlite")
        self.lending = Lending(
            OwnerPolicy(idle_seconds=60),
            limits,
            self.memory,
            RealClock(),
            read=lambda today: Readings(
                0, untouched_seconds=self.untouched, computed_seconds=today
            ),
            told=lambda kind, facts: self.events.append(kind),
        )
        (folder / "keys").mkdir()
        self.staff = self.lending.staff(
            folder, None, lambda pid, death: self.deaths.append((pid, death))
        )

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not fact():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), 0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def with_machine(
    folder: Path, case: Callable[[Machine], Awaitable[None]], limits: Limits = LENT
) -> None:
    """Play a case with a worker that was told of a coordinator which never speaks."""

    async def play() -> None:
        machine = Machine(folder, limits)
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        host, port = silent.sockets[0].getsockname()[:2]
        try:
            await machine.staff.start(f"{host}:{port}", bytes(32))
            await case(machine)
        finally:
            await machine.lending.stop()
            silent.close()
            machine.memory.close()

    asyncio.run(play())


@pytest.mark.slow
def test_a_worker_yields_when_somebody_comes_and_begins_again_in_a_calm(tmp_path: Path) -> None:
    async def case(machine: Machine) -> None:
        lending = machine.lending
        await machine.until(lambda: len(machine.staff.pids) == 1)
        (pid,) = machine.staff.pids
        await lending.start()
        machine.untouched = 0.0
        await machine.until(lambda: not alive(pid))
        assert machine.staff.pids == ()
        await machine.until(lambda: bool(machine.deaths))
        ((who, death),) = machine.deaths
        assert (who, death.killed) == (pid, True)
        assert "somebody is using the machine" in death.words
        machine.untouched = 1e6
        await machine.until(lambda: len(machine.staff.pids) == 1)
        assert machine.events == ["lending", "lending"]

    with_machine(tmp_path, case)


@pytest.mark.slow
def test_a_worker_lives_under_the_limits_from_its_first_moment(tmp_path: Path) -> None:
    async def case(machine: Machine) -> None:
        await machine.until(lambda: len(machine.staff.pids) == 1)
        (pid,) = machine.staff.pids
        most = LENT.memory_bytes
        assert resource.prlimit(pid, resource.RLIMIT_DATA) == (most, most)
        assert os.getpriority(os.PRIO_PROCESS, pid) == 7
        assert len(os.sched_getaffinity(pid)) == 1

    with_machine(tmp_path, case)


@pytest.mark.slow
def test_a_worker_that_holds_more_than_is_lent_is_ended_and_told(tmp_path: Path) -> None:
    async def case(machine: Machine) -> None:
        await machine.until(lambda: len(machine.staff.pids) == 1)
        (pid,) = machine.staff.pids
        await machine.until(lambda: resident_bytes(pid) > 40 << 20)
        machine.lending.limits = Limits(memory_gib=0.01)
        await machine.lending.look()
        assert machine.deaths[0][0] == pid
        assert "where 10.2 MiB are lent" in machine.deaths[0][1].words
        await machine.until(lambda: not alive(pid))

    with_machine(tmp_path, case)


def test_nothing_starts_while_the_owner_is_there(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()

    async def play() -> None:
        machine = Machine(tmp_path / "node")
        machine.untouched = 0.0
        await machine.lending.look()
        await machine.staff.start("127.0.0.1:9", bytes(32))
        assert machine.staff.pids == ()
        assert not machine.lending.verdict.allowed
        await machine.lending.stop()
        machine.memory.close()

    asyncio.run(play())


def test_the_machine_is_looked_at_often_enough_to_yield_within_two_seconds() -> None:
    assert POLL_SECONDS <= 1.0


def test_the_time_that_was_computed_today_survives_a_restart(tmp_path: Path) -> None:
    memory = NodeMemory(tmp_path / "memory.sqlite")
    seen: list[float] = []

    def read(today: float) -> Readings:
        seen.append(today)
        return Readings(0, computed_seconds=today)

    lending = Lending(OwnerPolicy(day_seconds=90), Limits(), memory, RealClock(), read=read)
    assert lending.verdict.allowed
    lending._unkept = 91.5
    lending._keep()
    again = Lending(OwnerPolicy(day_seconds=90), Limits(), memory, RealClock(), read=read)
    assert not again.verdict.allowed
    assert seen == [0.0, 91.0]
    memory.close()
