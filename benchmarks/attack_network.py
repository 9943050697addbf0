"""Attacks by altered nodes on a real network of processes: what each came to, in the vault's money.

What    Each group of `GROUPS` is one paid job over nodes of `skerry up` and, beside them, altered
        ones that ask less and so are hired: daemons, workers and desks of their own, over QUIC and
        a chain. When the job is closed, every account is read as `skerry earnings` reads it.
Units   The token's smallest unit. `earned` is what a node has more in the vault; `honest` what an
        honest one in its place would have: the price of its lanes, or of the audit. An attack is
        below honesty if it earned less; one that only disturbs honest work, if it earned no more.
Limits  Each attack is played once; how often the default rate of audits catches it is what the
        rules' runs are for. Here `DRAWS` segments are drawn, so that nearly all are seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Note
from benchmarks.networked import STOP_SECONDS, LiveNetwork, ready_job
from skerry.base.errors import SkerryError
from skerry.job import MarketSection
from skerry.node.events import RoundFinished, RunEvent
from skerry.node.life import run_job
from skerry.node.market.board import FolderBoard
from skerry.node.market.bought import bought_by
from skerry.node.market.statements import Earnings, earnings_of, invoice_of
from skerry.node.network.networks import Purse, run_on_network
from skerry.node.processes import CrewTerms
from skerry.roles.statement import Because

NODES, STEPS, LOCAL, DRAWS, PHASE = 4, 24, 3, 24, 25
QUICK_ROUNDS, QUICK_PHASE = 6, 15
PRICE, PRICE_AUDIT, AUDIT_PAY = 50, 500, 1_000
SOLVER, AUDITOR = "solver", "verifier"
RECORDER = "two records"
DISTURB = (
    "honest",
    "two faces",
    "false failure",
    "false finish",
)  # they do their work, and only spoil others'


@dataclass(frozen=True, slots=True)
class Altered:
    """One altered node: what it does, and what it is hired as."""

    way: str
    role: str = SOLVER
    name: str = ""
    frozen: bool = False

    @property
    def price_audit(self) -> int:
        """What it asks for an audit: who wants to record rounds asks too much."""
        return 10**9 if self.way == RECORDER else PRICE_AUDIT

    @property
    def called(self) -> str:
        """The attack's name."""
        return self.name or self.way


@dataclass(frozen=True, slots=True)
class Group:
    """Attacks that are played in one job.

    Attributes:
        name: what they have in common.
        nodes: the altered nodes.
        auditors: seats of the job.
        each: most lanes of one node.
        hostile: whether a stranger sends what is no message to every node meanwhile.
    """

    name: str
    nodes: tuple[Altered, ...]
    auditors: int = 2
    each: int = 1
    hostile: bool = False

    @property
    def lanes(self) -> int:
        """Lanes of the job: enough that two honest solvers are hired beside the altered ones."""
        return self.each * (2 + sum(it.role == SOLVER for it in self.nodes))


GROUPS = (
    Group(
        "one false bit, a frivolous challenge, and noise",
        (Altered("one bit"), Altered("frivolous challenge")),
        hostile=True,
    ),
    Group(
        "false work",
        tuple(
            map(
                Altered,
                (
                    "skipped steps",
                    "stale weights",
                    "wrong data slice",
                    "wrong seed",
                    "lower precision",
                    "garbage root",
                ),
            )
        ),
    ),
    Group(
        "false auditors",
        (Altered("withheld reveal", AUDITOR), Altered("copied verdict", AUDITOR)),
        auditors=4,
    ),
    Group(
        "what is not there",
        (
            Altered("replayed receipt"),
            Altered("bid and vanish"),
            Altered("honest", name="ghost after lease end", frozen=True),
        ),
    ),
    Group(
        "collusion, and one unit submitted twice",
        (
            Altered("double submission"),
            Altered("skipped steps", name="colluding solver"),
            Altered("accepts everything", AUDITOR, name="colluding verifier"),
        ),
        each=2,
    ),
    Group("two records of one round", (Altered(RECORDER, AUDITOR),)),
    Group("a coordinator with two faces", (Altered("two faces"),)),
    Group(
        "coordinators that end the job early", (Altered("false failure"), Altered("false finish"))
    ),
)
QUICK = GROUPS[:1]


@dataclass
class Running:
    """One altered node's process."""

    altered: Altered
    home: Path
    process: subprocess.Popen[bytes]

    def signal(self, number: int) -> None:
        """Send a signal to the node and to all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        for pid in self._started():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _started(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(it) for it in path.read_text().split()] if path.is_file() else []

    def stop(self) -> None:
        """End it, politely first."""
        self.signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def altered_nodes(network: LiveNetwork, group: Group) -> Iterator[list[Running]]:
    """Start the altered nodes of a group beside a network, and end them."""
    running: list[Running] = []
    try:
        for at, it in enumerate(group.nodes):
            home = network.folder / f"altered-{at}"
            home.mkdir(parents=True)
            asks = f"price = {PRICE}\nprice_audit = {it.price_audit}\nlanes = 2\n"
            asks += "price_record = 1\n" if it.way == RECORDER else ""
            (home / "node.toml").write_text(
                f"[limits]\nnice = 0\nshare = 4\n[market]\nfaucet = true\n{asks}"
            )
            command = [sys.executable, "-m", "benchmarks.altered", it.way, "join", network.invite]
            command += ["--home", str(home), "--role", it.role, "--json"]
            with (home / "said.jsonl").open("wb") as said:
                process = subprocess.Popen(
                    command, stdout=said, stderr=said, start_new_session=True
                )
            running.append(Running(it, home, process))
        for each in running:
            _until_in_the_market(each)
        _until_heard(network, running)
        yield running
    finally:
        for each in running:
            each.stop()


def _until_in_the_market(node: Running) -> None:
    """Wait until a node has told that it is in the market."""
    for _ in range(480):
        if b"in the market as" in (node.home / "said.jsonl").read_bytes():
            return
        threading.Event().wait(0.25)
    raise RuntimeError(f"{node.altered.called} did not come into the market")


def _until_heard(network: LiveNetwork, running: Sequence[Running]) -> None:
    """Wait until every honest node has heard the altered ones' offers, or some are not hired."""
    said = [(it.home / "said.jsonl").read_text() for it in running]
    due = {it.rpartition("in the market as 0x")[2][:40] for it in said}
    boards = [network.folder / name / "market" / "board" for name in network.solvers]
    for _ in range(240):
        heard = [{getattr(it, "node", b"").hex() for it in FolderBoard(at).hear()} for at in boards]
        if all(due <= it for it in heard):
            return
        threading.Event().wait(0.25)
    raise RuntimeError("the altered nodes' offers are not heard")


# ---- one job -------------------------------------------------------------------------------------


@dataclass
class Freezing:
    """Freezes nodes once a job is under way, and lets them go on after a while."""

    nodes: Sequence[Running]
    at: int = 2
    seconds: float = 12.0
    _threads: list[threading.Thread] = field(default_factory=list)

    def __call__(self, event: RunEvent) -> None:
        """Take note of an event of the run."""
        if isinstance(event, RoundFinished) and event.round == self.at and self.nodes:
            thread = threading.Thread(target=self._freeze)
            thread.start()
            self._threads.append(thread)

    def _freeze(self) -> None:
        for node in self.nodes:
            node.signal(signal.SIGSTOP)
        threading.Event().wait(self.seconds)
        for node in self.nodes:
            node.signal(signal.SIGCONT)

    def wait(self) -> None:
        """Wait until all go on."""
        for thread in self._threads:
            thread.join()


def play(
    group: Group, root: Path, note: Note, *, rounds: int = STEPS // LOCAL, phase: int = PHASE
) -> dict[str, Any]:
    """Play one group over a network of its own below `root`, and return what it came to."""
    changes = [
        f"train.max_steps={rounds * LOCAL}", f"rounds.local_steps={LOCAL}", "rounds.codec=topk",
        f"rounds.segments={LOCAL}", f"rounds.lanes={group.lanes}", "checkpoint.eval_steps=0",
        f"checkpoint.save_steps={rounds * LOCAL}", "train.warmup_steps=0",
    ]  # fmt: skip
    traced, data = ready_job("digits", root, changes)
    local = run_job(traced.run, root / "local", CrewTerms(1, threads=1, data=data))
    with (
        LiveNetwork(root / "network", NODES, paid=True) as network,
        altered_nodes(network, group) as running,
        noise(network, wanted=group.hostile) as sent,
    ):
        wish = MarketSection(
            redo=False,  # it is the attack's money that is measured
            phase_seconds=phase, draws=DRAWS, epoch_rounds=rounds, auditors=group.auditors,
            lanes_each_max=group.each, seconds=900, price_audit=AUDIT_PAY,
            clock_seconds=10,
        )  # fmt: skip
        freezing = Freezing([it for it in running if it.altered.frozen])
        ended, purse = b"", Purse(wish=wish)
        try:
            ended = run_on_network(
                traced.run, root / "run", data, str(network.folder), watch=freezing, purse=purse
            ).root
        except SkerryError as error:
            note(f"{group.name}: the run ended with {error.code}: {error.message[:200]}")
        freezing.wait()
        found = reckon(network, running, root / "run", group.each * rounds)
    found |= {"right_bits": ended == local.root, "finished": bool(ended), "noise": sent}
    for name, it in found["attacks"].items():
        note(f"{name:24} earned {it['earned']:>9,}  honest {it['honest']:>6,}  {it['how']}")
    sums = "are the vault's" if found["adds_up"] else "DIFFER"
    honest = f"{found['honest_slashed']} honest slashed {found['slashed_as']}"
    note(f"{group.name}: right bits {found['right_bits']}, {honest}, sums {sums}")
    return found


def reckon(
    network: LiveNetwork, running: Sequence[Running], run: Path, leased: int
) -> dict[str, Any]:
    """Return what every account came to; `leased` are the units of one node's lanes."""
    bought = bought_by(run)
    if bought is None:
        raise RuntimeError("nothing was awarded")
    bill = invoice_of(Path(bought.home), bought.job)
    honest = {name: earnings_of(network.folder / name) for name in network.solvers}
    client = earnings_of(Path(bought.home))
    attacks, accounts = {}, [client, *honest.values()]
    for node in running:
        account = earnings_of(node.home, network.chain)
        accounts.append(account)
        attacks[node.altered.called] = outcome(node.altered, account, leased)
    return {
        "attacks": attacks,
        "closed": bill.closed,
        "adds_up": bill.adds_up and all(it.adds_up for it in accounts),
        "burned": -sum(it.earned for it in accounts),
        "honest_slashed": sum(any(job.slashed for job in it.jobs) for it in honest.values()),
        "slashed_as": sorted(
            " ".join(job.roles) for it in honest.values() for job in it.jobs if job.slashed
        ),
        "false_units": sum(it.reason is Because.CONVICTED for it in bill.units),
        "units": len(bill.units),
        "units_paid": sum(it.paid > 0 for it in bill.units),
    }


def outcome(altered: Altered, account: Earnings, leased: int) -> dict[str, Any]:
    """Return what one altered node came to, beside an honest one in its place."""
    jobs = account.jobs
    slashed = sum(it.slashed for it in jobs)
    did = [unit for it in jobs for unit in it.units]
    honest = max(leased * PRICE, sum(it.price for it in did))
    if altered.role == AUDITOR:
        honest = AUDIT_PAY
    if altered.way == RECORDER:
        honest = leased
    how = "was not hired"
    if any(it.roles for it in jobs):
        how = "was paid for what counted"
        how = f"lost {-account.earned:,} by bonds" if account.earned < 0 else how
        how = f"was slashed by {slashed:,}" if slashed else how
    return {
        "way": altered.way,
        "earned": account.earned,
        "slashed": slashed,
        "honest": honest,
        "units": len(did),
        "units_paid": sum(it.paid > 0 for it in did),
        "hired": any(it.roles for it in jobs),
        "how": how,
    }


# ---- a stranger who sends what is no message -----------------------------------------------------


@contextlib.contextmanager
def noise(network: LiveNetwork, *, wanted: bool) -> Iterator[dict[str, int]]:
    """Let a process send oversize and malformed messages to every node, as long as this lasts."""
    counts: dict[str, int] = {}
    if not wanted:
        yield counts
        return
    command = [sys.executable, "-m", "benchmarks.altered.noise", network.invite]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield counts
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=STOP_SECONDS)
        counts |= json.loads(said.strip().splitlines()[-1])


def run(*, quick: bool, note: Callable[[str], None]) -> dict[str, Any]:
    """Play the groups, and return the keys of the benchmark."""
    groups = QUICK if quick else GROUPS
    played = {}
    for group in groups:
        with tempfile.TemporaryDirectory(prefix="skerry-attack-") as place:
            short = {"rounds": QUICK_ROUNDS, "phase": QUICK_PHASE} if quick else {}
            played[group.name] = play(group, Path(place), note, **short)
    attacks = {name: it for group in played.values() for name, it in group["attacks"].items()}
    above = [
        name
        for name, it in attacks.items()
        if it["hired"] and it["earned"] >= it["honest"] + (it["way"] in DISTURB)
    ]
    return {
        "attacks": attacks,
        "not_below_honesty": above,
        "honest_slashed": sum(it["honest_slashed"] for it in played.values()),
        "adds_up": all(it["adds_up"] for it in played.values()),
        "groups": played,
        "covered": f"{len(attacks)} attacks, each once, in {len(groups)} of {len(GROUPS)} jobs",
    }
