"""A job that goes back to an earlier round: what stays, what is done again, who is believed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry.messages.leased import FENCES, Closed
from skerry.messages.signing import sign
from skerry.node.events import RoundFinished, RunEvent
from skerry.node.keys import load_key
from skerry.node.life import RunJob
from skerry.node.network.ends import EndRefused
from skerry.node.network.replica import Replica
from skerry.node.network.trust import Trust
from skerry.storage import RunFolder
from tests.node.network.ring import Ring

TERMS = {"rounds": 16, "save_rounds": 4}


def turns(ring: Ring) -> list[int]:
    """Return in which turn of the job each round was signed, as the submitter has it."""
    folder = RunFolder(ring.root / "submitter")
    replica = Replica(folder, ring.job.config, Trust([]), holds="records")
    said = [replica.read(at) for at in range(ring.job.config.rounds)]
    return [(it.record.fence - 1) // FENCES for it in said if it is not None]


def test_kept_rounds_stay_and_the_others_are_done_again(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job, observers=1, again=lambda it: it.go_back(6, 2, 1))
    result = ring.run()
    assert result.root.hex() == undisturbed
    assert turns(ring) == [0] * 6 + [1] * 10
    assert ring.rounds == list(range(6, 16))
    assert sorted(result.losses) == list(range(16)), "the log of the kept rounds is kept"
    before, after = sorted(path.name for path in (ring.nodes[1].folder / "jobs").iterdir())
    assert after == f"{before}-1"
    left_out = list((ring.nodes[0].folder / "jobs").iterdir())
    assert len(left_out) == 1, "who was not leased again has heard of nothing"


def test_a_node_that_is_new_gets_the_kept_rounds_from_the_others(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    """The one that has them coordinates, and dies; the new one goes on alone."""
    killed: list[int] = []

    def on_event(ring: Ring, event: RunEvent) -> None:
        done = isinstance(event, RoundFinished) and event.round == 10
        if done and ring.turn.kept and not killed:
            killed.append(2)
            ring.kill(2, disk=True)

    ring = Ring(
        tmp_path, job, 4, leased=(0, 1, 2), again=lambda it: it.go_back(6, 2, 3), on_event=on_event
    )
    assert ring.run().root.hex() == undisturbed
    assert killed
    assert turns(ring) == [0] * 6 + [1] * 10


def test_nodes_that_are_all_new_get_the_kept_rounds_from_the_submitter(
    undisturbed: str, job: RunJob, tmp_path: Path
) -> None:
    ring = Ring(tmp_path, job, 4, leased=(0, 1), again=lambda it: it.go_back(4, 2, 3))
    assert ring.run().root.hex() == undisturbed
    if job.config.exchange == "local":  # the other one drops updates, so its rounds are done again
        assert turns(ring) == [0] * 4 + [1] * 12


def test_the_end_of_an_earlier_turn_ends_nothing(job: RunJob, tmp_path: Path) -> None:
    key, by = load_key(tmp_path / "node.key")
    replica = Replica(RunFolder(tmp_path / "node"), job.config, Trust([key], (4,)))

    async def close(fence: int) -> None:
        said = Closed(signer=key, job=job.config.job, fence=fence, kind="failed", rounds=0)
        await replica.hear_end(sign(said, by))

    with pytest.raises(EndRefused, match="earlier turn"):
        asyncio.run(close(3))
    assert replica.closed is None
    asyncio.run(close(FENCES + 3))
    assert replica.closed is not None, "there is no other node that could say so"


def test_a_node_that_missed_a_turn_believes_none_of_the_rounds_that_it_did_again(
    job: RunJob, undisturbed: str, tmp_path: Path
) -> None:
    def twice(ring: Ring) -> None:
        ring.go_back(4, 0, 1)
        ring.again = lambda it: it.go_back(10, 2, 1)

    ring = Ring(tmp_path, job, again=twice)
    assert ring.run().root.hex() == undisturbed
    assert turns(ring)[:4] == [0] * 4
    assert turns(ring)[10:] == [2] * 6
    assert set(turns(ring)[4:10]) <= {1, 2}
