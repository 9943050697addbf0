"""A job that is paid for, over processes that share nothing but a chain and what they tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.networked import LiveNetwork, ready_job
from skerry.job import MarketSection
from skerry.node.life import run_job
from skerry.node.market.statements import earnings_of, invoice_of
from skerry.node.network.networks import Purse, run_on_network
from skerry.node.processes import CrewTerms

pytestmark = pytest.mark.slow

CHANGES = (
    "train.max_steps=24", "rounds.local_steps=3", "rounds.segments=3", "rounds.codec=topk",
    "checkpoint.eval_steps=0", "checkpoint.save_steps=24",
)  # fmt: skip


@pytest.fixture
def network(tmp_path: Path) -> Iterator[LiveNetwork]:
    with LiveNetwork(tmp_path / "network", 6, paid=True) as made:
        yield made


def told(*words: str) -> Mapping[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "skerry", *words, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def test_a_paid_run_ends_in_the_local_bits_and_every_sum_is_the_vaults(
    network: LiveNetwork, tmp_path: Path
) -> None:
    traced, data = ready_job("digits", tmp_path, CHANGES)
    local = run_job(traced.run, tmp_path / "local", CrewTerms(1, threads=1, data=data))
    words: list[str] = []
    wish = MarketSection(phase_seconds=12, epoch_rounds=8, draws=4)
    purse = Purse(wish=wish, told=words.append)
    out = tmp_path / "paid"
    result = run_on_network(traced.run, out, data, str(network.folder), purse=purse)
    assert result.root == local.root
    bill = told("invoice", str(out))
    assert bill["adds_up"]
    units = bill["invoice"]["units"]
    assert len(units) == 8 * 4
    assert {it["reason"] for it in units} == {"paid"}
    assert {it["verdict"] for it in units} <= {"accepted", "not drawn"}
    assert "accepted" in {it["verdict"] for it in units}
    client = network.folder / "client"
    assert invoice_of(client, bill["invoice"]["job"]).closed
    homes = [network.folder / name for name in network.solvers]
    accounts = [earnings_of(home) for home in (client, *homes)]
    assert all(it.adds_up for it in accounts)
    assert sum(it.earned for it in accounts) == 0, "nobody was slashed, so nothing was burned"
    assert sum(it.earned > 0 for it in accounts) >= 4, "solvers and two auditors"
    assert any("awarded" in it for it in words)
