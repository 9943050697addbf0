"""The speed that a node announces is what its own workers came to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from skerry.messages.rounds import LaneDone, Spent
from skerry.node.dispute import read_receipt
from skerry.node.network.networks import _slower
from skerry.node.network.pace import Pace
from skerry.storage import RunFolder
from tests.node.small import local_job
from tests.node.within import Within


def test_a_rate_is_operations_by_the_time_they_took_once_that_says_something(
    tmp_path: Path,
) -> None:
    Within(local_job(rounds=1), tmp_path, workers=1).run()
    receipts = [read_receipt(it) for it in RunFolder(tmp_path).receipts()][:2]
    each = sum(it.cost.operations * it.unit.steps for it in receipts)
    done = LaneDone(0, 0, b"", None, tuple(receipts), 0, Spent(600_000, 1, 1), ())
    pace = Pace()
    pace.took(done)
    assert pace.rate == 0, "that is too little to tell"
    pace.took(msgspec.structs.replace(done, spent=Spent(400_000, 1, 1)))
    assert pace.rate == 2 * each > 0


def test_who_was_never_measured_is_asked_first_and_then_the_faster_ones() -> None:
    assert sorted([5, 0, 70, 9], key=_slower) == [0, 70, 9, 5]
