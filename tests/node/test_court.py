"""A receipt of a real job goes to court: a real node, two processes, and money that adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import skerry
from skerry.base.chance import Chance
from skerry.node.checking import open_past
from skerry.node.claim import stake_of
from skerry.node.court import DisputeResult, SolverGone, play_dispute
from skerry.node.courtroom import LieNotJudged
from skerry.node.dispute import draw_lie, party_of, read_receipt
from skerry.node.jobs import live_job
from skerry.node.party import Lie, LieImpossible
from skerry.node.past import PastRun
from skerry.program.canonical import judged_node
from skerry.verify import Finding
from skerry.verify.folds import FOLDS, runs
from skerry.verify.judged import Claim, node_leaf, read_node

JOB = Path(__file__).resolve().parents[2] / "jobs" / "digits.toml"
CHANGES = (
    "train.max_steps=8", "rounds.lanes=2", "rounds.local_steps=4", "rounds.codec=topk",
    "rounds.segments=2", "resources.workers=1", "checkpoint.save_steps=4",
    "checkpoint.eval_steps=8", "train.warmup_steps=0",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the receipt of a block of steps of a small real job."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    job = skerry.load_job(JOB, [f"output_dir={str(out)!r}", *CHANGES])
    live_job(job)
    return out / "receipts" / "00000001-0001-step.receipt"


@pytest.fixture(scope="module")
def past(receipt: Path) -> PastRun:
    return open_past(receipt.parent.parent)


def lie_about_a_long_fold(past: PastRun, receipt: Path) -> Lie:
    """Return a lie that makes a difference, about an element that is a fold of several runs."""
    true = read_receipt(receipt)
    program = past.lanes.programs["step"]
    for at, node in enumerate(program.nodes):
        element = node.type.elements // 2
        data = judged_node(program, at)
        claim = Claim(node_leaf(data), bytes(32), len(program.nodes), element)
        if node.op not in FOLDS or runs(read_node(claim, data), element) < 2:
            continue
        lie = Lie(2, at, element)
        if party_of(past, true.unit, lie).transcript.segments != true.segments:
            return lie
    raise AssertionError("no lie about a long fold makes a difference")


def money(result: DisputeResult) -> dict[str, int]:
    """Return what each account gained."""
    return {it.who: it.after - it.before for it in result.balances}


def check_sums(result: DisputeResult) -> None:
    assert result.adds_up
    assert sum(money(result).values()) == 0
    assert result.gas == sum(it.gas for it in result.moves)
    assert [it.number for it in result.moves] == list(range(1, len(result.moves) + 1))
    assert {it.who for it in result.moves} == {"challenger", "solver"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_lying_solver_loses_its_stake(past: PastRun, receipt: Path, seed: int) -> None:
    lie = draw_lie(past, read_receipt(receipt), Chance.from_int(seed))
    result = play_dispute(receipt, lie=str(lie))
    assert result.challenger_won
    found = result.finding
    assert isinstance(found, Finding)
    assert (found.step, found.node, found.element) == (lie.step, lie.node, lie.element)
    last = result.moves[-1]
    assert (last.step, last.node, last.element, last.op) == (
        lie.step, lie.node, lie.element, found.op,
    )  # fmt: skip
    stake = stake_of(past.config)
    gained = money(result)
    assert gained["solver"] == -stake
    assert gained["burned"] == stake - stake // 2
    assert gained["challenger"] == stake // 4
    check_sums(result)
    assert result.gas <= 2_000_000
    assert len(result.moves) <= 24


@pytest.mark.parametrize("honest", [False, True], ids=["lie", "false doubt"])
def test_a_long_sum_is_walked_to_one_run_of_it(past: PastRun, receipt: Path, honest: bool) -> None:
    lie = lie_about_a_long_fold(past, receipt)
    result = play_dispute(receipt, lie=str(lie), honest=honest)
    assert result.challenger_won is not honest
    assert "show_parts" in {it.name for it in result.moves}
    check_sums(result)


def test_an_honest_solver_keeps_its_stake_and_gets_of_the_bond(
    past: PastRun, receipt: Path
) -> None:
    lie = draw_lie(past, read_receipt(receipt), Chance.from_int(3))
    result = play_dispute(receipt, lie=str(lie), honest=True)
    assert not result.challenger_won
    gained, bond = money(result), stake_of(past.config) // 3 | 1
    assert gained["challenger"] == -bond
    assert gained["solver"] == bond // 2
    assert gained["burned"] == bond - bond // 2
    solver = next(it for it in result.balances if it.who == "solver")
    assert solver.locked_after == solver.locked_before == stake_of(past.config)
    check_sums(result)


def test_a_lie_that_no_judge_sees_through_is_refused_before_anything_is_paid(
    past: PastRun, receipt: Path
) -> None:
    program = past.lanes.programs["step"]
    ports = [
        (at, program.inputs[node.integer("port")].role)
        for at, node in enumerate(program.nodes)
        if node.op == "input"
    ]
    data = next(at for at, role in ports if role == "data")
    state = next(at for at, role in ports if role == "state")
    with pytest.raises(LieNotJudged, match="data input"):
        play_dispute(receipt, lie=f"0:{data}:0")
    with pytest.raises(LieNotJudged, match="false challenger"):
        play_dispute(receipt, lie=f"0:{state}:0", honest=True)
    with pytest.raises(LieImpossible):
        play_dispute(receipt, lie="99:0:0")


def test_a_lie_that_makes_no_difference_never_comes_to_court(past: PastRun, receipt: Path) -> None:
    program = past.lanes.programs["step"]
    unread = [at for at, it in enumerate(program.nodes) if it.op == "iota"]
    vanishing = next(lie for at in unread if not _differs(past, receipt, lie := Lie(0, at, 0)))
    with pytest.raises(SolverGone, match="changes neither"):
        play_dispute(receipt, lie=str(vanishing))


def _differs(past: PastRun, receipt: Path, lie: Lie) -> bool:
    true = read_receipt(receipt)
    told = party_of(past, true.unit, lie).transcript
    return (told.segments, told.outputs) != (true.segments, true.outputs)


def test_the_command_says_by_its_exit_code_who_lost(past: PastRun, receipt: Path) -> None:
    lie = draw_lie(past, read_receipt(receipt), Chance.from_int(4))
    command = [sys.executable, "-m", "skerry", "dispute", str(receipt), "--lie", str(lie), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)
    assert told["adds_up"]
    assert told["transactions"] == len(told["result"]["moves"])
    assert told["result"]["lie"] == str(lie)
    refused = [*command[:-2], "7:0", "--json"]
    done = subprocess.run(refused, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "job.lie"
