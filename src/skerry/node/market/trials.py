"""The disputes about a job, as the chain shows them: which unit, by which path, at what gas.

What    `trials_of` returns each dispute about a receipt of a job, with its moves.
Why     Who lost money in court, or watches a job of his own, wants to see the element that decided.
Rule    Everything is read from the chain; the node's copy of the run only gives the receipt's name
        a round, a lane and a Program. A game that no receipt there belongs to is another job's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.chain.courthouse import CourtLog, Heard
from skerry.chain.disputes import Ended, Opened
from skerry.messages.receipts import Receipt
from skerry.messages.signing import signed_digest
from skerry.messages.wire import decode_as
from skerry.node.court_moves import CourtMove, MoveTeller
from skerry.node.market.statements import Ledgers, open_ledgers
from skerry.program import Program, from_bytes, program_digest
from skerry.storage import RunFolder, read_file


@dataclass(frozen=True, slots=True)
class Trial:
    """One dispute.

    Attributes:
        round: round of the unit that was doubted.
        lane: its lane.
        challenger: address of who doubted.
        solver: address of who answered for the receipt.
        moves: every transaction of the game from its opening on.
        ended: whether it is over.
        challenger_won: whether the receipt was convicted.
        silent: whether a clock decided.
    """

    round: int
    lane: int
    challenger: bytes
    solver: bytes
    moves: tuple[CourtMove, ...]
    ended: bool
    challenger_won: bool
    silent: bool

    @property
    def gas(self) -> int:
        """What its transactions used together."""
        return sum(it.gas for it in self.moves)

    @property
    def place(self) -> CourtMove | None:
        """The move whose state says most exactly where the two runs part."""
        exact = [it for it in self.moves if it.element is not None]
        known = exact or [it for it in self.moves if it.step is not None]
        return known[-1] if known else None


def trials_of(home: Path, job: bytes, rpc_url: str = "") -> tuple[Trial, ...]:
    """Return the disputes about a job's receipts, in the order in which they were opened.

    Args:
        home: the folder of a node or client that has a part in the job.
        job: the job's name on the chain.
        rpc_url: another node of the chain than the one that it uses.

    Raises:
        NoMarket: the folder has no part in any market.
        ChainError: the chain cannot be asked.
    """
    ledgers = open_ledgers(home, rpc_url)
    try:
        run = Path(ledgers.orders[job].run)
        with tempfile.TemporaryDirectory() as folder:
            log = CourtLog(Path(folder) / "events", ledgers.keeper.rpc, ledgers.keeper.manifest)
            try:
                heard = log.new()
            finally:
                log.close()
        return _trials(ledgers, heard, _receipts(run), _programs(run))
    finally:
        ledgers.close()


def _trials(
    ledgers: Ledgers,
    heard: Sequence[Heard],
    receipts: Mapping[bytes, Receipt],
    programs: Mapping[bytes, Program],
) -> tuple[Trial, ...]:
    games: dict[bytes, list[Heard]] = {}
    for it in heard:
        if it.event is not None:
            games.setdefault(it.event.game, []).append(it)
    found = []
    for events in games.values():
        opened = events[0].event
        if not isinstance(opened, Opened) or opened.core.receipt not in receipts:
            continue
        unit = receipts[opened.core.receipt].unit
        names = {opened.challenger: "challenger", opened.solver: "solver"}
        teller = MoveTeller(ledgers.keeper.rpc, unit, programs[unit.program], names)
        end = next((it.event for it in events if isinstance(it.event, Ended)), None)
        found.append(
            Trial(
                round=unit.id.round,
                lane=unit.id.lane,
                challenger=opened.challenger,
                solver=opened.solver,
                moves=tuple(teller.tell(events)),
                ended=end is not None,
                challenger_won=end is not None and end.challenger_won,
                silent=end is not None and end.silent,
            )
        )
    return tuple(found)


def _receipts(run: Path) -> dict[bytes, Receipt]:
    found = [decode_as(Receipt, read_file(path)) for path in RunFolder(run).receipts()]
    return {signed_digest(it): it for it in found}


def _programs(run: Path) -> dict[bytes, Program]:
    found = [from_bytes(read_file(path)) for path in sorted((run / "programs").glob("*.skp"))]
    return {program_digest(it): it for it in found}
