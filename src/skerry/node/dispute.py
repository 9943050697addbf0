"""The dispute walk between two processes: who reveals, and who doubts.

What    `answer_for(party, ...)` listens, tells the receipt of its own run to whoever connects, and
        answers until the walk ends. `doubt(past, address, ...)` connects, checks that receipt by
        its own run, and walks to the first step, node and element that differ.
Why     A receipt alone says that something differs; only a party that shows the roots of its own
        run can be led to where.
Rule    Moves are the messages of `messages.disputes`, judged by `verify`; silence beyond the clock
        forfeits. Replaying happens off the event loop, so that links stay alive.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from skerry.base.chance import Chance
from skerry.base.errors import PeerError
from skerry.messages.disputes import Ask, Reveal
from skerry.messages.receipts import Cost, Receipt, Unit
from skerry.messages.signing import Sign, sign
from skerry.messages.wire import MessageUnexpected, decode, decode_as, encode
from skerry.node.clocks import RealClock
from skerry.node.duties import Duty
from skerry.node.keys import load_key
from skerry.node.party import Lie, LieVanished, PartyRun
from skerry.node.past import PastRun
from skerry.node.session import SECRET_BYTES, Session, read_session, write_session
from skerry.program import OPS
from skerry.storage import read_file, write_file
from skerry.transport import Link, LinkLost, TcpTransport
from skerry.verify import (
    Challenger,
    Finding,
    Forfeit,
    NothingToDispute,
    Respondent,
    Terms,
    Verdict,
    verify,
)

Move: TypeAlias = Ask | Reveal
SESSION_NAME = "reveal.json"
_MOVE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class WalkResult:
    """How a walk ended.

    Attributes:
        receipt: the receipt that was doubted.
        verdict: what one's own run said of it.
        outcome: where the two runs part, or who gave up; None where they agree.
        moves: every message of the walk, in order.
        bytes_sent: bytes both ways, framing included.
        seconds: from the first message to the last.
    """

    receipt: Receipt
    verdict: Verdict
    outcome: Finding | Forfeit | None
    moves: Sequence[Move]
    bytes_sent: int
    seconds: float


def party_of(past: PastRun, unit: Unit, lie: Lie | None = None) -> PartyRun:
    """Return one's own run of `unit`, honest or not."""
    name = past.name_of(unit)
    return PartyRun(
        past.lanes.executable(name),
        unit,
        past.before(unit),
        past.lanes.feed,
        lie,
        past.lanes.compile,
    )


def draw_lie(past: PastRun, receipt: Receipt, chance: Chance, *, tries: int = 40) -> Lie:
    """Return a lie drawn by `chance` that a true `receipt` tells from the truth.

    Raises:
        LieVanished: none of the lies that were tried made a difference.
    """
    program = past.lanes.programs[past.name_of(receipt.unit)]
    lie = Lie(0, 0, 0)
    for turn in range(tries):
        draw = chance.fork("lie", turn)
        node = draw.fork("node").below(len(program.nodes))
        if OPS[program.nodes[node].op].family in ("source", "view"):
            continue  # a lie about arithmetic shows more than one about an index
        element = draw.fork("element").below(program.nodes[node].type.elements)
        lie = Lie(draw.fork("step").below(receipt.unit.steps), node, element)
        told = party_of(past, receipt.unit, lie).transcript
        if (told.segments, told.outputs) != (receipt.segments, receipt.outputs):
            return lie
    raise LieVanished(f"{lie}, like {tries - 1} others,")


def receipt_of_party(past: PastRun, party: PartyRun, key: bytes, by: Sign) -> Receipt:
    """Return the signed receipt of a party's own run."""
    transcript = party.transcript
    price = past.lanes.price(party.unit.program)
    return sign(
        Receipt(
            signer=key,
            unit=party.unit,
            segments=transcript.segments,
            outputs=transcript.outputs,
            cost=Cost(price.operations * party.unit.steps, price.bytes_moved * party.unit.steps),
        ),
        by,
    )


def sign_duty(past: PastRun, duty: Duty) -> Path:
    """Run a coordinator's unit again, sign its receipt and return where that is kept.

    Raises:
        NoSuchDuty: the run has no such unit.
    """
    unit, _ = past.duty(duty)
    key, by = load_key(past.folder.root / "keys" / "coordinator.key")
    receipt = receipt_of_party(past, party_of(past, unit), key, by)
    path = past.folder.receipt_path(duty.round, 0, duty.kind)
    write_file(path, encode(receipt), durable=False)
    return path


def terms_of(past: PastRun, receipt: Receipt) -> Terms:
    """Return what both parties know before the first move."""
    name = past.name_of(receipt.unit)
    return Terms(receipt, past.lanes.programs[name], past.lanes.state_names(name))


@dataclass
class Revealer:
    """Answers for a receipt: serves the roots of its own run until a walk ends.

    Attributes:
        past: the run that the unit belongs to.
        party: the own run of the unit.
        receipt: the receipt of that run.
    """

    past: PastRun
    party: PartyRun
    receipt: Receipt
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, link: Link) -> None:
        """Tell the receipt, then answer until the challenger has ended the walk or is gone."""
        respondent = Respondent(terms_of(self.past, self.receipt), self.party)
        try:
            await link.send(encode(self.receipt))
            while respondent.outcome is None:
                message = decode(await link.receive())
                if not isinstance(message, Ask):
                    raise MessageUnexpected(f"a {type(message).__name__} came in a dispute")
                respondent = await asyncio.to_thread(respondent.tell, message)
                if respondent.answer is None:
                    break
                await link.send(encode(respondent.answer))
        except PeerError:
            pass  # a challenger that breaks the rules or leaves ends its own walk
        finally:
            await link.close()
            self._ended.set()

    async def until_ended(self) -> None:
        """Wait until one walk has ended."""
        await self._ended.wait()


async def answer_for(
    past: PastRun,
    receipt: Receipt,
    lie: Lie | None,
    announce: Callable[[str, Receipt], None],
) -> None:
    """Answer for the unit of `receipt` by one's own run of it, until one walk has ended.

    Args:
        past: the run that the unit belongs to.
        receipt: names the unit.
        lie: what to change in one's own run; None to be honest.
        announce: told the address and the receipt of one's own run once it listens.

    Raises:
        LieImpossible, LieVanished: there is no such element, or changing it makes no difference.
    """
    key, by = load_key(past.folder.root / "keys" / "revealer.key")
    party = await asyncio.to_thread(party_of, past, receipt.unit, lie)
    own = receipt_of_party(past, party, key, by)
    if lie is not None and (own.segments, own.outputs) == (receipt.segments, receipt.outputs):
        raise LieVanished(str(lie))
    secret = os.urandom(SECRET_BYTES)
    transport = TcpTransport(secret)
    revealer = Revealer(past, party, own)
    address = await transport.listen(revealer.serve)
    session = Session(address, secret.hex(), os.getpid())
    write_session(past.folder.root, session, name=SESSION_NAME)
    try:
        announce(address, own)
        await revealer.until_ended()
    finally:
        await transport.close()
        (past.folder.root / SESSION_NAME).unlink(missing_ok=True)


async def doubt(
    past: PastRun,
    address: str = "",
    *,
    watch: Callable[[Move], None] = lambda move: None,
    move_seconds: float = _MOVE_SECONDS,
) -> WalkResult:
    """Check the receipt of who listens at `address` and walk to where its run parts from ours.

    Args:
        past: the run that the receipt's unit belongs to.
        address: HOST:PORT of the party; empty: the one that answers in this run's folder.
        watch: told every move.
        move_seconds: how long the party may think over one move.

    Raises:
        LinkRefused: nobody answers there.
        LinkLost: it left before it showed its receipt.
    """
    session = read_session(past.folder.root, name=SESSION_NAME)
    transport = TcpTransport(bytes.fromhex(session.secret))
    link = await transport.connect(address or session.address)
    try:
        async with asyncio.timeout(move_seconds):
            receipt = decode_as(Receipt, await link.receive())
        return await _walk(past, receipt, link, watch, move_seconds)
    finally:
        await transport.close()


async def _walk(
    past: PastRun,
    receipt: Receipt,
    link: Link,
    watch: Callable[[Move], None],
    move_seconds: float,
) -> WalkResult:
    clock = RealClock()
    began = clock.now()
    party = await asyncio.to_thread(party_of, past, receipt.unit)
    verdict = verify(receipt, lambda unit: party.transcript)
    moves: list[Move] = []

    def result(outcome: Finding | Forfeit | None) -> WalkResult:
        sent = link.counts.sent + link.counts.received
        return WalkResult(receipt, verdict, outcome, moves, sent, clock.now() - began)

    try:
        challenger = await asyncio.to_thread(Challenger.open, terms_of(past, receipt), party)
    except NothingToDispute:
        return result(None)
    while True:
        if challenger.ask is not None:
            moves.append(challenger.ask)
            watch(challenger.ask)
            try:
                await link.send(encode(challenger.ask))
            except LinkLost:
                challenger = challenger.forfeit("it left")
        if challenger.outcome is not None:
            return result(challenger.outcome)
        try:
            async with asyncio.timeout(move_seconds):
                message = decode(await link.receive())
        except (LinkLost, TimeoutError):
            challenger = challenger.forfeit("it fell silent")
            return result(challenger.outcome)
        if not isinstance(message, Reveal):
            return result(challenger.forfeit("it sent what is no move").outcome)
        moves.append(message)
        watch(message)
        challenger = await asyncio.to_thread(challenger.tell, message)


def read_receipt(path: Path) -> Receipt:
    """Return the receipt in a file."""
    return decode_as(Receipt, read_file(path))


__all__ = [
    "Move",
    "Revealer",
    "WalkResult",
    "answer_for",
    "doubt",
    "draw_lie",
    "party_of",
    "read_receipt",
    "receipt_of_party",
    "sign_duty",
    "terms_of",
]
