"""Check a receipt, alone or against the party that signed it.

What    `verify_receipt(path)` replays the unit of a receipt in a run's folder; `walk_to_lie(path)`
        walks a party that answers for it to the first element that differs; `answer(path)` is that
        party.
Why     The two checks of the command line and of the Python API, on whatever run the receipt is of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from skerry.messages.receipts import Receipt
from skerry.node.dispute import Move, WalkResult, answer_for, doubt, read_receipt, sign_duty
from skerry.node.duties import Duty
from skerry.node.party import Lie
from skerry.node.past import PastRun
from skerry.node.submission import kept_job
from skerry.verify import Verdict


def run_of(receipt: Path) -> Path:
    """Return the folder of the run that a receipt lies in."""
    return receipt.resolve().parent.parent


def open_past(run: Path) -> PastRun:
    """Return a run with its data, ready to be run again anywhere.

    Raises:
        NoSuchRun: the folder holds no run.
    """
    file = kept_job(run)
    fast = file.job.train.arithmetic == "fast"
    return PastRun.open(run, file.data_folder, "fast" if fast else "native")


def receipt_of_duty(run: Path, unit: str) -> Path:
    """Return the receipt of the coordinator's unit KIND:ROUND of a run, signed now.

    Raises:
        NoSuchRun, NoSuchDuty: there is no such run, or no such unit in it.
    """
    return sign_duty(open_past(run), Duty.parse(unit))


def verify_receipt(path: str | Path) -> Verdict:
    """Return whether a receipt is true, by running its unit again.

    Raises:
        NoSuchRun, NotOfThisRun, UnitAltered: it is no receipt of the run whose folder it is in.
    """
    receipt = Path(path)
    claimed = read_receipt(receipt)
    return open_past(run_of(receipt)).verify(claimed)


def walk_to_lie(
    path: Path, address: str, watch: Callable[[Move], None] = lambda move: None
) -> WalkResult:
    """Walk the party at `address` to the first place where its run of a unit parts from ours."""
    return asyncio.run(doubt(open_past(run_of(path)), address, watch=watch))


def answer(path: Path, lie: str, announce: Callable[[str, Receipt], None]) -> None:
    """Answer for the unit of a receipt, honestly or with one planted lie, until a walk ends."""
    past = open_past(run_of(path))
    planted = Lie.parse(lie) if lie else None
    asyncio.run(answer_for(past, read_receipt(path), planted, announce))
