"""An owner who comes back to his machine in the middle of a paid job, over real processes."""

from __future__ import annotations

import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.networked import LiveNetwork, ready_job
from skerry.job import MarketSection
from skerry.node.daemon.lending import POLL_SECONDS
from skerry.node.dispute import read_receipt
from skerry.node.events import RoundFinished, RunEvent
from skerry.node.life import run_job
from skerry.node.market.statements import earnings_of, invoice_of
from skerry.node.network.networks import Purse, run_on_network
from skerry.node.processes import CrewTerms
from skerry.roles.statement import Because
from skerry.storage import RunFolder, read_lines

pytestmark = pytest.mark.slow

ROUNDS, STEPS, LANES = 12, 4, 4
BACK_AFTER = 4
YIELDING = "node-1"
CALM = "[policy]\nidle_minutes = 0.05\n"
CHANGES = (
    f"train.max_steps={ROUNDS * STEPS}", "rounds.segments=2", "rounds.codec=topk",
    "checkpoint.eval_steps=0", f"checkpoint.save_steps={ROUNDS * STEPS}",
)  # fmt: skip
WHOLE = (f"rounds.local_steps={ROUNDS * STEPS}",)
CUT = (f"rounds.local_steps={STEPS}", f"rounds.merge_rounds={ROUNDS}")


class Owner:
    """Somebody who has a terminal on this machine, and uses it from some moment on."""

    def __init__(self) -> None:
        self._ends = pty.openpty()
        self._terminal = os.ttyname(self._ends[1])
        os.utime(self._terminal, (1, 1))  # nobody has used it for long
        self._left = threading.Event()
        self._typing = threading.Thread(target=self._type)

    def come_back(self) -> None:
        """Type from now on."""
        if not self._typing.is_alive():
            self._typing.start()

    def _type(self) -> None:
        while not self._left.is_set():
            os.utime(self._terminal)
            self._left.wait(POLL_SECONDS)

    def leave(self) -> None:
        """Close the terminal."""
        self._left.set()
        if self._typing.ident is not None:
            self._typing.join()
        for end in self._ends:
            os.close(end)


@contextmanager
def an_owner() -> Iterator[Owner]:
    owner = Owner()
    try:
        yield owner
    finally:
        owner.leave()


def test_who_yields_is_paid_what_it_finished_and_another_goes_on_from_there(tmp_path: Path) -> None:
    whole, data = ready_job("digits", tmp_path, (*CHANGES, *WHOLE))
    cut, _ = ready_job("digits", tmp_path, (*CHANGES, *CUT))
    local = run_job(whole.run, tmp_path / "local", CrewTerms(1, threads=1, data=data))
    purse = Purse(wish=MarketSection(auditors=0, phase_seconds=12, epoch_rounds=6))
    out = tmp_path / "paid"
    network = LiveNetwork(tmp_path / "network", LANES, paid=True, owners={YIELDING: CALM})
    with network, an_owner() as owner:

        def watch(event: RunEvent) -> None:
            if isinstance(event, RoundFinished) and event.round == BACK_AFTER:
                owner.come_back()

        result = run_on_network(cut.run, out, data, str(network.folder), purse=purse, watch=watch)
        assert result.root == local.root, "nobody sees that it was recorded, or disturbed"
        key = str(network.nodes[YIELDING]["key"])
        home = network.folder / YIELDING
        lent = [it for it in read_lines(home / "log.jsonl") if it["type"] == "lending"]
        assert [it["reason"] for it in lent if not it["allowed"]], "it gave the machine back"

        receipts = [read_receipt(path) for path in RunFolder(out).receipts()]
        blocks = [it for it in receipts if it.unit.data is not None]
        assert len(blocks) == ROUNDS * LANES
        mine = {(it.unit.id.round, it.unit.id.lane) for it in blocks if it.signer.hex() == key}
        assert mine
        assert max(at for at, _ in mine) < ROUNDS - 1, "and computed no more"
        last, lane = max(mine)
        assert last >= BACK_AFTER - 1
        after = {it.signer for it in blocks
                 if it.unit.id.lane == lane and it.unit.id.round == last + 1}  # fmt: skip
        assert after, "another one went on with its lane, in the middle of a merge"

        account = earnings_of(home)
        assert account.adds_up
        (job,) = account.jobs
        assert {(it.round, it.lane) for it in job.units} == mine
        assert {it.reason for it in job.units} == {Because.PAID}
        assert job.pay == sum(it.paid for it in job.units) > 0
        bill = invoice_of(network.folder / "client", job.job.hex())
        assert bill.adds_up
        assert len(bill.units) == ROUNDS * LANES
        assert {it.reason for it in bill.units} == {Because.PAID}
