"""A job ends when it is over, and not when whoever coordinates says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.base.digests import digest
from skerry.messages.leased import Closed
from skerry.messages.signing import sign
from skerry.node.coordinator import Coordinator
from skerry.node.events import RoundFinished, RunEvent
from skerry.node.life import RunFailed
from skerry.node.network import ends, hearing
from skerry.node.network.office import Office
from skerry.storage import write_file
from skerry.train.rounds import End, StopAsked
from tests.node.network.ring import Ring
from tests.node.small import local_job
from tests.node.within import Within

ROUNDS = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Within(local_job(rounds=ROUNDS), tmp_path_factory.mktemp("run"), workers=1).run().root


def lie_at(
    ring: Ring, monkeypatch: pytest.MonkeyPatch, at: int, kind: Any, **changes: Any
) -> list[Closed]:
    """Let the first node say that the job is over when so many rounds are committed."""
    told: list[Closed] = []
    run = Office.run

    async def lying(office: Office) -> Closed:
        first = ring.nodes[0].address
        assert first is not None
        if office._key != first.key or told:
            return await run(office)
        running = asyncio.ensure_future(run(office))
        far = asyncio.ensure_future(office._replica.until(at, 60.0))
        try:
            await asyncio.wait({running, far}, return_when=asyncio.FIRST_COMPLETED)
            told.append(untrue(office))
            await office._replica.hear_end(told[0])
            await office.coordinator.farewell(kind)
            return told[0]
        finally:
            for task in (running, far):
                task.cancel()
            await asyncio.gather(running, far, return_exceptions=True)

    def untrue(office: Office) -> Closed:
        said = office.say_over(End(kind, "I had enough"), None)
        now = {"rounds": office._replica.round}
        return sign(msgspec.structs.replace(said, **(now | changes)), office._sign)

    monkeypatch.setattr(Office, "run", lying)
    return told


@pytest.mark.parametrize("kind", ["failed", "crashing", "finished", "asked"])
def test_who_coordinates_ends_no_job_alone(
    undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    ring = Ring(tmp_path, local_job(rounds=ROUNDS), observers=1)
    told = lie_at(ring, monkeypatch, 3, kind)
    result = ring.run()
    assert told
    assert result.finished
    assert result.root.hex() == undisturbed
    assert sum("is not believed" in words for node in ring.nodes for words in node.said)


def test_a_false_last_state_is_not_believed(
    undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Ring(tmp_path, local_job(rounds=ROUNDS))
    wrong = digest("blob", b"nothing")
    told = lie_at(
        ring, monkeypatch, ROUNDS, "finished", state=wrong, round=ROUNDS, root=digest("a", b"b")
    )
    result = ring.run()
    assert told
    assert result.root.hex() == undisturbed


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let every coordinator find that a round cannot be done."""
    failed: list[int] = []
    run, next_event = Coordinator.run, Coordinator._next_event

    async def failing(coordinator: Coordinator) -> Any:
        end, trouble = await run(coordinator)
        if end.kind != "asked":
            return end, trouble
        failed.append(coordinator._ledger.round)
        return End("failed", end.detail), trouble

    async def at_last(coordinator: Coordinator) -> Any:
        if coordinator._ledger.round >= number:
            return StopAsked("the loss is not a number"), None
        return await next_event(coordinator)

    monkeypatch.setattr(Coordinator, "run", failing)
    monkeypatch.setattr(Coordinator, "_next_event", at_last)
    return failed


def test_a_job_that_fails_ends_as_soon_as_a_second_node_finds_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail_at(monkeypatch, 3)
    ring = Ring(tmp_path, local_job(rounds=ROUNDS), observers=1)
    with pytest.raises(RunFailed, match="not a number"):
        ring.run()
    assert failed == [3, 3]


def test_a_job_of_one_node_ends_at_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail_at(monkeypatch, 2)
    ring = Ring(tmp_path, local_job(rounds=ROUNDS), count=1)
    with pytest.raises(RunFailed, match="not a number"):
        ring.run()
    assert failed == [2]


def test_a_node_that_is_left_alone_is_believed_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "SILENT_SECONDS", 1.0)
    failed = fail_at(monkeypatch, 5)
    killed: list[int] = []

    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 1 and not killed:
            killed.append(1)
            ring.kill(1)

    ring = Ring(tmp_path, local_job(rounds=ROUNDS), count=2, on_event=on_event)
    with pytest.raises(RunFailed, match="not a number"):
        ring.run()
    assert killed
    assert failed


def test_an_end_that_an_older_version_kept_is_asked_for_again(
    undisturbed: str, tmp_path: Path
) -> None:
    """The job's folder of the submitter holds a `closed` file that says nothing any more."""
    ring = Ring(tmp_path, local_job(rounds=ROUNDS))
    (tmp_path / "submitter").mkdir()
    write_file(tmp_path / "submitter" / "closed", b"\x81\xa4type\xa8closed/1")
    assert ring.run().root.hex() == undisturbed


def test_an_isolated_node_runs_nothing_alone_and_is_convicted_of_nothing(
    undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back: list[int] = []

    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 2 and not back:
            ring.cut_off(1, off=True)
            back.append(event.round)
        if isinstance(event, RoundFinished) and event.round == 12:
            ring.cut_off(1, off=False)

    job = local_job(rounds=16)
    alone = Within(job, tmp_path / "alone", workers=1).run().root
    ring = Ring(tmp_path, job, on_event=on_event)
    assert ring.run().root.hex() == alone
    assert not any("coordinating" in words for words in ring.nodes[1].said)
    assert proofs(tmp_path) == []
    assert undisturbed != alone


def test_one_that_ran_rounds_alone_under_its_own_fence_is_convicted_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "ALONE_SECONDS", 0.0)
    job = local_job(rounds=40)
    alone = Within(job, tmp_path / "alone", workers=1).run().root

    cut: list[int] = []

    def on_event(ring: Ring, event: RunEvent) -> None:
        reception = ring.nodes[1].reception
        follows = reception is not None and any(part._known for part in reception.parts.values())
        if isinstance(event, RoundFinished) and follows and not cut:
            cut.append(event.round)
            ring.cut_off(1, off=True)
        took = any("coordinating" in words for words in ring.nodes[1].said)
        if isinstance(event, RoundFinished) and took:
            ring.cut_off(1, off=False)

    ring = Ring(tmp_path, job, on_event=on_event)
    assert ring.run().root.hex() == alone
    assert any("coordinating" in words for words in ring.nodes[1].said)
    assert proofs(tmp_path) == []


def proofs(root: Path) -> list[Path]:
    return [*root.glob("node-*/jobs/*/evidence/*"), *(root / "submitter").glob("evidence/*")]
