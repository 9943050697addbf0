"""How a dispute on a chain ended: who won, by which moves, and where the money went."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.messages.receipts import Receipt
from skerry.node.court_moves import CourtMove
from skerry.verify import Finding


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
