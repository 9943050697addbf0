"""A node whose files were meddled with says which, fetches them again, and changes no bit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.base.errors import NodeError
from skerry.base.ids import nickname
from skerry.messages.rounds import Trouble
from skerry.node.daemon.diagnosis import examine
from skerry.node.daemon.home import NodeHome
from skerry.node.events import LaneFinished, RoundFinished, RunEvent
from skerry.node.ledger import Ledger
from skerry.node.life import RunBlocked, RunJob
from skerry.node.network.mending import Mending, probe
from skerry.node.network.soundness import JobDamaged, look_at_job
from skerry.node.network.submitter import kept_assignment
from skerry.storage import FileDamaged, RunFolder, StorageError
from skerry.storage.partial import PartialBlob
from tests.node.network.ring import Ring
from tests.node.network.spoiling import blobs, cut, flip, spoil
from tests.node.small import local_job


@pytest.fixture(scope="module")
def job() -> RunJob:
    return local_job(rounds=24, save_rounds=4)


@pytest.fixture(scope="module")
def ended(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> Ring:
    ring = Ring(tmp_path_factory.mktemp("ended"), job)
    ring.run()
    return ring


def come_back_after(at: int, index: int, meddle: Callable[[Path], None]) -> object:
    """Return what stops a node after a round, meddles with its folder, and starts it again."""

    async def back(ring: Ring) -> None:
        node = ring.nodes[index]
        await node.die()
        meddle(node.folder)
        await node.start()

    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == at:
            ring.doing.append(asyncio.ensure_future(back(ring)))

    return on_event


def test_a_node_that_comes_back_to_spoiled_files_works_again(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job, on_event=come_back_after(6, 1, spoil))  # type: ignore[arg-type]
    assert ring.run().root.hex() == undisturbed
    node = ring.nodes[1]
    assert node.address is not None
    ran = [it.round for it in ring.events if isinstance(it, LaneFinished)
           and it.worker.startswith(nickname(node.address.key))]  # fmt: skip
    assert max(ran) > 7, "it runs lanes again"
    assert not [it for it in node.said if "given up" in it], node.said


def test_a_node_that_lost_its_assignment_says_so_and_serves_others(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    def meddle(node: Path) -> None:
        (folder,) = (node / "jobs").iterdir()
        cut(folder / "assignment")

    ring = Ring(tmp_path, job, on_event=come_back_after(6, 1, meddle))  # type: ignore[arg-type]
    assert ring.run().root.hex() == undisturbed
    (words,) = [it for it in ring.nodes[1].said if "left alone" in it]
    assert "assignment is damaged" in words
    assert "mv " in words


def test_what_was_not_fetched_whole_is_gone_when_the_job_is_over(
    job: RunJob, tmp_path: Path
) -> None:
    left: list[Path] = []

    def on_event(ring: Ring, event: RunEvent) -> None:
        if isinstance(event, RoundFinished) and event.round == 3:
            (folder,) = (ring.nodes[3].folder / "jobs").iterdir()
            partial = PartialBlob(RunFolder(folder).blobs, bytes(32))
            partial.write(9, 0, bytes(9))
            partial.close()
            left.extend((folder / "blobs" / "partial").iterdir())

    Ring(tmp_path, job, observers=1, on_event=on_event).run()  # its part is waited for
    assert len(left) == 2
    assert not any(it.exists() for it in left)


def test_terms_that_are_damaged_are_named_and_not_guessed(job: RunJob, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    Ledger(folder, job.config).pick_up()
    cut(tmp_path / "run.config")
    with pytest.raises(FileDamaged, match=r"run\.config is damaged") as caught:
        Ledger(folder, job.config).pick_up()
    assert f"mv {tmp_path / 'run.config'}" in caught.value.next_step
    (tmp_path / "run.config").unlink()
    assert Ledger(folder, job.config).pick_up().round == 0


def test_doctor_names_what_is_damaged_of_a_job(ended: Ring, tmp_path: Path) -> None:
    home = ended.nodes[2].folder
    (folder,) = (home / "jobs").iterdir()

    def wrong() -> list[tuple[str, str]]:
        found = asyncio.run(examine(NodeHome(home), None))
        assert all(it.next_step for it in found if not it.fine)
        return [(it.code, it.words) for it in found if not it.fine]

    assert wrong() == []
    for path in (
        next(blobs(folder)),
        *(sorted((folder / kind).iterdir())[0] for kind in ("checkpoints", "rounds", "committed")),
        *(folder / name for name in ("assignment", "run.config", "chair", "closed")),
    ):
        before = path.read_bytes()
        cut(path)
        ((code, words),) = wrong()
        assert code == "node.job"
        assert str(path) in words
        path.write_bytes(before)
    assert "sound" in look_at_job(folder)
    spoil(home)
    with pytest.raises(JobDamaged, match="more files"):
        look_at_job(folder)


def test_a_submitter_keeps_its_assignment_twice(ended: Ring) -> None:
    folder = RunFolder(ended.root / "submitter")
    sound = kept_assignment(folder, ended.job)
    assert sound is not None
    cut(folder.root / "assignment")
    assert kept_assignment(folder, ended.job) == sound
    assert kept_assignment(folder, ended.job) == sound, "it is whole again"
    for name in ("assignment", "assignment.copy"):
        flip(folder.root / name)
    with pytest.raises(FileDamaged, match="assignment is damaged: so is its copy") as caught:
        kept_assignment(folder, ended.job)
    assert "run the same command again" in caught.value.next_step


def test_a_disk_that_takes_nothing_is_waited_for(ended: Ring, tmp_path: Path) -> None:
    (folder,) = (ended.nodes[0].folder / "jobs").iterdir()
    found = kept_assignment(RunFolder(folder), ended.job)
    assert found is not None
    place = RunFolder(tmp_path / "job")
    (place.root / "room").mkdir()  # nothing can be renamed over a folder
    mending = Mending(place, found)

    async def body() -> None:
        with pytest.raises(StorageError) as caught:
            probe(place.root)
        asyncio.get_running_loop().call_soon(mending.note, caught.value)
        with pytest.raises(StorageError):
            await mending.watch(asyncio.Event().wait())
        waiting = asyncio.ensure_future(mending.until_fit(caught.value, moved=True))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 1.5)
        assert not waiting.done(), "it looks again and again"
        (place.root / "room").rmdir()
        await waiting
        assert await mending.watch(asyncio.to_thread(lambda: "done")) == "done"
        with pytest.raises(RunBlocked, match="full"):
            await mending.look(Trouble(3, "lane", 1, StorageError.code, "the disk is full"))
        await mending.look(Trouble(3, "lane", 1, "job.run", "a number is not finite"))

    asyncio.run(body())
    with pytest.raises(NodeError):
        probe(place.root, 1 << 60)
