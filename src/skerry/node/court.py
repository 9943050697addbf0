"""A dispute played for real: two processes, a chain between them, and money that moves.

What    `play_dispute(receipt, ...)` starts a chain unless one is given, deploys a court, starts a
        solver's process, puts its claim on the chain, and doubts it until one leaf is judged.
Why     What a lie costs is best believed when it is seen; and a false doubt costs as surely.
Rule    The solver's process shares nothing with this one but the chain and what it signs for all to
        see. Every figure of the result comes from the chain's receipts and the vault's accounts.
        Called again after a crash, it goes on; a solver that is gone loses by its clock.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from skerry.base.chance import Chance
from skerry.base.units import format_seconds
from skerry.chain.anvil import Anvil
from skerry.chain.court_calls import Case
from skerry.chain.courthouse import CourtLog, CourtTerms, Heard, court_steps
from skerry.chain.deploy import Manifest, connect, deploy
from skerry.chain.disputes import Doubter
from skerry.chain.errors import ChainDiffers, ChainUnreachable, ClockSkew, MoveReverted
from skerry.chain.keyfiles import ChainKey, read_key
from skerry.chain.rpc import Rpc
from skerry.chain.views import tokens_of, view
from skerry.messages.receipts import Receipt
from skerry.messages.wire import decode_as
from skerry.node.checking import open_past, run_of
from skerry.node.claim import BUDGET, LASTS, LIMITS, PRICE, ChainJob, stake_of
from skerry.node.clocks import RealClock
from skerry.node.court_folder import Kept, OtherDispute, begin, keep, kept_in
from skerry.node.court_moves import CourtMove, MoveTeller
from skerry.node.court_party import (
    POLL_SECONDS,
    ChainParty,
    CourtUnfunded,
    Paying,
    chain_now,
    kept_key,
    lend_coins,
    play,
)
from skerry.node.court_published import (
    PublicationFalse,
    PublishAsked,
    Published,
    PublishedRun,
    check_published,
    doubter_of,
)
from skerry.node.court_result import Balance, DisputeResult
from skerry.node.courtroom import case_of, check_lie
from skerry.node.dispute import draw_lie, party_of, read_receipt
from skerry.node.party import Lie, LieVanished, PartyRun
from skerry.node.past import PastRun
from skerry.node.solver import (
    MANIFEST_NAME,
    ClaimAsked,
    DefenceAsked,
    Defended,
    Signed,
    SolverReady,
    StakeAsked,
    standing_offer,
)
from skerry.node.solver_process import SolverGone, SolverProcess, end_left_over
from skerry.storage import write_file
from skerry.verify import Finding, NothingToDispute

GRACE = 1_800
SKEW_SECONDS = GRACE // 2  # what a deadline can bear
CHAIN_NAME, CHAIN_PID = "chain.json", "chain.pid"


@dataclass(frozen=True)
class CourtWatch:
    """What to call while a dispute is played."""

    stage: Callable[[str], None] = lambda words: None
    claim: Callable[[Receipt], None] = lambda receipt: None
    move: Callable[[CourtMove], None] = lambda move: None


@dataclass(frozen=True)
class Means:
    """By what a challenger plays.

    Attributes:
        key: its sealed key file; None makes a key for this dispute alone.
        passphrase: asked for the passphrase of a key file.
        paying: what fees both sides pay.
    """

    key: Path | None = None
    passphrase: Callable[[Path], str] = lambda path: ""
    paying: Paying = field(default_factory=Paying)


@dataclass
class Courtroom:
    """Everything of one dispute on this side.

    Attributes:
        path: the receipt's file.
        past: the run that it is of.
        true: the receipt as the run has it.
        honest: whether the solver is honest, and the challenger lies.
        kept: what this dispute keeps.
        folder: where, with keys, outboxes and events.
        watch: what to call.
        key: the challenger's own key, if it has brought one.
        paying: what fees both sides pay.
    """

    path: Path
    past: PastRun
    true: Receipt
    honest: bool
    kept: Kept
    folder: Path
    watch: CourtWatch
    key: ChainKey | None = None
    paying: Paying = field(default_factory=Paying)
    parties: dict[str, ChainParty] = field(default_factory=dict)
    _mourned: bool = False

    @property
    def lie(self) -> Lie:
        """What is changed."""
        return Lie.parse(self.kept.lie)

    def play(self, stack: ExitStack) -> DisputeResult:
        """Play the dispute from the deployment to the last balance."""
        rpc = Rpc(self.kept.url)
        stack.callback(rpc.close)
        for who in ("deployer", "submitter", "challenger"):
            own = self.key if who == "challenger" else None
            key = own or kept_key(self.folder / f"{who}.key")
            party = ChainParty(
                rpc, key, self.folder, paying=self.paying, tell=partial(self._tell, who)
            )
            stack.callback(party.close)
            self.parties[who] = party
            lend_coins(rpc, party.address)
        url, lie = self.kept.url, None if self.honest else self.lie
        solver = SolverProcess(self.path, url, self.folder, lie, self.paying)
        stack.callback(solver.close)
        stake = stake_of(self.past.config)
        manifest = self._deploy(self._terms())
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
        published = self._published(solver, case, ready.address) if self.kept.published else None
        made = partial(self._doubter, case, run, published)
        made()  # a lie that vanished had better be noticed now
        solver.ask(DefenceAsked(docket))
        log = CourtLog(self.folder / "challenger.events", rpc, manifest)
        stack.callback(log.close)
        return self._played(made, solver, ready.address, log)

    def _tell(self, who: str, words: str) -> None:
        self.watch.stage(f"{who}: {words}")

    def _terms(self) -> CourtTerms:
        return CourtTerms(bond=stake_of(self.past.config) // 3 | 1, grace=GRACE)

    def _published(self, solver: SolverProcess, case: Case, address: bytes) -> PublishedRun:
        """Return what the solver published of its run."""
        manifest, terms = self.parties["challenger"].manifest, case.terms
        assert manifest is not None, "no contracts yet"
        self.watch.stage("the solver publishes the roots of its run")
        solver.ask(PublishAsked(terms.game))
        told, steps = solver.hear(Published), terms.receipt.unit.steps
        try:
            publication = check_published(told, steps, terms.game, address, manifest)
        except PublicationFalse:
            self.kept.published = False  # the next call walks
            keep(self.folder, self.kept)
            raise
        return PublishedRun(terms.program, publication, told.signature, solver)

    def _doubter(self, case: Case, run: PartyRun, seen: PublishedRun | None) -> Doubter:
        who, salt = self.parties["challenger"].address, self.kept.salt
        truth = partial(party_of, self.past, self.true.unit) if self.honest else None
        try:
            return doubter_of(case, run, who, salt, seen=seen, truth=truth)
        except NothingToDispute:
            raise LieVanished(str(self.lie)) from None

    def _deploy(self, terms: CourtTerms) -> Manifest:
        plan, path = court_steps(LIMITS, terms), self.folder / MANIFEST_NAME
        deployer = self.parties["deployer"]
        if path.is_file():
            manifest = Manifest.read(path)
            connect(deployer.rpc, manifest)
        else:
            self.watch.stage("a court is deployed, with its money and its judges")
            manifest = deploy(deployer.outbox, plan, mine=lambda: time.sleep(POLL_SECONDS))
            manifest.write(path)
        for step in plan:
            sent = deployer.outbox.find(f"deploy {step.name}")
            deployer.gas += (sent.gas_used or 0) if sent else 0
        for party in self.parties.values():
            party.manifest = manifest
        return manifest

    def _claim(
        self, solver: SolverProcess, address: bytes, claimed: Receipt, deposit: int
    ) -> ChainJob:
        """Put the solver's receipt on the chain as a claim."""
        self.watch.stage("the claim goes on the chain: deposits, award, epoch")
        submitter, challenger = self.parties["submitter"], self.parties["challenger"]
        if not self.kept.began:
            self.kept.began = submitter.now()
            keep(self.folder, self.kept)
        job = ChainJob(self.past, submitter, address, self.true, claimed, self.kept.began)
        asked = StakeAsked(
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
        made: Callable[[], Doubter],
        solver: SolverProcess,
        address: bytes,
        log: CourtLog,
    ) -> DisputeResult:
        party, first = self.parties["challenger"], made()
        names = {party.address: "challenger", address: "solver"}
        receipt = first.case.terms.receipt
        teller = MoveTeller(party.rpc, receipt.unit, first.case.terms.program, names)
        moves: list[CourtMove] = []
        if not self.kept.before:
            self.kept.before, self.kept.held = self._accounts(address)
            keep(self.folder, self.kept)
        gas_before = sum(it.gas for it in self.parties.values())
        clock, began = RealClock(), RealClock().now()

        sides: list[Doubter] = []

        def watch(heard: list[Heard], side: Doubter) -> None:
            if sides[-1:] != [side]:
                sides.append(side)
                moves.clear()
                teller.told = 0
            for move in teller.tell(heard):
                moves.append(move)
                self.watch.move(move)
            if side.ended is None and (fate := solver.fate()):
                self._wait_out(fate, solver, side)

        party.send(first.announce())
        self._open(party, first, address)
        doubter = play(party, made, log, watch)
        seconds = clock.now() - began
        if not solver.fate():
            solver.hear(Defended)
        before, (after, held_after) = self.kept.before, self._accounts(address)
        assert doubter.ended is not None, "played to the end"
        found = doubter.walk.outcome
        return DisputeResult(
            receipt=receipt,
            liar="challenger" if self.honest else "solver",
            lie=self.kept.lie,
            challenger_won=doubter.ended.challenger_won,
            silent=doubter.ended.silent,
            finding=found if isinstance(found, Finding) else None,
            moves=tuple(moves),
            gas=sum(it.gas for it in moves),
            balances=tuple(Balance(who, *before[who], *after[who]) for who in before),
            held=(self.kept.held, held_after),
            chain=party.outbox.chain,
            url=self.kept.url,
            gas_before=gas_before,
            seconds=seconds,
        )

    def _wait_out(self, fate: str, solver: SolverProcess, side: Doubter) -> None:
        """Let the clock of a solver that is gone run out; on a chain of one's own, set it forward.

        Until then it may be started again: what it was asked to defend is kept.
        """
        party, stand = self.parties["challenger"], side.stand
        if stand is None or stand.state.challenger_moves:
            return
        left = stand.state.deadline + 1 - party.now()
        if not self._mourned:
            self._mourned = True
            again = shlex.join([*solver.command, "--defend"])
            self.watch.stage(
                f"the solver's process {fate}: its clock runs out in {format_seconds(left)}"
                + ("" if self.kept.own else f"; until then it can go on by\n{again}")
            )
        if self.kept.own and left > 0:
            self.watch.stage("nobody else is on this chain: its clock is set forward")
            party.rpc.ask("evm_increaseTime", left)
            party.rpc.ask("evm_mine")

    def _open(self, party: ChainParty, doubter: Doubter, solver: bytes) -> None:
        """Open what was announced, as soon as the chain's second is a later one."""
        terms = self._terms()
        call = doubter.open(solver, bond=terms.bond, clock=terms.clock(BUDGET))
        announced = party.now()
        while True:
            try:
                party.lock(call, ("challenger", party.address, terms.bond))
                return
            except MoveReverted as refused:
                if refused.reason != "announce" or party.now() > announced + 1:
                    raise
                time.sleep(POLL_SECONDS)

    def _accounts(self, solver: bytes) -> tuple[dict[str, tuple[int, int]], int]:
        """Return every account's free and locked money with what was burned, and what is held."""
        party = self.parties["challenger"]
        assert party.manifest is not None, "no contracts yet"
        rpc, manifest = party.rpc, party.manifest
        owners = {who: it.address for who, it in self.parties.items() if who != "deployer"}
        found: dict[str, tuple[int, int]] = {}
        for who, address in (owners | {"solver": solver}).items():
            free, locked, _ = view(rpc, manifest, "vault", "account", address)
            found[who] = free, locked
        (burned,) = view(rpc, manifest, "vault", "burned")
        found["burned"] = burned, 0
        return found, tokens_of(rpc, manifest, manifest.at("vault"))


def play_dispute(
    path: Path,
    *,
    lie: str = "",
    honest: bool = False,
    published: bool = False,
    rpc_url: str = "",
    means: Means | None = None,
    watch: CourtWatch | None = None,
) -> DisputeResult:
    """Take a receipt to court and play both sides to the end; go on where a crash had ended it.

    Args:
        path: a receipt in a run's folder.
        lie: STEP:NODE:ELEMENT that the liar changes; "" draws one.
        honest: whether the solver is honest and the challenger the liar.
        published: whether the solver publishes its roots first, so that the game opens at a leaf.
        rpc_url: a development node; "" starts one.
        means: the challenger's key, and what fees both sides pay.
        watch: what to call on the way.

    Raises:
        AnvilMissing: no chain is given and none is installed.
        LieImpossible, LieVanished, LieNotJudged: that lie cannot be told, or not judged.
        OtherDispute: another one about the receipt is under way.
        KeyfileUnsafe, PassphraseWrong, PassphraseAbsent: the challenger's key cannot be opened.
        ChainError: the chain cannot be used; what was done is kept.
    """
    watch, means = watch or CourtWatch(), means or Means()
    past, true = open_past(run_of(path)), read_receipt(path)
    folder = dispute_folder(path, honest=honest)
    kept = kept_in(folder)
    given = "" if means.key is None else str(means.key.expanduser().absolute())
    if kept is not None:
        same = (lie in ("", kept.lie), rpc_url in ("", kept.url), given in ("", kept.key))
        if not all(same) or published > kept.published:
            raise OtherDispute(folder, kept.lie)
    sealed = given if kept is None else kept.key
    key = read_key(Path(sealed), means.passphrase(Path(sealed))) if sealed else None
    with ExitStack() as stack:
        if kept is None:
            if rpc_url:
                _check_chain(rpc_url)
            told = _told_lie(past, true, lie, watch)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            url = rpc_url or _own_chain(folder, stack)
            kept = begin(
                folder,
                str(told),
                url,
                own=not rpc_url,
                chain=_chain_id(url),
                key=sealed,
                published=published,
            )
        else:
            watch.stage(f"a dispute is under way in {folder}: it goes on")
            _take_up(kept, folder, stack)
        room = Courtroom(path, past, true, honest, kept, folder, watch, key, means.paying)
        try:
            result = room.play(stack)
        except (LieVanished, SolverGone, CourtUnfunded):
            if not kept.before:  # nothing is doubted
                shutil.rmtree(folder, ignore_errors=True)
            raise
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _take_up(kept: Kept, folder: Path, stack: ExitStack) -> None:
    """Find the chain of a dispute again, or start it again where it is one's own.

    Raises:
        ChainUnreachable: nobody answers there.
        ChainDiffers: it is another chain.
    """
    if kept.own and not _answers(kept.url):
        kept.url = _own_chain(folder, stack)
    elif kept.own:
        stack.callback(end_left_over, folder / CHAIN_PID, ("anvil", str(folder)))
    if (found := _chain_id(kept.url)) != kept.chain:
        raise ChainDiffers(kept.url, found, kept.chain)


def dispute_folder(path: Path, *, honest: bool) -> Path:
    """Return where a dispute about a receipt is kept until it has ended."""
    name = f"{path.stem}-honest" if honest else path.stem
    return run_of(path) / "disputes" / name


def _told_lie(past: PastRun, true: Receipt, lie: str, watch: CourtWatch) -> Lie:
    if lie:
        told = Lie.parse(lie)
        check_lie(past, true, told)
        return told
    watch.stage("a lie is drawn that makes a difference")
    return draw_lie(past, true, Chance.from_int(int.from_bytes(os.urandom(7), "big")))


def _own_chain(folder: Path, stack: ExitStack) -> str:
    """Start a chain whose state is kept in the folder; return where it answers."""
    anvil = stack.enter_context(Anvil(state=folder / CHAIN_NAME))
    write_file(folder / CHAIN_PID, str(anvil.pid).encode(), durable=False)
    return anvil.url


def _chain_id(url: str) -> int:
    """Return the number of a chain; raise ChainUnreachable where none answers."""
    rpc = Rpc(url)
    try:
        return rpc.chain_id()
    finally:
        rpc.close()


def _check_chain(url: str) -> None:
    """Refuse a chain that does not answer, or whose clock is too far from this machine's."""
    rpc = Rpc(url)
    try:
        rpc.chain_id()
        here, there = int(time.time()), chain_now(rpc)
    finally:
        rpc.close()
    if abs(here - there) > SKEW_SECONDS:
        raise ClockSkew(here, there)


def _answers(url: str) -> bool:
    try:
        _chain_id(url)
    except ChainUnreachable:
        return False
    return True
