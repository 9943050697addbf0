"""Ends: which word that a job is over is believed.

What    `doubt(closed, here)` says why such a word cannot be true, `end_of(said, here)` which one
        ends the job. `Ends` keeps the latest word of each leased node, `Quiet` which of them have
        not been heard since the first.
Why     Whoever coordinates may lie, and a run that stops at a liar's word costs all the others
        their work.
Rule    "finished" counts when all rounds are here and lead to the state that it names. That the job
        failed, crashes or is in conflict counts when a second leased node, which coordinated after
        the first, says the same at the same round, or when all that are not silent say that it is
        over. Nobody can ask a job on a network to stop, so "asked" never counts. Whoever said that
        the job is over coordinates no more under that fence, true or not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from skerry.base.errors import PeerError
from skerry.messages.leased import COMMITTED_BYTES_MAX, Chair, Closed
from skerry.messages.signing import check_signature
from skerry.messages.wire import encode
from skerry.node.network.trust import Trust
from skerry.storage import FileDamaged, make_folder, read_kept, write_file

SILENT_SECONDS = 15.0
_SUFFIX = ".end"


class EndRefused(PeerError):
    """What was sent as the end of a job is not one of this job, or nobody's word."""

    code = "peer.end"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the end of a job was refused: {reason}", next_step="follow another coordinator"
        )


@dataclass(frozen=True)
class Here:
    """What a node knows of a job when it is told that it is over.

    Attributes:
        rounds: how many rounds the job has.
        committed: how many of them are committed here.
        leased: keys of the leased nodes.
        state_after: the root of the state after so many rounds, where it is known.
        state: blob of the state after all of them, where this node's own worker stored it.
        silent: keys of leased nodes that were not heard for a while.
    """

    rounds: int
    committed: int
    leased: Collection[bytes]
    state_after: Callable[[int], bytes | None] = lambda rounds: None
    state: bytes | None = None
    silent: Collection[bytes] = ()


def doubt(closed: Closed, here: Here) -> str | None:
    """Return why a word that the job is over cannot be true, or None where it may be."""
    if closed.kind == "asked":
        return "nobody can ask a job on a network to stop"
    if closed.rounds != here.committed:
        return f"it is about round {closed.rounds}, and {here.committed} is due"
    if closed.kind == "finished":
        if here.committed < here.rounds:
            return f"{here.rounds - here.committed} rounds of the job are not done"
        if closed.state is None:
            return "it names no state"
        if closed.round != here.rounds or closed.root != here.state_after(here.rounds):
            return "it names another state than the last record"
        if here.state is not None and closed.state != here.state:
            return "it names another state than this node came to"
    known = here.state_after(closed.round)
    if known is not None and closed.root != known:
        return "it names another state than the record of its round"
    return None


def end_of(said: Iterable[Closed], here: Here) -> Closed | None:
    """Return which of these words, one of each signer, ends the job; None where it goes on."""
    sound = sorted(
        (it for it in said if it.signer in here.leased and doubt(it, here) is None),
        key=lambda it: it.fence,
    )
    for it in sound:
        if it.kind == "finished":
            return it
    for it in sound:
        if sum(other.kind == it.kind for other in sound) > 1:
            return it
    left = set(here.leased) - set(here.silent) - {it.signer for it in sound}
    return sound[0] if sound and not left else None


class Ends:
    """The latest word of each leased node that a job is over.

    Args:
        folder: where they are kept.
        job: the job.
        trust: whose word counts.
    """

    def __init__(self, folder: Path, job: bytes, trust: Trust) -> None:
        self.folder, self._job, self._trust = folder, job, trust
        self._said: dict[bytes, Closed] = {}
        self.refused: set[bytes] = set()
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(PeerError, FileDamaged):  # as if it had not been said
                self._take(read_kept(Closed, path, bytes_max=COMMITTED_BYTES_MAX))

    @property
    def said(self) -> list[Closed]:
        """The words that may count, ascending by fence."""
        counting = (it for key, it in self._said.items() if key not in self.refused)
        return sorted(counting, key=lambda it: it.fence)

    def of(self, key: bytes, rounds: int) -> bool:
        """Return whether a node said that the job is over after so many rounds."""
        return key in self._said and self._said[key].rounds == rounds

    def left(self, chair: Chair) -> bool:
        """Return whether who coordinated under a fence has said that the job is over."""
        said = self._said.get(chair.node)
        return said is not None and chair.fence <= said.fence

    def take(self, closed: Closed) -> bool:
        """Keep a word; return whether it is news.

        Raises:
            EndRefused: it is of another job, or an earlier turn, or of no leased node.
            SignatureWrong: its signer did not sign it.
        """
        if not self._take(closed):
            return False
        make_folder(self.folder)
        write_file(self.folder / f"{closed.signer.hex()[:16]}{_SUFFIX}", encode(closed))
        return True

    def refuse(self, closed: Closed) -> None:
        """Believe its signer no more, since what it named is not there or is not what it says."""
        self.refused.add(closed.signer)

    def _take(self, closed: Closed) -> bool:
        if closed.job != self._job or closed.fence not in self._trust.fences:
            raise EndRefused("the job that ended is another, or an earlier turn of it")
        if closed.signer not in self._trust.signers:
            raise EndRefused("its signer has no lease")
        before = self._said.get(closed.signer)
        if before is not None and before.fence >= closed.fence:
            return False
        check_signature(closed)
        self._said[closed.signer] = closed
        return True


@dataclass
class Quiet:
    """When each of the other leased nodes was heard last; times are seconds of one clock.

    Attributes:
        keys: the nodes.
        heard: when each was heard last.
    """

    keys: tuple[bytes, ...]
    heard: dict[bytes, float] = field(default_factory=dict)
    _ending: tuple[int, float] | None = None  # the round at which the job ends, told since when

    def hear(self, key: bytes, now: float) -> None:
        """Take note that a node said something."""
        self.heard[key] = now

    def seconds(self, now: float) -> float | None:
        """Return for how long none of them was heard; None where none ever was."""
        last = max((at for key, at in self.heard.items() if key in self.keys), default=None)
        return None if last is None else now - last

    def silent(self, ending: int | None, now: float) -> frozenset[bytes]:
        """Return who was not heard for a while, since it was said that the job ends.

        Args:
            ending: the round at which somebody said so; None where nobody did.
            now: the time.
        """
        if ending is None or self._ending is None or self._ending[0] != ending:
            self._ending = None if ending is None else (ending, now)
            return frozenset()
        before = now - SILENT_SECONDS
        if self._ending[1] > before:
            return frozenset()
        return frozenset(key for key in self.keys if self.heard.get(key, before) <= before)
