"""Proofs: that a coordinator of a job said two things, and since which round.

What    `Proofs.take(contradiction)` keeps a proof; `lies(key)` says whether a node is proven to
        have contradicted itself, `since` the first round that is in doubt by it.
Why     A coordinator may tell some nodes one record and others another one. Whoever hears both, or
        a record that does not follow from the one before, holds the proof in its hand.
Rule    Two records of one signer under one fence contradict each other if they are of one round and
        differ, or if the later one does not start where the one before it ended. Proofs are kept in
        `evidence/` and passed on. Who is proven to lie is not followed any more; that costs
        nobody's stake, since the chain knows only the word of the party that records rounds there.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from skerry.base.errors import PeerError
from skerry.messages.leased import Contradiction, SignedRecord
from skerry.messages.signing import check_signature, signed_digest
from skerry.messages.wire import encode
from skerry.node.network.trust import Trust
from skerry.storage import FileDamaged, make_folder, read_kept, write_file

_SUFFIX = ".proof"


def contradicts(first: SignedRecord, second: SignedRecord) -> bool:
    """Return whether one signer cannot honestly have signed both, whoever that is."""
    one, other = first.record, second.record
    if (first.signer, first.fence, one.job) != (second.signer, second.fence, other.job):
        return False
    if one.round == other.round:
        return one != other
    return other.round == one.round + 1 and other.state_before != one.state_after


class Proofs:
    """The proofs against the coordinators of one job.

    Args:
        folder: where they are kept.
        job: the job.
        trust: whose records count.
    """

    def __init__(self, folder: Path, job: bytes, trust: Trust) -> None:
        self.folder, self._job, self._trust = folder, job, trust
        self.found: dict[bytes, Contradiction] = {}
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(PeerError, FileDamaged):  # as if it had not been shown
                self._take(read_kept(Contradiction, path))

    def lies(self, key: bytes) -> bool:
        """Return whether a node is proven to have contradicted itself."""
        return key in self.found

    @property
    def since(self) -> int | None:
        """The first round that is in doubt; None where none is."""
        rounds = (it.first.record.round for it in self.found.values())
        return min(rounds, default=None)

    def take(self, said: Contradiction) -> bool:
        """Keep a proof; return whether it is one, and the first against its signer."""
        if not self._take(said):
            return False
        make_folder(self.folder)
        name = f"{said.first.record.round:08d}-{signed_digest(said.second).hex()[:16]}{_SUFFIX}"
        write_file(self.folder / name, encode(said))
        return True

    def _take(self, said: Contradiction) -> bool:
        first, second = said.first, said.second
        if self.lies(first.signer) or not contradicts(first, second):
            return False
        if first.record.job != self._job or self._trust.doubt(first) is not None:
            return False
        try:
            check_signature(first)
            check_signature(second)
        except PeerError:
            return False
        self.found[first.signer] = said
        return True
