"""Disputes that are played between other things: a move when one is due, and never a wait.

What    `Doubt` is a game that this node opens about a receipt which its replay found false.
        `Defence` is one about a receipt of its own. `Games` lets all of them hear the court.
Why     A node audits, works and settles while a game goes on for hours.
Rule    A game remembers nothing that the chain does not know: after a restart it hears the court
        from the beginning, makes the same moves, and each is sent once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skerry.chain.courthouse import ARITIES, CourtLog, CourtTerms
from skerry.chain.disputes import Answerer, CourtEvent, Doubter, Ended, Opened
from skerry.chain.errors import MoveReverted
from skerry.chain.moves import Call
from skerry.chain.views import view
from skerry.messages.receipts import Receipt
from skerry.messages.signing import signed_digest
from skerry.node.courtroom import LyingAnswerer, case_of
from skerry.node.dispute import party_of
from skerry.node.market.wallet import Wallet
from skerry.node.party import Lie
from skerry.node.past import PastRun
from skerry.verify import NothingToDispute

# As in contracts/court.vy.
BOND_DOUBLINGS = 16
FALLEN = 1 << 255


@dataclass
class Doubt:
    """A game about a receipt that this node found false.

    Attributes:
        receipt: the receipt.
        doubter: decides.
        solver: who answers for it.
        clock: the seconds of thought of each side.
        over: whether nothing is left to do.
        won: whether the receipt was convicted by this game.
    """

    receipt: Receipt
    doubter: Doubter
    solver: bytes
    clock: int
    opened: bool = False
    over: bool = False
    won: bool = False

    def begin(self, wallet: Wallet) -> bool:
        """Announce the game, then open it in a later second; return whether something was sent."""
        announce = self.doubter.announce()
        (announced,) = _ask(wallet, "court", "games", self.doubter.game)
        if announced == bytes(32):
            wallet.send(announce)
            return True
        (contested,) = _ask(wallet, "court", "contested", self.doubter.case.terms.game)
        if contested >= FALLEN:
            self.over = True  # somebody else has had it convicted
            return False
        (least,), (grace,) = _ask(wallet, "court", "BOND"), _ask(wallet, "court", "GRACE")
        terms = CourtTerms(bond=least, grace=grace, arities=ARITIES)
        bond = terms.bond << min(contested, BOND_DOUBLINGS)
        try:
            wallet.send(self.doubter.open(self.solver, bond=bond, clock=terms.clock(self.clock)))
        except MoveReverted as refused:
            if refused.reason in ("convicted", "late", "fallen", "closed"):
                self.over = True
            return False
        self.opened = True
        return True


@dataclass
class Defence:
    """A game about a receipt of this node's own."""

    answerer: Answerer
    game: bytes


def _ask(wallet: Wallet, name: str, function: str, *arguments: bytes) -> tuple[Any, ...]:
    return view(wallet.rpc, wallet.manifest, name, function, *arguments)


@dataclass
class Games:
    """All games of one node.

    Attributes:
        wallet: who sends.
        log: the court's events.
        own: returns a receipt of this node's by its name, with the run that it is of, and what
            was changed in it, STEP:NODE:ELEMENT, for demonstrations; empty for an honest one.
        docket: returns what a receipt was admitted by.
    """

    wallet: Wallet
    log: CourtLog
    own: Callable[[bytes], tuple[PastRun, Receipt, str] | None]
    docket: Callable[[bytes], bytes | None]
    doubts: dict[bytes, Doubt] = field(default_factory=dict)
    defences: dict[bytes, Defence] = field(default_factory=dict)
    _heard: list[CourtEvent] = field(default_factory=list)
    _due: list[Call] = field(default_factory=list)

    def doubt(
        self,
        past: PastRun,
        receipt: Receipt,
        docket: bytes,
        solver: bytes,
        *,
        clock: int,
        salt: bytes,
    ) -> None:
        """Prepare a game about a receipt, unless there is one."""
        name = signed_digest(receipt)
        if name in self.doubts:
            return
        run = party_of(past, receipt.unit)
        case = case_of(past, receipt, run, docket)
        try:
            doubter = Doubter(case, run, self.wallet.address, salt)
        except NothingToDispute:
            return
        made = Doubt(receipt, doubter, solver, clock)
        self.doubts[name] = made
        for event in self._heard:
            self._hear_doubt(made, event)

    def step(self) -> bool:
        """Hear the court and make what is due; return whether anything was sent."""
        for heard in self.log.new():
            if heard.event is not None:
                self._heard.append(heard.event)
                self._hear(heard.event)
        sent = False
        for made in self.doubts.values():
            if not made.opened and not made.over:
                sent |= made.begin(self.wallet)
        while self._due:
            sent |= self._send(self._due.pop(0))
        now = self.wallet.now()
        sides: list[Doubter | Answerer] = [
            it.doubter for it in self.doubts.values() if it.opened and not it.over
        ]
        sides += [it.answerer for it in self.defences.values() if it.answerer.ended is None]
        for side in sides:
            late = side.timeout(now)
            sent |= late is not None and self._send(late)
        return sent

    def _send(self, call: Call) -> bool:
        try:
            self.wallet.send(call)
            return True
        except MoveReverted:
            return False  # overtaken: the next event says by what

    def _hear(self, event: CourtEvent) -> None:
        if isinstance(event, Opened) and event.solver == self.wallet.address:
            self._defend(event)
        for made in self.doubts.values():
            self._hear_doubt(made, event)
        defence = self.defences.get(event.game)
        if defence is not None:
            call = defence.answerer.hear(event)
            self._due += [] if call is None else [call]

    def _hear_doubt(self, made: Doubt, event: CourtEvent) -> None:
        if event.game != made.doubter.game:
            return
        made.opened = True
        call = made.doubter.hear(event)
        self._due += [] if call is None else [call]
        if isinstance(event, Ended):
            made.over, made.won = True, event.challenger_won

    def _defend(self, event: Opened) -> None:
        found, docket = self.own(event.core.receipt), self.docket(event.core.receipt)
        if found is None or docket is None:
            return
        past, receipt, told = found
        lie = Lie.parse(told) if told else None
        run = party_of(past, receipt.unit, lie)
        case = case_of(past, receipt, run, docket)
        side = Answerer(case, run) if lie is None else LyingAnswerer(case, run)
        self.defences[event.game] = Defence(side, event.game)

    @property
    def open(self) -> bool:
        """Whether a game is being played."""
        playing = any(not it.over for it in self.doubts.values())
        return playing or any(it.answerer.ended is None for it in self.defences.values())

    def deadlines(self) -> list[int]:
        """Return the seconds after which somebody's clock has run out."""
        stands = [it.doubter.stand for it in self.doubts.values() if not it.over]
        stands += [it.answerer.stand for it in self.defences.values() if it.answerer.ended is None]
        return [it.state.deadline + 1 for it in stands if it is not None]
