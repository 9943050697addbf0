"""The main job, from real text to a model whose every step can be recomputed; and strangers, paid.

Starts six nodes and a chain, and has a small job trained and paid there, while one node cheats and
one is killed. As its audits go on, prepares the King James text, trains a small Llama over four
worker processes in exact arithmetic, kills one of them on the way, kills the whole run and resumes
it, writes some text, compares with a character trigram, verifies a receipt drawn at random, and
walks a planted lie of another process to its step, op and element, and takes the same lie to court
on a chain of its own, move by move. At last it shows what became of the strangers' money: the
cheat's unit in court, and who earned and lost what. Every number it prints was measured just now.

Usage: make demo        (or: python -m examples.demo [--out FOLDER])
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.rule import Rule

import skerry
from examples.strangers import PaidJob, show, strangers
from skerry.base.chance import Chance
from skerry.base.errors import SkerryError
from skerry.base.units import format_seconds
from skerry.chain.anvil import find_anvil
from skerry.cli import console
from skerry.cli.disputing import show_result, watch_moves
from skerry.cli.planning import plan_rows, preparation_bars
from skerry.cli.running import describe, evaluation_words, result_rows
from skerry.cli.verifying import describe_move, receipt_rows, walk_rows
from skerry.dataset import trigram_score
from skerry.node.checking import open_past, walk_to_lie
from skerry.node.court import play_dispute
from skerry.node.dispute import draw_lie, read_receipt
from skerry.node.events import RoundFinished, RunEvent, WorkerDown, WorkerUp
from skerry.node.jobs import JobResult, Watchers, live_job
from skerry.node.party import Lie
from skerry.node.submission import JobFile, open_data
from skerry.storage import RunFolder, read_lines
from skerry.verify import Finding

ROOT = Path(__file__).resolve().parent.parent
JOB = ROOT / "jobs" / "kjv.toml"
KILL_WORKER_AFTER_ROUND = 3
KILL_RUN_AFTER_ROUND = 9
MAIN = "kjv"
PROMPT = "In the beginning"


class Stage:
    """Prints the title of an act, and how long it took when it ends."""

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> None:
        console.out.print()
        console.out.print(Rule(self.title, align="left", style="bold"))
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        taken = format_seconds(time.perf_counter() - self.start)
        console.out.print(f"[dim]{self.title}: {taken}[/]")


class Saboteur:
    """Shows a run's events, and kills one worker after a round."""

    def __init__(self, after_round: int) -> None:
        self.after_round = after_round
        self.pids: dict[str, int] = {}
        self.victim = ""

    def __call__(self, event: RunEvent) -> None:
        """Show an event; kill the youngest worker when its time has come."""
        words = describe(event)
        if words:
            console.out.print(words, markup=False)
        match event:
            case WorkerUp():
                self.pids[event.worker] = event.pid
            case WorkerDown():
                self.pids.pop(event.worker, None)
            case RoundFinished(round=at) if at == self.after_round and not self.victim:
                self.victim = list(self.pids)[-1]
                console.out.print(f"[bold red]kill -9[/] worker {self.victim}, on purpose")
                os.kill(self.pids[self.victim], signal.SIGKILL)
            case _:
                pass


def train_and_be_killed(out: Path) -> None:
    """Train in a process of its own, and kill -9 that process after a few rounds."""
    command = [sys.executable, "-m", "examples.demo", "--out", str(out), "--until-killed"]
    child = subprocess.Popen(command, cwd=ROOT)
    code = child.wait()
    if code != -signal.SIGKILL:
        raise SystemExit(code or "the run ended before it could be killed")


def forget(main: Path, place: Path) -> None:
    """Remove what an earlier demo left, so that this one shows everything again.

    Raises:
        RunBusy: a demo is at it.
    """
    if main.is_dir():
        earlier = RunFolder(main)
        earlier.lock()
        shutil.rmtree(main)
        earlier.unlock()
    shutil.rmtree(place, ignore_errors=True)


def until_killed(file: JobFile) -> None:
    """Train with a worker killed after one round and this very process after some more."""
    sabotage = Saboteur(KILL_WORKER_AFTER_ROUND)

    def watch(event: RunEvent) -> None:
        sabotage(event)
        if isinstance(event, RoundFinished) and event.round == KILL_RUN_AFTER_ROUND:
            console.out.print("[bold red]kill -9[/] the whole run, on purpose")
            console.out.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    with preparation_bars(shown=True) as told:
        live_job(
            file,
            Watchers(
                progress=told,
                prepared=lambda report: console.show_rows(report.rows()),
                traced=lambda traced, plan: console.show_rows(plan_rows(traced, plan)),
                event=watch,
            ),
        )


def resume(file: JobFile) -> JobResult:
    """Go on with the killed run to its end."""
    return live_job(file, Watchers(event=Saboteur(-1)))


def compare(file: JobFile, result: JobResult) -> float:
    """Print held-out bits per character beside the untrained model's and a trigram's."""
    with open_data(file) as data:
        trigram = trigram_score(data.train.documents(), data.heldout.documents())
    last = result.evaluations[-1]
    assert last.bits_per_character is not None, "a language model is scored by its characters"
    first = untrained(file)
    console.show_rows(
        [
            (
                "untrained",
                f"{first:.3f} bits per character",
                "the same model before its first step",
            ),
            ("trigram", f"{trigram.bits_per_character:.3f}", "absolute discount, the same split"),
            ("trained", f"{last.bits_per_character:.3f}", evaluation_words(last)),
        ]
    )
    return trigram.bits_per_character - last.bits_per_character


def untrained(file: JobFile) -> float:
    """Return the bits per character of the initial state, as the run evaluated it."""
    from skerry.node.jobs import evaluation_of

    lines = read_lines(file.run_folder / "log.jsonl")
    line = next(it for it in lines if it.get("type") == "evaluation" and it["round"] == 0)
    with open_data(file) as data:
        found = evaluation_of(0, line["sums"], data.manifest).bits_per_character
    assert found is not None, "a language model is scored by its characters"
    return found


def check_one(receipts: list[Path]) -> Path:
    """Verify a receipt drawn at random and return it."""
    drawn = receipts[secrets.randbelow(len(receipts))]
    verdict = skerry.verify_receipt(drawn)
    console.show_rows(
        [
            ("receipt", drawn.name, f"drawn from {len(receipts)}"),
            *receipt_rows(read_receipt(drawn)),
            ("verdict", "equal" if verdict.equal else "DIFFERS", str(verdict)),
        ]
    )
    assert verdict.equal, "an honest receipt was not equal to its replay"
    return drawn


def walk(receipt: Path, lie: Lie) -> bool:
    """Let another process answer for the receipt with a planted lie, and walk to it."""
    console.show_rows([("planted", str(lie), "step, node and element, in another process")])
    command = [sys.executable, "-m", "skerry", "reveal", str(receipt), "--lie", str(lie), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as liar:
        assert liar.stdout is not None
        liar.stdout.readline()
        found = walk_to_lie(receipt, "", show_move())
    console.show_rows(walk_rows(receipt, found))
    return is_of(found.outcome, lie)


def is_of(outcome: object, lie: Lie) -> bool:
    """Return whether an outcome is the place of a lie."""
    return isinstance(outcome, Finding) and lie == Lie(
        outcome.step, outcome.node or 0, outcome.element or 0
    )


def take_to_court(receipt: Path, lie: Lie) -> bool:
    """Have the same lie judged on a local chain, and see that its author pays for it."""
    result = play_dispute(receipt, lie=str(lie), watch=watch_moves())
    show_result(receipt, result)
    return result.challenger_won and result.adds_up and is_of(result.finding, lie)


def show_move() -> Callable[[object], None]:
    """Return what prints each move with its number."""
    seen = 0

    def show(move: object) -> None:
        nonlocal seen
        seen += 1
        console.out.print(f"move {seen:>3}  {describe_move(move)}", markup=False)  # type: ignore[arg-type]

    return show


def plant(receipt: Path) -> Lie:
    """Draw a step, node and element whose change the receipt would tell."""
    past = open_past(receipt.resolve().parent.parent)
    return draw_lie(past, read_receipt(receipt), Chance.from_int(secrets.randbelow(1 << 62)))


def main() -> None:
    """Play the acts in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs" / "demo", help="where both runs are kept"
    )
    parser.add_argument("--until-killed", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    out: Path = given.out.absolute()
    file = skerry.load_job(JOB, [f"output_dir={str(out / MAIN)!r}"])
    if given.until_killed:
        until_killed(file)
        return
    find_anvil()  # what an act needs had better be missed now
    began = time.perf_counter()
    place = out / "strangers"
    forget(file.run_folder, place)
    with ExitStack() as ends:
        with Stage("hire strangers, train, kill one"):
            network = ends.enter_context(strangers(place / "network"))
            paid = PaidJob(network, place / "run")
            paid.start()
            paid.until_trained()
            console.out.print("its audits go on while the main job is trained")
        acts = play(file, out)
        with Stage("what became of the strangers' money"):
            outcome = paid.outcome()
            show(outcome)
    console.show_rows(
        [
            ("beats the trigram", f"by {acts.margin:.3f} bits per character", ""),
            ("lie found", "at its step, op and element" if acts.found else "NO", ""),
            ("its author", "lost his stake in court" if acts.lost else "DID NOT LOSE", ""),
            ("the cheat", "lost his stake in court" if outcome.caught else "DID NOT LOSE", ""),
            ("the money", "adds up to the last unit" if outcome.adds_up else "DOES NOT ADD UP", ""),
            ("models", str(acts.result.model), str(outcome.result.model)),
            ("all acts", format_seconds(time.perf_counter() - began), ""),
        ]
    )
    right = acts.found, acts.lost, acts.margin > 0, outcome.caught, outcome.adds_up
    if not all(right):
        raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class Acts:
    """What the acts of the main job came to."""

    result: JobResult
    margin: float
    found: bool
    lost: bool


def play(file: JobFile, out: Path) -> Acts:
    """Play the acts of the main job in order."""
    with Stage("train, kill a worker, kill the run"):
        train_and_be_killed(out)
    with Stage("resume"):
        result = resume(file)
        console.show_rows(result_rows(file, result))
    with Stage("compare"):
        margin = compare(file, result)
    with Stage("write"):
        pieces = skerry.sample_text(file.run_folder, PROMPT, tokens_max=80, seed=1)
        console.out.print(PROMPT + "".join(pieces), markup=False)
    with Stage("verify"):
        receipts = sorted((file.run_folder / "receipts").glob("*-step.receipt"))
        drawn = check_one(receipts)
    with Stage("find a lie"):
        lie = plant(drawn)
        found = walk(drawn, lie)
    with Stage("take the lie to court"):
        lost = take_to_court(drawn, lie)
    return Acts(result, margin, found, lost)


if __name__ == "__main__":
    try:
        main()
    except SkerryError as error:
        sys.exit(console.refuse(error, as_json=False))
