"""A true receipt replays equal, a false one does not, and a lie is walked to its very element."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.base.chance import Chance
from skerry.messages.receipts import Receipt
from skerry.messages.signing import sign, signer
from skerry.node.dispute import (
    answer_for,
    doubt,
    draw_lie,
    party_of,
    read_receipt,
    receipt_of_party,
)
from skerry.node.ledger import Ledger
from skerry.node.life import RunJob
from skerry.node.party import Lie, LieImpossible, LieVanished
from skerry.node.past import NoSuchRun, NotOfThisRun, PastRun, UnitAltered
from skerry.storage import RunFolder
from skerry.verify import Finding, Reason, Verdict
from tests.node.small import every_step_job, local_job
from tests.node.within import Within

KEY, SIGN = signer(bytes(32))


def made(job: RunJob, folder: Path) -> PastRun:
    Within(job, folder).run()
    return PastRun.open(folder, backend="torch")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> PastRun:
    return made(local_job(), tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def every_step(tmp_path_factory: pytest.TempPathFactory) -> PastRun:
    return made(every_step_job(), tmp_path_factory.mktemp("every"))


def one_of(past: PastRun, name: str) -> Receipt:
    """Return a receipt of a late round for the Program of that name."""
    return next(
        receipt
        for receipt in map(read_receipt, reversed(past.folder.receipts()))
        if past.name_of(receipt.unit) == name
    )


def test_every_receipt_of_a_run_replays_equal(local: PastRun, every_step: PastRun) -> None:
    for past in (local, every_step):
        for path in past.folder.receipts()[::3]:
            assert past.verify(read_receipt(path)) == Verdict(Reason.EQUAL), path


@pytest.mark.parametrize("kept", ["checkpoints", "updates", "nothing"])
@pytest.mark.parametrize("kind", ["local", "every_step"])
def test_a_receipt_replays_from_whatever_is_still_held(
    kind: str, kept: str, tmp_path: Path
) -> None:
    past = made(local_job() if kind == "local" else every_step_job(), tmp_path)
    receipt = one_of(past, "encode" if kind == "local" else "grad")
    ledger = Ledger(RunFolder(tmp_path), past.config)
    records = [ledger.read_round(number) for number in range(past.config.rounds)]
    updates = {lane.update for record in records if record for lane in record.lanes}
    saved = {name for it in past.folder.checkpoints() for name in it.blobs}
    keep = {"checkpoints": saved, "updates": updates, "nothing": set[bytes]()}[kept]
    for name in list(past.folder.blobs.names()):
        if name not in keep:
            past.folder.blobs.drop(name)
    assert past.verify(receipt) == Verdict(Reason.EQUAL)


def test_an_altered_receipt_is_told_from_a_true_one(local: PastRun) -> None:
    true = one_of(local, "step")
    segments = (true.segments[0], bytes(32))
    forged = sign(msgspec.structs.replace(true, segments=segments, signer=KEY), SIGN)
    verdict = local.verify(forged)
    assert (verdict.reason, verdict.segment) == (Reason.SEGMENT, 1)
    unsigned = msgspec.structs.replace(true, segments=segments)
    assert local.verify(unsigned).reason is Reason.SIGNATURE


@pytest.mark.parametrize(
    ("change", "what"),
    [({"seed": 12}, "seed"), ({"steps": 2}, "steps"), ({"step_from": 0}, "step_from")],
)
def test_a_unit_that_the_job_does_not_ask_for_is_a_fault(
    local: PastRun, change: dict[str, int], what: str
) -> None:
    true = one_of(local, "step")
    unit = msgspec.structs.replace(true.unit, **change)
    altered = sign(msgspec.structs.replace(true, unit=unit, signer=KEY), SIGN)
    with pytest.raises(UnitAltered) as caught:
        local.verify(altered)
    assert caught.value.what == what


def test_a_receipt_of_another_run_is_refused(local: PastRun, every_step: PastRun) -> None:
    with pytest.raises(NotOfThisRun):
        local.verify(one_of(every_step, "grad"))


@pytest.mark.parametrize("name", ["step", "encode"])
def test_an_honest_party_says_what_the_receipt_says(local: PastRun, name: str) -> None:
    receipt = one_of(local, name)
    party = party_of(local, receipt.unit)
    assert receipt_of_party(local, party, KEY, SIGN).segments == receipt.segments
    assert party.transcript.outputs == receipt.outputs


async def dispute(past: PastRun, receipt: Receipt, lie: Lie | None) -> object:
    """Play both sides over a socket and return how it ended."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[str] = loop.create_future()
    answering = asyncio.ensure_future(
        answer_for(past, receipt, lie, lambda address, own: ready.set_result(address))
    )
    both: set[asyncio.Future[Any]] = {answering, ready}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    result = await doubt(past)
    await answering
    return result.outcome


@pytest.mark.parametrize("name", ["step", "encode", "grad"])
@pytest.mark.parametrize("seed", range(3))
def test_a_lie_of_one_element_is_walked_to_its_place(
    local: PastRun, every_step: PastRun, name: str, seed: int
) -> None:
    past = every_step if name == "grad" else local
    receipt = one_of(past, name)
    lie = draw_lie(past, receipt, Chance.from_int(seed))
    outcome = asyncio.run(dispute(past, receipt, lie))
    assert isinstance(outcome, Finding)
    node = past.lanes.programs[name].nodes[lie.node]
    assert (outcome.step, outcome.node, outcome.element) == (lie.step, lie.node, lie.element)
    assert outcome.op == node.op
    assert outcome.claimed != outcome.own


def test_a_folder_without_a_run_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRun):
        PastRun.open(tmp_path / "typo")
    assert not list(tmp_path.iterdir())


def test_two_honest_parties_have_nothing_to_dispute(local: PastRun) -> None:
    assert asyncio.run(dispute(local, one_of(local, "step"), None)) is None


@pytest.mark.parametrize("text", ["", "1:2", "a:b:c", "1:2:-3", "99:0:0", "0:9999:0", "0:0:99999"])
def test_an_impossible_lie_is_refused(local: PastRun, text: str) -> None:
    with pytest.raises(LieImpossible):
        party_of(local, one_of(local, "step").unit, Lie.parse(text))


def test_a_lie_that_makes_no_difference_is_not_told(local: PastRun) -> None:
    """The last place of the least square is below the grid on which the loss adds up."""
    receipt = one_of(local, "step")
    nodes = local.lanes.programs["step"].nodes
    square = next(at for at, it in enumerate(nodes) if it.op == "mul" and len({*it.inputs}) == 1)
    squares = struct.unpack("<512f", party_of(local, receipt.unit).leaf(0, square, 0))
    lie = Lie(0, square, squares.index(min(squares)))
    with pytest.raises(LieVanished):
        asyncio.run(answer_for(local, receipt, lie, lambda address, own: None))


@pytest.mark.slow
def test_the_walk_works_between_two_processes(local: PastRun) -> None:
    receipt = one_of(local, "step")
    lie = draw_lie(local, receipt, Chance.from_int(9))
    path = next(it for it in local.folder.receipts() if read_receipt(it) == receipt)
    command = [sys.executable, "-m", "skerry.node.reveal", "--run", str(local.folder.root)]
    command += [str(path), "--backend", "torch", "--lie", str(lie)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as liar:
        assert liar.stdout is not None
        address = liar.stdout.readline().strip()
        outcome = asyncio.run(doubt(local, address)).outcome
    assert isinstance(outcome, Finding)
    assert (outcome.step, outcome.node, outcome.element) == (lie.step, lie.node, lie.element)
    assert liar.returncode == 0
