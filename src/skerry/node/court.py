"""A dispute played for real: two processes, a chain between them, and money that moves.

What    `play_dispute(receipt, ...)` starts a chain unless one is given, deploys a court, starts a
        solver's process, puts its claim on the chain, and doubts it until one leaf is judged.
Why     What a lie costs is best believed when it is seen; and a false doubt costs as surely.
Rule    The solver's process shares nothing with this one but the chain and what it signs for all to
        see. Every figure of the result comes from the chain's receipts and the vault's accounts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from skerry.base.chance import Chance
from skerry.base.errors import NodeError
from skerry.chain.abi import contract
from skerry.chain.anvil import Anvil
from skerry.chain.court_calls import Case
from skerry.chain.courthouse import CourtLog, CourtTerms, Heard, court_steps
from skerry.chain.deploy import Manifest, deploy
from skerry.chain.disputes import Doubter
from skerry.chain.errors import MoveReverted
from skerry.chain.rpc import Rpc
from skerry.messages.receipts import Receipt
from skerry.messages.wire import decode_as
from skerry.node.checking import open_past, run_of
from skerry.node.claim import BUDGET, LASTS, LIMITS, PRICE, ChainJob, stake_of
from skerry.node.clocks import RealClock
from skerry.node.court_moves import CourtMove, MoveTeller
from skerry.node.courtroom import (
    POLL_SECONDS,
    ChainParty,
    FalseDoubter,
    case_of,
    check_lie,
    fresh_key,
    lend_coins,
    play,
)
from skerry.node.dispute import draw_lie, party_of, read_receipt
from skerry.node.party import Lie, LieVanished, PartyRun
from skerry.node.past import PastRun
from skerry.node.solver import (
    ClaimAsked,
    DefenceAsked,
    Defended,
    Signed,
    SolverReady,
    StakeAsked,
    standing_offer,
)
from skerry.verify import Finding, NothingToDispute

GRACE = 1_800
MANIFEST_NAME = "court.json"
Line = TypeVar("Line", bound=msgspec.Struct)


class SolverGone(NodeError):
    """The solver's process ended before the dispute did."""

    code = "node.solver"

    def __init__(self, words: str) -> None:
        super().__init__(
            f"the solver's process ended: {words or 'it said nothing'}",
            next_step="run the command again; its clock would have cost the solver the game",
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """One account of the vault before the dispute and after it."""

    who: str
    free_before: int
    locked_before: int
    free_after: int
    locked_after: int

    @property
    def before(self) -> int:
        """All of it before."""
        return self.free_before + self.locked_before

    @property
    def after(self) -> int:
        """All of it after."""
        return self.free_after + self.locked_after


@dataclass(frozen=True, slots=True)
class DisputeResult:
    """How a dispute on a chain ended.

    Attributes:
        receipt: the receipt that was doubted.
        liar: "solver" or "challenger".
        lie: what the liar changed, as STEP:NODE:ELEMENT.
        challenger_won: who won.
        silent: whether a clock decided.
        finding: where the two runs part.
        moves: every transaction of the dispute.
        gas: what they used together.
        balances: the accounts; the last one is what was burned.
        held: what the vault holds of the token before and after; the balances add up to it.
        chain: number of the chain.
        url: where it answered.
        gas_before: what deployment, deposits, award and epoch used before the dispute.
        seconds: from the announcement to the end.
    """

    receipt: Receipt
    liar: str
    lie: str
    challenger_won: bool
    silent: bool
    finding: Finding | None
    moves: tuple[CourtMove, ...]
    gas: int
    balances: tuple[Balance, ...]
    held: tuple[int, int]
    chain: int
    url: str
    gas_before: int
    seconds: float

    @property
    def adds_up(self) -> bool:
        """Whether every unit of the token is accounted for, before and after."""
        before, after = (sum(getattr(it, at) for it in self.balances) for at in ("before", "after"))
        return (before, after) == self.held and before == after


@dataclass(frozen=True)
class CourtWatch:
    """What to call while a dispute is played."""

    stage: Callable[[str], None] = lambda words: None
    claim: Callable[[Receipt], None] = lambda receipt: None
    move: Callable[[CourtMove], None] = lambda move: None


class SolverProcess:
    """The other side."""

    def __init__(self, path: Path, url: str, folder: Path, lie: Lie | None) -> None:
        command = [sys.executable, "-m", "skerry.node.solver", str(path), "--chain", url]
        command += ["--folder", str(folder)]
        if lie is not None:
            command += ["--lie", str(lie)]
        self._words = folder / "solver.log"
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True
            )

    def ask(self, line: msgspec.Struct) -> None:
        """Tell it what to do next."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(line).decode() + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def hear(self, kind: type[Line]) -> Line:
        """Return what it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        return msgspec.json.decode(line, type=kind)

    def check(self, ended: bool = False) -> None:
        """Make sure that it is there as long as it is needed."""
        if not ended and self._process.poll() not in (None, 0):
            raise self._gone()

    def _gone(self) -> SolverGone:
        self._process.wait()
        return SolverGone(self._words.read_text(errors="replace").strip())

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass
class Courtroom:
    """Everything of one dispute on this side.

    Attributes:
        path: the receipt's file.
        past: the run that it is of.
        true: the receipt as the run has it.
        lie: what is changed.
        honest: whether the solver is honest, and the challenger lies.
        url: the chain.
        folder: where outboxes and events are kept meanwhile.
        watch: what to call.
    """

    path: Path
    past: PastRun
    true: Receipt
    lie: Lie
    honest: bool
    url: str
    folder: Path
    watch: CourtWatch
    parties: dict[str, ChainParty] = field(default_factory=dict)

    def play(self, stack: ExitStack) -> DisputeResult:
        """Play the dispute from the deployment to the last balance."""
        solver = SolverProcess(self.path, self.url, self.folder, None if self.honest else self.lie)
        stack.callback(solver.close)
        rpc = Rpc(self.url)
        stack.callback(rpc.close)
        for who in ("deployer", "submitter", "challenger"):
            party = ChainParty(rpc, fresh_key(), self.folder)
            stack.callback(party.close)
            self.parties[who] = party
            lend_coins(rpc, party.address)
        stake = stake_of(self.past.config)
        terms = CourtTerms(bond=stake // 3 | 1, grace=GRACE)
        manifest = self._deploy(terms)
        self.watch.stage("both sides run the unit")
        run = party_of(self.past, self.true.unit, self.lie if self.honest else None)
        ready = solver.hear(SolverReady)
        lend_coins(rpc, ready.address)
        claimed = decode_as(Receipt, ready.receipt)
        job = self._claim(solver, ready.address, claimed, 2 * stake)
        solver.ask(ClaimAsked(job.terms.job, claimed.unit.id.round, claimed.unit.id.lane))
        docket = job.docket(solver.hear(Signed).signature)
        self.watch.claim(claimed)
        case = case_of(self.past, claimed, run, docket)
        doubter = self._doubter(case, run)
        solver.ask(DefenceAsked(docket))
        log = CourtLog(self.folder / "challenger.events", rpc, manifest)
        stack.callback(log.close)
        return self._played(doubter, solver, ready.address, log, terms)

    def _doubter(self, case: Case, run: PartyRun) -> Doubter:
        who, salt = self.parties["challenger"].address, os.urandom(32)
        try:
            if not self.honest:
                return Doubter(case, run, who, salt)
            return FalseDoubter(
                case, run, who, salt, truth=partial(party_of, self.past, self.true.unit)
            )
        except NothingToDispute:
            raise LieVanished(str(self.lie)) from None

    def _deploy(self, terms: CourtTerms) -> Manifest:
        self.watch.stage("a court is deployed, with its money and its judges")
        plan = court_steps(LIMITS, terms)
        deployer = self.parties["deployer"]
        manifest = deploy(deployer.outbox, plan, mine=lambda: time.sleep(POLL_SECONDS))
        for step in plan:
            sent = deployer.outbox.find(f"deploy {step.name}")
            deployer.gas += (sent.gas_used or 0) if sent else 0
        for party in self.parties.values():
            party.manifest = manifest
        manifest.write(self.folder / MANIFEST_NAME)
        return manifest

    def _claim(
        self, solver: SolverProcess, address: bytes, claimed: Receipt, deposit: int
    ) -> ChainJob:
        """Put the solver's receipt on the chain as a claim."""
        self.watch.stage("the claim goes on the chain: deposits, award, epoch")
        submitter, challenger = self.parties["submitter"], self.parties["challenger"]
        job = ChainJob(self.past, submitter, address, self.true, claimed, submitter.now())
        asked = StakeAsked(
            manifest=str(self.folder / MANIFEST_NAME),
            deposit=deposit,
            lanes=job.lease.lanes,
            price=PRICE,
            stake=job.lease.stake,
            expires=job.terms.ends,
            seconds=LASTS,
        )
        solver.ask(asked)
        submitter.deposit(job.terms.budget + job.terms.stake_coordinator)
        challenger.deposit(deposit)
        job.award(standing_offer(address, asked), solver.hear(Signed).signature)
        job.commit()
        return job

    def _played(
        self,
        doubter: Doubter,
        solver: SolverProcess,
        address: bytes,
        log: CourtLog,
        terms: CourtTerms,
    ) -> DisputeResult:
        party = self.parties["challenger"]
        names = {party.address: "challenger", address: "solver"}
        receipt = doubter.case.terms.receipt
        teller = MoveTeller(party.rpc, receipt.unit, doubter.case.terms.program, names)
        moves: list[CourtMove] = []
        before, held_before = self._accounts(address)
        gas_before = sum(it.gas for it in self.parties.values())
        clock, began = RealClock(), RealClock().now()

        def watch(heard: list[Heard]) -> None:
            for move in teller.tell(heard):
                moves.append(move)
                self.watch.move(move)
            solver.check(any(it.name == "Ended" for it in heard))

        party.send(doubter.announce())
        watch(log.new())
        self._open(party, doubter, address, terms)
        play(party, doubter, log, watch)
        seconds = clock.now() - began
        solver.hear(Defended)
        after, held_after = self._accounts(address)
        assert doubter.ended is not None, "played to the end"
        found = doubter.walk.outcome
        return DisputeResult(
            receipt=receipt,
            liar="challenger" if self.honest else "solver",
            lie=str(self.lie),
            challenger_won=doubter.ended.challenger_won,
            silent=doubter.ended.silent,
            finding=found if isinstance(found, Finding) else None,
            moves=tuple(moves),
            gas=sum(it.gas for it in moves),
            balances=tuple(Balance(who, *before[who], *after[who]) for who in before),
            held=(held_before, held_after),
            chain=party.outbox.chain,
            url=self.url,
            gas_before=gas_before,
            seconds=seconds,
        )

    def _open(self, party: ChainParty, doubter: Doubter, solver: bytes, terms: CourtTerms) -> None:
        """Open what was announced, as soon as the chain's second is a later one."""
        call = doubter.open(solver, bond=terms.bond, clock=terms.clock(BUDGET))
        announced = party.now()
        while True:
            try:
                party.send(call)
                return
            except MoveReverted as refused:
                if refused.reason != "announce" or party.now() > announced + 1:
                    raise
                time.sleep(POLL_SECONDS)

    def _accounts(self, solver: bytes) -> tuple[dict[str, tuple[int, int]], int]:
        """Return every account's free and locked money with what was burned, and what is held."""
        party = self.parties["challenger"]
        assert party.manifest is not None, "no contracts yet"
        at, vault, token = party.manifest.at, contract("vault"), contract("token")

        def ask(name: str, function: str, *arguments: bytes) -> tuple[int, ...]:
            artifact = vault if name == "vault" else token
            data = party.rpc.call(at(name), artifact.call(function, *arguments))
            return artifact.result(function, data)

        owners = {who: it.address for who, it in self.parties.items() if who != "deployer"}
        found: dict[str, tuple[int, int]] = {}
        for who, address in (owners | {"solver": solver}).items():
            free, locked, _ = ask("vault", "account", address)
            found[who] = free, locked
        (burned,) = ask("vault", "burned")
        found["burned"] = burned, 0
        (held,) = ask("token", "balanceOf", at("vault"))
        return found, held


def play_dispute(
    path: Path,
    *,
    lie: str = "",
    honest: bool = False,
    rpc_url: str = "",
    watch: CourtWatch | None = None,
) -> DisputeResult:
    """Take a receipt to court and play both sides to the end.

    Args:
        path: a receipt in a run's folder.
        lie: STEP:NODE:ELEMENT that the liar changes; "" draws one.
        honest: whether the solver is honest and the challenger the liar.
        rpc_url: a development node; "" starts one.
        watch: what to call on the way.

    Raises:
        AnvilMissing: no chain is given and none is installed.
        LieImpossible, LieVanished, LieNotJudged: that lie cannot be told, or not judged.
        ChainError: the chain cannot be used.
    """
    watch = watch or CourtWatch()
    with ExitStack() as stack:
        url = rpc_url or stack.enter_context(Anvil()).url
        past, true = open_past(run_of(path)), read_receipt(path)
        if lie:
            told = Lie.parse(lie)
            check_lie(past, true, told)
        else:
            watch.stage("a lie is drawn that makes a difference")
            seed = int.from_bytes(os.urandom(7), "big")
            told = draw_lie(past, true, Chance.from_int(seed))
        folder = Path(tempfile.mkdtemp(prefix="skerry-court-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        room = Courtroom(path, past, true, told, honest, url, folder, watch)
        return room.play(stack)
