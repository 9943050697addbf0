"""What both sides of a dispute on a chain need: a sender, a log, and the course of a game.

What    `ChainParty` sends one key's calls and waits for them. `play` lets a side of a game hear the
        court and make the moves that are due, until the game has ended. `LyingAnswerer` and
        `FalseDoubter` are the sides of those who cannot be right.
Why     Solver and challenger are different processes with the same chain before them.
Rule    Keys are made for one dispute and never leave their process. A side whose opponent's clock
        ran out ends the game.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skerry.arithmetic.elements import wrapped
from skerry.base.errors import ChainError, JobError
from skerry.chain.abi import contract
from skerry.chain.court_calls import Case, pick_call, shipped
from skerry.chain.courthouse import ARITIES, CourtLog, Heard
from skerry.chain.deploy import Manifest
from skerry.chain.disputes import Answerer, Doubter, Shown, heard_parts
from skerry.chain.errors import ChainRefused
from skerry.chain.keyfiles import ChainKey
from skerry.chain.moves import Call
from skerry.chain.outbox import Outbox, Sent
from skerry.chain.proofs import own_parts
from skerry.chain.rpc import Rpc, hexed, unhexed
from skerry.dataset import Dataset
from skerry.messages.disputes import Pick
from skerry.messages.receipts import Receipt, Unit
from skerry.node.clocks import RealClock
from skerry.node.dispute import terms_of
from skerry.node.party import Lie, LieImpossible, PartyRun
from skerry.node.past import PastRun
from skerry.node.readings import SplitSource, readings_of
from skerry.verify import RunRoots, Terms
from skerry.verify.folds import GREATEST
from skerry.verify.positions import Point
from skerry.verify.runs_game import parts_of

POLL_SECONDS = 0.03
COINS = 10**20
# A judge is shown a sample whole, and a call has its limits.
RECORD_BYTES_MAX = 4096


class LieNotJudged(JobError):
    """A lie ends in a last move that is too large for the court."""

    code = "job.lie.judge"

    def __init__(self, lie: Lie, what: str) -> None:
        super().__init__(
            f"the court cannot judge the lie {lie}: {what}",
            next_step="tell a lie about an op that computes",
        )


class CourtUnfunded(ChainError):
    """The chain gives nobody here coins for gas."""

    code = "chain.coins"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the node at {url} lends nobody coins for gas",
            next_step="give the URL of a development node (anvil, hardhat, geth --dev), or none",
        )


def check_lie(past: PastRun, receipt: Receipt, lie: Lie) -> None:
    """Refuse a lie that no unit can hold or no judge of the court can see through.

    Args:
        past: the run.
        receipt: names the unit.
        lie: what is to be changed.

    Raises:
        LieImpossible: there is no such element.
        LieNotJudged: the court has no judge for it.
    """
    program = past.lanes.programs[past.name_of(receipt.unit)]
    if lie.step >= receipt.unit.steps or lie.node >= len(program.nodes):
        raise LieImpossible(
            f"the unit has {receipt.unit.steps} steps of {len(program.nodes)} nodes"
        )
    node = program.nodes[lie.node]
    if lie.element >= node.type.elements:
        raise LieImpossible(f"node {lie.node} has {node.type.elements} elements")
    if node.op != "input" or program.inputs[node.integer("port")].role != "data":
        return
    source = sample_source(past, receipt.unit)
    size = source.reading.record_bytes if source is not None else 0
    if size > RECORD_BYTES_MAX:
        raise LieNotJudged(
            lie, f"a sample has {size:,} bytes, and a judge reads {RECORD_BYTES_MAX:,}"
        )


def sample_source(past: PastRun, unit: Unit) -> SplitSource | None:
    """Return the samples that a unit reads, or None where it reads none."""
    data, samples = past.lanes.feed.samples, unit.data
    if samples is None or not isinstance(data, Dataset):
        return None
    config = past.config
    known = readings_of(data.manifest, shards=config.shards, batch=config.samples_per_shard)
    for name, reading in known.items():
        if reading.digest == samples.reading:
            return SplitSource(reading, data.reader(name))
    return None


def case_of(past: PastRun, receipt: Receipt, run: PartyRun, docket: bytes) -> Case:
    """Return what a party knows of a dispute about a receipt of a run."""
    terms = court_terms(past, receipt)
    source = sample_source(past, receipt.unit)
    return Case(terms, run.states([0])[0], docket, shipped(), source)


def court_terms(past: PastRun, receipt: Receipt) -> Terms:
    """Return what both parties know before the first move, cut as the court cuts it."""
    plain = terms_of(past, receipt)
    return Terms(plain.receipt, plain.program, plain.names, arities=ARITIES)


# ---- a party on the chain ------------------------------------------------------------------------


def fresh_key() -> ChainKey:
    """Return a key that nobody has used."""
    return ChainKey(os.urandom(31).rjust(32, b"\1"))


def lend_coins(rpc: Rpc, who: bytes) -> None:
    """Have a development node give an address coins for gas.

    Raises:
        CourtUnfunded: it gives nobody any.
    """
    try:
        rpc.ask("anvil_setBalance", hexed(who), hexed(COINS))
        return
    except ChainRefused:
        pass
    try:
        lenders = rpc.ask("eth_accounts")
        fields = {"from": lenders[0], "to": hexed(who), "value": hexed(COINS // 100)}
        name = rpc.ask("eth_sendTransaction", fields)
    except (ChainRefused, IndexError):
        raise CourtUnfunded(rpc.url) from None
    while rpc.receipt(unhexed(name)) is None:
        time.sleep(POLL_SECONDS)


@dataclass
class ChainParty:
    """One party: its key, its outbox, and what it has sent.

    Attributes:
        rpc: the node.
        key: the party's key.
        folder: where its outbox is kept.
        manifest: where the contracts are; None before they are anywhere.
        sent: how many calls it sent.
        gas: what they used.
    """

    rpc: Rpc
    key: ChainKey
    folder: Path
    manifest: Manifest | None = None
    sent: int = 0
    gas: int = 0
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.key.address.hex()[:16]}.outbox"
        chain = self.rpc.chain_id()
        self.outbox = Outbox(self.folder / name, self.rpc, self.key, RealClock(), chain=chain)

    @property
    def address(self) -> bytes:
        """The party's address."""
        return self.key.address

    def send(self, call: Call) -> Sent:
        """Make a call and wait until it is mined.

        Raises:
            MoveReverted: the contract refuses it.
        """
        assert self.manifest is not None, "no contracts yet"
        data = contract(call.contract).call(call.function, *call.arguments)
        name = f"{self.sent} {call.function}"
        sent = self.outbox.send(name, self.manifest.at(call.contract), data, move=call.function)
        self.sent += 1
        while sent.state == "sent":
            time.sleep(POLL_SECONDS)
            self.outbox.look_after()
            found = self.outbox.find(name)
            assert found is not None
            sent = self.outbox.check(found, call.function)
        self.gas += sent.gas_used or 0
        return sent

    def deposit(self, amount: int) -> None:
        """Make tokens for oneself and put them into the vault."""
        assert self.manifest is not None, "no contracts yet"
        self.send(Call("token", "mint", (self.address, amount)))
        self.send(Call("token", "approve", (self.manifest.at("vault"), amount)))
        self.send(Call("vault", "deposit", (amount,)))

    def now(self) -> int:
        """Return the chain's time in seconds."""
        head = self.rpc.block()
        assert head is not None, "a chain has a latest block"
        return int(head["timestamp"], 16)

    def close(self) -> None:
        """Let go of the outbox."""
        self.outbox.close()


def play(
    party: ChainParty,
    side: Doubter | Answerer,
    log: CourtLog,
    watch: Callable[[list[Heard]], None] = lambda heard: None,
) -> None:
    """Hear the court and make every move that is due, until the game has ended.

    Args:
        party: who sends.
        side: who decides.
        log: the court's events.
        watch: told what is new, and told nothing from time to time; may raise to stop.
    """
    while side.ended is None:
        heard = log.new()
        watch(heard)
        calls = [side.hear(it.event) for it in heard if it.event is not None]
        if side.ended is not None:
            return
        due = [it for it in calls if it is not None]
        if not due:
            late = side.timeout(party.now())
            due = [late] if late is not None else []
        for call in due:
            party.send(call)
        if not due:
            time.sleep(POLL_SECONDS)


# ---- those who cannot be right -------------------------------------------------------------------


class LyingAnswerer(Answerer):
    """A solver whose partial folds are made to come to its lie."""

    def own_parts(self) -> tuple[int, ...]:
        """Return honest parts, of which one takes up the difference."""
        assert self.runs is not None, "runs"
        parts, due = super().own_parts(), self.runs.at.fold
        if self.runs.judged.op in GREATEST:
            return (*(min(it, due) for it in parts[:-1]), due)
        return (*parts[:-1], wrapped(due - sum(parts[:-1])))


@dataclass
class FalseDoubter(Doubter):
    """A challenger who doubts what is true, and goes on where every part of it is.

    Attributes:
        truth: makes an honest run, which has the proofs of what a step was given; his own has none.
    """

    truth: Callable[[], RunRoots] | None = None

    def proofs(self) -> RunRoots:
        """Return the run whose leaves the judge is shown."""
        assert self.walk.game is not None, "a game"
        at = self.walk.game.position
        given = isinstance(at, Point) and self.case.terms.program.nodes[at.node].op == "input"
        return self.truth() if given and self.truth is not None else self.run

    def _shown_parts(self, event: Shown) -> Call:
        assert self.stand is not None, "a game of runs"
        assert self.runs is not None, "a game of runs"
        message = heard_parts(self.runs, event.data)
        shown = self.runs.reveal(message)
        pairs = enumerate(zip(own_parts(self.run, shown), parts_of(message), strict=True))
        choice = next((at for at, (own, it) in pairs if own != it), 0)
        pick = Pick(self.case.terms.game, shown.turn + 1, choice)
        self.runs = shown.pick(pick)
        call = pick_call(self.case, self.stand, shown, pick)
        if self.settles and self.runs.over:
            return self._settle(call.arguments[3])
        return call
