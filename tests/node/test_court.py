"""A receipt of a real job goes to court: a real node, two processes, and money that adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import skerry
from skerry.base.chance import Chance
from skerry.chain.anvil import Anvil
from skerry.node.checking import open_past, receipt_of_duty, verify_receipt
from skerry.node.claim import stake_of
from skerry.node.court import play_dispute
from skerry.node.court_result import DisputeResult
from skerry.node.dispute import draw_lie, party_of, read_receipt
from skerry.node.duties import NoSuchDuty
from skerry.node.jobs import live_job
from skerry.node.party import Lie, LieImpossible
from skerry.node.past import PastRun
from skerry.node.solver_process import SolverGone
from skerry.program.canonical import judged_node
from skerry.verify import Finding
from skerry.verify.folds import FOLDS, runs
from skerry.verify.judged import Claim, node_leaf, read_node

JOB = Path(__file__).resolve().parents[2] / "jobs" / "digits.toml"
CHANGES = (
    "train.max_steps=8", "rounds.lanes=2", "rounds.local_steps=4", "rounds.codec=topk",
    "rounds.segments=2", "resources.workers=1", "checkpoint.save_steps=4",
    "checkpoint.eval_steps=8", "train.warmup_steps=0", "model.arguments.dropout=0.25",
    "train.gradient_accumulation_steps=2", "train.per_device_train_batch_size=8",
)  # fmt: skip
EVERY_STEP = (
    "train.max_steps=2", "rounds.lanes=2", "resources.workers=1", "checkpoint.save_steps=1",
    "checkpoint.eval_steps=2", "train.warmup_steps=0",
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
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the receipt of a gradient of a small real job that exchanges at every step."""
    out = tmp_path_factory.mktemp("runs") / "exchanged"
    live_job(skerry.load_job(JOB, [f"output_dir={str(out)!r}", *EVERY_STEP]))
    return out / "receipts" / "00000001-0001-grad0.receipt"


@pytest.fixture(scope="module")
def chain() -> Iterator[str]:
    """Return the URL of one chain for all disputes of a test."""
    with Anvil() as anvil:
        yield anvil.url


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


@pytest.mark.parametrize("honest", [False, True], ids=["lie", "false doubt"])
def test_a_published_run_is_doubted_at_the_leaf(
    past: PastRun, receipt: Path, chain: str, honest: bool
) -> None:
    lie = draw_lie(past, read_receipt(receipt), Chance.from_int(4))
    result = play_dispute(receipt, lie=str(lie), honest=honest, published=True, rpc_url=chain)
    assert result.challenger_won is not honest
    last = result.moves[-1]
    assert (last.step, last.node, last.element) == (lie.step, lie.node, lie.element)
    assert len(result.moves) <= 8
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


def input_of(past: PastRun, program: str, role: str, port: str = "") -> int:
    """Return the node of the last input of a role, or of the one of that name."""
    made = past.lanes.programs[program]
    ports = [
        (at, made.inputs[node.integer("port")])
        for at, node in enumerate(made.nodes)
        if node.op == "input"
    ]
    return [at for at, it in ports if it.role == role and port in ("", it.name)][-1]


def telling(past: PastRun, receipt: Path, step: int, node: int) -> Lie:
    """Return a lie about a node that makes a difference."""
    true = read_receipt(receipt)
    elements = past.lanes.programs[past.name_of(true.unit)].nodes[node].type.elements
    lies = (Lie(step, node, at % elements) for at in range(elements // 3, elements // 3 + elements))
    return next(it for it in lies if _differs(past, receipt, it))


def judged_both_ways(receipt: Path, lie: Lie, url: str, name: str) -> None:
    """See a lie and a false doubt about one input judged, and who pays for it."""
    for honest in (False, True):
        result = play_dispute(receipt, lie=str(lie), honest=honest, rpc_url=url)
        assert isinstance(result.finding, Finding)
        assert (result.finding.op, result.finding.name) == ("input", name)
        assert result.challenger_won is not honest
        assert not result.silent
        gained = money(result)
        assert gained["challenger" if honest else "solver"] < 0
        assert gained["solver" if honest else "challenger"] > 0
        check_sums(result)
        assert result.gas <= 2_000_000


@pytest.mark.parametrize(
    ("role", "port"),
    [("data", "features"), ("data", "label"), ("chance", "seeds"), ("state", "m")],
)
def test_what_a_step_was_given_is_judged(
    past: PastRun, receipt: Path, chain: str, role: str, port: str
) -> None:
    lie = telling(past, receipt, 2, input_of(past, "step", role, port))
    judged_both_ways(receipt, lie, chain, port)


def test_what_an_update_starts_from_is_judged(past: PastRun, receipt: Path, chain: str) -> None:
    encode = receipt.with_name(receipt.name.replace("step", "encode"))
    lie = telling(past, encode, 0, input_of(past, "encode", "given"))
    judged_both_ways(encode, lie, chain, "start")


@pytest.mark.parametrize(
    ("unit", "role", "port", "step"),
    [
        ("init:0", "chance", "seed", 0),
        ("merge:1", "given", "indices", 0),
        ("evaluate:1", "data", "label", 9),
    ],
)
def test_a_unit_of_the_coordinator_is_judged(
    past: PastRun, chain: str, unit: str, role: str, port: str, step: int
) -> None:
    receipt = receipt_of_duty(past.folder.root, unit)
    node = input_of(past, unit.partition(":")[0], role, port)
    judged_both_ways(receipt, telling(past, receipt, step, node), chain, port)
    assert verify_receipt(receipt).equal


@pytest.mark.parametrize(
    ("program", "role", "port"), [("grad", "data", "label"), ("apply", "given", "grads")]
)
def test_a_unit_of_a_run_that_exchanges_at_every_step_is_judged(
    exchanged: Path, chain: str, program: str, role: str, port: str
) -> None:
    past = open_past(exchanged.parent.parent)
    receipt = exchanged if program == "grad" else receipt_of_duty(past.folder.root, "merge:1")
    lie = telling(past, receipt, 0, input_of(past, program, role, port))
    judged_both_ways(receipt, lie, chain, port)


@pytest.mark.parametrize("unit", ["merge:9", "init:1", "predict:0", "merge", "merge:x"])
def test_a_unit_that_no_coordinator_has_is_refused(past: PastRun, unit: str) -> None:
    with pytest.raises(NoSuchDuty):
        receipt_of_duty(past.folder.root, unit)


def test_a_lie_about_no_element_is_refused_before_anything_is_paid(receipt: Path) -> None:
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
