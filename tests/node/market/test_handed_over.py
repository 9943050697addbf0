"""A lane that one solver began and another ended, between two merges: each is paid its rounds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from skerry.messages.signing import sign
from skerry.node.dispute import read_receipt
from skerry.node.keys import load_key
from skerry.node.market.statements import earnings_of, invoice_of
from skerry.roles.statement import Because, Found
from skerry.storage import RunFolder
from tests.node.market.ground import (
    ASKING,
    ROUNDS,
    Market,
    opened,
    plant_lie,
    signer_keys,
    small_run,
    write_receipt,
)

pytestmark = pytest.mark.slow

EVERY, LANE = 2, 2


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose lane 2 changes hands after round 0, in the middle of its first merge."""
    run = small_run(tmp_path_factory.mktemp("run"), merge_rounds=EVERY)
    folder = RunFolder(run)
    began = read_receipt(folder.receipt_path(0, LANE, "step")).signer
    ended = next(key for key in signer_keys(run) if key != began)
    path = next(it for it in (run / "keys").glob("worker-*.key") if load_key(it)[0] == ended)
    for kind in ("step", "encode"):
        true = read_receipt(folder.receipt_path(1, LANE, kind))
        made = msgspec.structs.replace(true, signer=ended)
        write_receipt(run, 1, LANE, true, sign(made, load_key(path)[1]))
    return run


def played(markets: list[Market], market: Market) -> Market:
    opened(markets, market).play()
    return market


def test_both_are_paid_for_what_they_finished(
    handed: Path, tmp_path: Path, markets: list[Market]
) -> None:
    asking = replace(ASKING, draws=64)  # so that rounds that go on are replayed too
    market = played(markets, Market(tmp_path / "market", handed, asking))
    bill = invoice_of(market.folder / "client", market.job.hex())
    assert bill.adds_up
    assert len(bill.units) == ROUNDS * 4
    assert {(it.reason, it.paid) for it in bill.units} == {(Because.PAID, 100)}
    drawn = {it.round for it in bill.units if it.verdict is Found.ACCEPTED}
    assert drawn == set(range(ROUNDS))
    first, second = (it.node for it in bill.units if it.lane == LANE and it.round < EVERY)
    assert first != second
    gains = market.gains()
    assert sum(gains.values()) == 0
    for name in (f"solver-{at}" for at in range(4)):
        assert gains[name] == 100 * market.units_of(name)
        account = earnings_of(market.folder / name)
        assert account.adds_up
        assert account.earned == gains[name]


def test_who_lies_after_a_handover_pays_alone(
    handed: Path, tmp_path: Path, markets: list[Market]
) -> None:
    run = Path(shutil.copytree(handed, tmp_path / "run"))
    name, lie, key = plant_lie(run, 1, LANE)
    asking = replace(ASKING, draws=64)
    market = played(markets, Market(tmp_path / "market", run, asking, lies={name: (lie, key)}))
    bill = invoice_of(market.folder / "client", market.job.hex())
    assert bill.adds_up
    false = [it for it in bill.units if it.verdict is Found.FALSE]
    assert [(it.round, it.lane, it.reason) for it in false] == [(1, LANE, Because.CONVICTED)]
    liar = false[0].node
    assert {it.node for it in bill.units if it.reason is not Because.PAID} == {liar}
    (began,) = (it for it in bill.units if (it.round, it.lane) == (0, LANE))
    assert began.node != liar
    assert began.paid == 100
    assert sum(market.gains().values()) == 0
