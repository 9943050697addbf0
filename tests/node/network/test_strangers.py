"""What `make demo` shows of strangers: a cheat is caught, a node killed, and every sum is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.strangers import CHEAT, VICTIM, PaidJob, strangers
from skerry.roles.statement import Because, Found

pytestmark = pytest.mark.slow


def test_a_cheat_among_strangers_pays_and_a_killed_node_is_paid_for_what_it_did(
    tmp_path: Path,
) -> None:
    with strangers(tmp_path / "network") as network:
        paid = PaidJob(network, tmp_path / "run")
        paid.start()
        found = paid.outcome()
        assert found.adds_up
        assert found.caught
        cheat = found.accounts[CHEAT].address
        false = [it for it in found.bill.units if it.verdict is Found.FALSE]
        assert {it.node for it in false} == {cheat}
        unpaid = {it.node for it in found.bill.units if it.reason is Because.CONVICTED}
        assert unpaid == {cheat}
        won = [it for it in found.trials if it.challenger_won]
        assert all(it.place is not None and it.place.element is not None for it in won)
        victim = found.accounts[VICTIM]
        assert victim.earned > 0
        assert victim.jobs[0].lacking > 0, "its copy ends where it was killed"
        assert found.result.model is not None
