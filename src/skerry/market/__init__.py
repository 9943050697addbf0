"""Market: who may work for a job, at what price and at what stake.

In      Standing offers of nodes, and what a job asks for.
Does    Matches offers to lanes, sizes stakes, and says what exactly gets signed.
Out     `Terms` and leases that an award takes as they are, or a `NoMatch` with the reason.
Never   Floats, fractions, clocks, keys; never knows what a tensor is.
Start   reading at `offers`, then `terms` and `matching`.
"""

from skerry.market.matching import Match, NoMatch, Wish, match
from skerry.market.offers import Offer, Role, SignedRecord, offer_message, record_message
from skerry.market.stakes import solver_stake
from skerry.market.terms import Lease, Terms, lease_hash

__all__ = [
    "Lease",
    "Match",
    "NoMatch",
    "Offer",
    "Role",
    "SignedRecord",
    "Terms",
    "Wish",
    "lease_hash",
    "match",
    "offer_message",
    "record_message",
    "solver_stake",
]
