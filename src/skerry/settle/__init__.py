"""Settle: where every unit of money is, and what each move does to it.

In      A state of the books, one action of one party, and the time.
Does    Escrow, stakes, leases, epochs, audits, verdicts, pay, slashing, refunds, time-outs.
Out     The state after it, or `Refused` with the reason. The contracts are held to be equal.
Never   Floats, fractions, clocks, keys, IO; never decides whether a unit was computed truly.
Start   reading at `books`, then `rules`; `actions` lists what anyone can do.
"""

from skerry.settle.books import Account, Audit, Books, Epoch, Job, Limits, Reason, Refused
from skerry.settle.rules import apply

__all__ = [
    "Account",
    "Audit",
    "Books",
    "Epoch",
    "Job",
    "Limits",
    "Reason",
    "Refused",
    "apply",
]
