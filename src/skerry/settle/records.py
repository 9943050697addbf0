"""What a round came to, as the chain can open it: one digest, and a lane of it with its proof.

What    `RoundEntry` is the record of a round in the chain's words; `lane_leaf` is one lane of it;
        `Evidence` proves a lane, and one receipt in it, under an epoch's root.
Why     Payment, dispute and objection all speak of one lane of one round, and must not cost more
        when there are more of either.
Rule    A lane's leaf holds the root over its receipts, the lease that ran it, and how many units
        of that lease were accepted up to and with this one. A dropped lane's leaf is EMPTY.
        epoch root > record of a round > lane > receipt, each a Merkle tree of base.digests.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.base.digests import digest, merkle_check, merkle_levels, merkle_path, word


@dataclass(frozen=True, slots=True)
class RoundEntry:
    """The record of one round: from which state, by which lanes, into which state."""

    state_before: bytes
    lanes: bytes
    state_after: bytes

    def digest(self, job: bytes, epoch: int, at: int) -> bytes:
        """Return the name of this record as that of round `at`, which a coordinator signs."""
        place = (job, word(epoch), word(at))
        return digest("round", *place, self.state_before, self.lanes, self.state_after)


def lane_leaf(receipts: bytes, node: int, units: int) -> bytes:
    """Return the leaf of a lane that lease `node` ran as its unit number `units`, from 1."""
    return digest("lane", receipts, word(node), word(units))


@dataclass(frozen=True, slots=True)
class Evidence:
    """One receipt of one lane of one round, with its path to the epoch's root.

    Attributes:
        round: the round.
        entry: its record.
        path: from the record to the epoch's root.
        lane: the lane.
        receipts: root over the lane's receipts.
        node: the lease that ran it.
        units: units of that lease up to and with this one.
        lane_path: from the lane to the record's root over lanes.
        receipt: the receipt.
        place: its place among the lane's receipts.
        receipt_path: from the receipt to the lane's root over receipts.
    """

    round: int
    entry: RoundEntry
    path: tuple[bytes, ...]
    lane: int
    receipts: bytes
    node: int
    units: int
    lane_path: tuple[bytes, ...]
    receipt: bytes
    place: int
    receipt_path: tuple[bytes, ...]


def proves(it: Evidence, job: bytes, epoch: int, *, root: bytes, rounds: range, lanes: int) -> bool:
    """Return whether evidence stands under the root of an epoch of `rounds`."""
    if it.round not in rounds:
        return False
    name = it.entry.digest(job, epoch, it.round)
    if not merkle_check(root, name, it.round - rounds.start, len(rounds), it.path):
        return False
    leaf = lane_leaf(it.receipts, it.node, it.units)
    if not merkle_check(it.entry.lanes, leaf, it.lane, lanes, it.lane_path):
        return False
    width = 1 << len(it.receipt_path)
    return merkle_check(it.receipts, it.receipt, it.place, width, it.receipt_path)


def path_in(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path of one leaf."""
    return merkle_path(merkle_levels(leaves), index)
