"""Parties of a real run over a real chain: everyone is paid, liars and the silent are slashed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.node.market.awarding import AwardRefused
from skerry.node.market.orders import Order
from skerry.node.market.replaying import Replayer
from skerry.node.market.statements import earnings_of, invoice_of
from skerry.node.market.trials import trials_of
from skerry.roles.auditor import TagWanted
from skerry.roles.statement import Because, Found
from skerry.storage import cut_rounds
from tests.node.market.ground import (
    ASKING,
    InProcess,
    Market,
    OutOfProcess,
    opened,
    plant_lie,
    signer_keys,
    small_run,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def check_statements(market: Market) -> None:
    """Hold every party's account, and the client's bill, to the vault."""
    gains = market.gains()
    for name in market.names:
        account = earnings_of(market.folder / name)
        assert account.adds_up, name
        assert account.earned == gains[name] + account.withdrawn, name
    assert invoice_of(market.folder / "client", market.job.hex()).adds_up


def command(market: Market, name: str, *words: str, code: int = 0) -> dict[str, Any]:
    """Return what a command says of a party's folder, as JSON."""
    home = ["--home", str(market.folder / name), "--json"]
    run = [sys.executable, "-m", "skerry", *words, *home]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_job_is_audited_settled_and_everyone_takes_the_money_out(
    run: Path, tmp_path: Path, markets: list[Market]
) -> None:
    market = opened(markets, Market(tmp_path / "market", run))
    market.play()
    gains = market.gains()
    assert sum(gains.values()) == 0
    state = market.state()
    assert state.escrow == 0
    assert sum(state.paid) <= 16
    assert sum(gains[f"solver-{at}"] for at in range(4)) == 16 * 100
    assert gains["auditor-0"] == gains["auditor-1"] == 2 * 1_500
    assert gains["coordinator"] == 4 * 100
    check_statements(market)
    told = command(market, "client", "invoice", market.job.hex()[:6])
    assert told["adds_up"]
    assert told["spent"] == 16 * 100 + 4 * 1_500 + 4 * 100
    assert {it["reason"] for it in told["invoice"]["units"]} == {"paid"}
    assert len(told["invoice"]["units"]) == 16
    told = command(market, "auditor-1", "earnings")
    assert told["earned"] == 2 * 1_500
    refused = command(market, "auditor-1", "invoice", "ffff", code=2)
    assert refused["error"]["code"] == "job.unknown"
    market.leave()
    check_statements(market)
    keeper = market.keeper()
    assert all(it.free + it.locked + it.exiting == 0 for it in keeper.books.accounts.values())
    keeper.close()


def test_a_lie_costs_its_author_and_the_rest_is_paid_or_refunded(
    copied: Path, tmp_path: Path, markets: list[Market]
) -> None:
    name, lie, key = plant_lie(copied, 1, 2)
    market = Market(tmp_path / "market", copied, replace(ASKING, draws=64), lies={name: (lie, key)})
    opened(markets, market)
    market.play()
    gains, state = market.gains(), market.state()
    liar = f"solver-{signer_keys(copied).index(key)}"
    stake = state.terms.stake_solver
    assert gains[liar] == -stake
    assert gains["burned"] == stake - stake // 2
    rejected = [it for it in ("auditor-0", "auditor-1") if gains[it] >= stake // 4]
    assert len(rejected) == 1, "one finder is paid"
    honest = [f"solver-{at}" for at in range(4) if f"solver-{at}" != liar]
    units = {it: market.units_of(it) for it in honest}
    assert {it: gains[it] for it in honest} == {it: 100 * count for it, count in units.items()}
    assert sum(gains.values()) == 0
    assert any("Admitted" in it.what for it in market.entries())
    check_statements(market)
    bill = invoice_of(market.folder / "client", market.job.hex())
    false = [it for it in bill.units if it.verdict is Found.FALSE]
    assert [(it.round, it.lane, it.reason) for it in false] == [(1, 2, Because.CONVICTED)]
    unpaid = {it.node for it in bill.units if it.reason is not Because.PAID}
    assert unpaid == {market.addresses[liar]}
    lost = earnings_of(market.folder / liar).jobs[0]
    assert (lost.slashed, lost.net) == (stake, -stake)
    trials = trials_of(market.folder / "client", market.job)
    assert any(it.challenger_won for it in trials)
    for trial in trials:
        assert (trial.round, trial.lane, trial.solver) == (1, 2, market.addresses[liar])
        assert trial.place is not None
        assert f"{trial.place.step}:{trial.place.node}:{trial.place.element}" == lie
        assert trial.gas > 0
    market.leave()
    assert all(it.free + it.locked == 0 for it in market.keeper().books.accounts.values())


class Guesser(Replayer):
    """An auditor's replay without the value that its tag is to prove."""

    def tag(self, wanted: TagWanted, me: bytes) -> bytes:
        """Return another tag than is due."""
        return bytes(it ^ 1 for it in super().tag(wanted, me))


def test_an_auditor_who_guesses_its_tag_loses_its_stake_to_another(
    run: Path, tmp_path: Path, markets: list[Market]
) -> None:
    market = opened(markets, Market(tmp_path / "market", run))
    party = market.parties["auditor-0"]
    assert isinstance(party, InProcess)
    part = party.desk.actor._parts[market.job]
    whole = party.desk.actor._replayer(part)
    part.replayer = Guesser(whole.past, whole.receipts, whole.names, whole.segments)
    market.play()
    gains, state = market.gains(), market.state()
    stake = state.terms.stake_auditor
    assert state.fallen == 1 << state.terms.auditors.index(market.addresses["auditor-0"])
    assert gains["auditor-0"] == -stake
    assert gains["auditor-1"] == 2 * 1_500 + stake // 4
    assert gains["burned"] == stake - stake // 2
    assert sum(gains.values()) == 0
    check_statements(market)


def test_lanes_that_nobody_claims_count_for_nobody_and_keep_nobody_waiting(
    run: Path, tmp_path: Path, markets: list[Market]
) -> None:
    market = opened(markets, Market(tmp_path / "market", run, gone={"solver-0"}))
    market.play()
    gains = market.gains()
    assert sum(gains.values()) == 0
    assert gains["solver-0"] == 0
    for name in ("solver-1", "solver-2", "solver-3"):
        assert gains[name] == 100 * market.units_of(name)
    assert gains["auditor-0"] == gains["auditor-1"] == 2 * 1_500
    check_statements(market)
    bill = invoice_of(market.folder / "client", market.job.hex())
    reasons = [it.reason for it in bill.units]
    assert reasons.count(Because.UNCLAIMED) == market.units_of("solver-0")
    assert set(reasons) == {Because.PAID, Because.UNCLAIMED}


def test_an_award_that_is_not_there_or_binds_others_is_refused(
    run: Path, tmp_path: Path, markets: list[Market]
) -> None:
    market = opened(markets, Market(tmp_path / "market", run))
    state, site = market.state(), market.manifest
    solvers = {bytes([at + 1]) * 32: lease.node for at, lease in enumerate(state.leases)}
    others = {bytes([at + 9]) * 32: market.addresses[it]
              for at, it in enumerate(("auditor-0", "auditor-1", "coordinator"))}  # fmt: skip
    parties = {key.hex(): who.hex() for key, who in (solvers | others).items()}
    mine = next(key for key, who in solvers.items() if who == market.addresses["solver-1"])
    order = Order(
        "confirm", job=market.job.hex(), signers=parties, spec=state.terms.spec.hex(),
        chain=site.chain, market=site.at("market").hex(), key=mine.hex(),
        nodes=tuple(key.hex() for key in solvers),
    )  # fmt: skip
    market.must("solver-1", order)
    wrong: list[dict[str, Any]] = [
        {"chain": 1},
        {"market": "00" * 20},
        {"job": "77" * 32},
        {"spec": "77" * 32},
        {"key": "77" * 32},
        {"signers": dict(list(parties.items())[1:])},
        {"nodes": (*order.nodes, next(iter(others)).hex())},
    ]
    for change in wrong:
        with pytest.raises(AwardRefused):
            market.must("solver-1", msgspec.structs.replace(order, **change))


@pytest.mark.parametrize("who", ["auditor-0", "coordinator", "solver-0"])
def test_whoever_vanishes_stops_nobody(
    run: Path, tmp_path: Path, markets: list[Market], who: str
) -> None:
    market = opened(markets, Market(tmp_path / "market", run))
    market.turn()
    market.gone.add(who)
    market.play()
    gains, state = market.gains(), market.state()
    assert sum(gains.values()) == 0
    assert state.escrow == 0
    for name in market.names:
        assert gains[name] >= 0 or name in (who, "client"), name
    stakes = state.terms
    match who:
        case "auditor-0":
            assert gains[who] == -stakes.stake_auditor
        case "coordinator":
            # What it had committed is paid, and the rest is refunded after the job's end.
            assert gains[who] == 100 * state.rounds
            assert gains["client"] >= -stakes.budget
        case _:
            assert gains[who] == 100 * market.units_of(who)


class OwnRecord(Market):
    """A market in which the client records its own job."""

    @property
    def names(self) -> list[str]:
        return [it for it in super().names if it != "coordinator"]


@pytest.mark.parametrize("ran", range(4))
def test_a_run_that_died_is_paid_as_far_as_it_came_and_refunded_long_before_its_end(
    copied: Path, tmp_path: Path, markets: list[Market], ran: int
) -> None:
    cut_rounds(copied, ran)
    market = OwnRecord(tmp_path / "market", copied)
    opened(markets, market)
    market.turn()
    for name in market.names:
        market.must(name, Order("end", job=market.job.hex()))
    market.play()
    gains, state, block = market.gains(), market.state(), market.rpc.block()
    assert block is not None
    assert int(block["timestamp"], 16) < state.terms.ends - 90_000, "five phases of 600 s, twice"
    assert (state.escrow, state.closed, state.convicted) == (0, True, 0)
    assert sum(gains.values()) == 0
    assert sum(gains[f"solver-{at}"] for at in range(4)) == ran * 4 * 100
    audits = state.epochs * 1_500
    assert gains["auditor-0"] == gains["auditor-1"] == audits, "nobody was late"
    assert gains["client"] == -ran * 400 - 2 * audits
    check_statements(market)
    told = command(market, "client", "invoice", market.job.hex()[:6])
    assert told["invoice"]["closed"]
    units = told["invoice"]["units"]
    assert [it["reason"] for it in units] == ["paid"] * (4 * ran)
    budget = told["invoice"]["budget"]
    assert told["invoice"]["refunded"] == budget - ran * 400 - 2 * audits - 4 * 100
    for name in ("solver-0", "auditor-1"):
        account = earnings_of(market.folder / name)
        assert [it.lacking for it in account.jobs] == [0]


def test_processes_that_are_killed_in_the_middle_of_a_move_make_it_once(
    run: Path, tmp_path: Path, markets: list[Market]
) -> None:
    market = opened(markets, Market(tmp_path / "market", run, kind=OutOfProcess))
    victims = ["coordinator", "auditor-0", "auditor-1", "client", "solver-0"]
    for turn in range(100):
        name = victims[turn % len(victims)]
        if turn < len(victims):
            victim = market.parties[name]
            assert isinstance(victim, OutOfProcess)
            victim.say(Order("tick"))
            victim.kill()
            victim.start()
        wake = market.turn()
        if market.state().closed:
            break
        assert wake is not None
        market.pass_to(wake)
    gains = market.gains()
    assert sum(gains.values()) == 0
    assert sum(gains[f"solver-{at}"] for at in range(4)) == 16 * 100
    assert gains["auditor-0"] == gains["auditor-1"] == 2 * 1_500
    assert gains["coordinator"] == 4 * 100
    deposits = [it for it in market.entries() if it.what == "Deposited"]
    assert len(deposits) == len(market.names)
