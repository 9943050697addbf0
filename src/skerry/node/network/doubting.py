"""Doubting: which of a convicted node's units was the first false one.

What    `first_false` runs such units again, in order, and returns the round of the first one
        whose receipts, update or state is not what comes out.
Why     A court convicts what chance drew, and a liar may have lied before. What he did right need
        not be done again.
Rule    Nothing of the node is believed: each lane goes on from the state that was computed here. It
        costs the submitter these units and nobody else anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from skerry.messages.receipts import Receipt
from skerry.messages.rounds import LaneRecord
from skerry.messages.wire import decode_as
from skerry.node.lane import LaneRun
from skerry.node.ledger import read_record
from skerry.node.past import PastRun
from skerry.node.states import StateDigests, state_bytes
from skerry.storage import RunFolder, blob_digest, read_file


def first_false(
    folder: RunFolder, data: Path | None, units: Collection[tuple[int, int]]
) -> int | None:
    """Return the round of the first false one among some units, or None where all are true.

    Args:
        folder: the run, with the updates of all rounds before the last of these units.
        data: the prepared data.
        units: the round and lane of each.
    """
    past = PastRun.open(folder.root, data)
    lanes = sorted({lane for _, lane in units})
    states = {lane: past.own_at(min(units)[0], lane) for lane in lanes}
    for at in range(min(units)[0], max(units)[0] + 1):
        globals_ = past.globals_at(at)
        record = read_record(folder, past.config.job, at)
        for lane in lanes:
            run = past.lanes.run(at, lane, globals_, states[lane], StateDigests())
            states[lane] = run.state
            receipts = _receipts(folder, at, lane)
            if (at, lane) in units and (
                record is None or not _is_true(record.lanes[lane], receipts, run)
            ):
                return at
    return None


def _receipts(folder: RunFolder, at: int, lane: int) -> list[Receipt]:
    paths = (folder.root / "receipts").glob(f"{at:08d}-{lane:04d}-*.receipt")
    return [decode_as(Receipt, read_file(path)) for path in paths]


def _is_true(said: LaneRecord, receipts: Sequence[Receipt], run: LaneRun) -> bool:
    """Return whether a lane's record and receipts say what came out here."""
    due = {(unit, it.transcript.segments, it.transcript.outputs) for unit, it in run.units}
    claimed = {(it.unit, it.segments, it.outputs) for it in receipts}
    state = blob_digest(state_bytes(run.state)) if run.state else None
    return claimed == due and said.update == blob_digest(run.update) and said.state == state
