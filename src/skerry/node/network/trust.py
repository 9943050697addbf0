"""Trust: whose signed records count for which rounds of a job.

What    `Trust.doubt(signed)` says why a record does not count, or None. `stays` is how many rounds
        of an earlier turn of the job are still good.
Why     A job that went back to an earlier round has rounds of two kinds: those that stay, signed by
        whoever was leased then, and those that are done again. A node that has not heard of it yet
        still tells of rounds that are spoiled.
Rule    Turn t has the fences from t * FENCES + 1 on. A record counts under a fence of this turn by
        a node that is leased now; under one of an earlier turn by a node that was leased before, if
        no turn since has done its round again.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from skerry.messages.leased import FENCES, Assignment, SignedRecord


def stays(kept: Sequence[int], turn: int) -> int:
    """Return how many rounds of turn `turn` are good in the latest one.

    Args:
        kept: rounds that stayed, each time that the job went back.
        turn: an earlier turn, from 0.
    """
    return min(kept[turn:])


@dataclass(frozen=True)
class Trust:
    """Whose records count.

    Attributes:
        signers: keys of the nodes that are leased now.
        kept: rounds that stayed, each time that the job went back.
        earlier: keys of the nodes that were leased before.
    """

    signers: Collection[bytes]
    kept: tuple[int, ...] = ()
    earlier: Collection[bytes] = ()

    @classmethod
    def of(cls, assignment: Assignment) -> Trust:
        """Return whose records count under an assignment."""
        now = [node.key for node in assignment.nodes]
        return cls(now, assignment.kept, assignment.earlier)

    @property
    def fences(self) -> range:
        """The fences of this turn, all above those of earlier ones."""
        turn = len(self.kept)
        return range(turn * FENCES + 1, (turn + 1) * FENCES + 1)

    @property
    def stays(self) -> int:
        """How many rounds stay as they were before the job last went back."""
        return self.kept[-1] if self.kept else 0

    def doubt(self, signed: SignedRecord) -> str | None:
        """Return why a signed record does not count, or None where it does."""
        turn = max(0, signed.fence - 1) // FENCES
        if turn > len(self.kept):
            return "it is of a later turn of the job"
        if turn == len(self.kept):
            return None if signed.signer in self.signers else "it is of another signer"
        if signed.record.round >= stays(self.kept, turn):
            return "it is of a round that is done again"
        return None if signed.signer in self.earlier else "it is of another signer"
