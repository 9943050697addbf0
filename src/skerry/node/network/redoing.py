"""Redoing: how a paid run goes back to the last good round and is hired for again.

What    `Rollback` is what the run's folder says of it; `turn_back` brings the folder there.
Why     A convicted unit's false work is in every state after it, and who pays wants the bits of an
        honest run.
Rule    What is decided is written down first, the assignment goes last: a client that was killed
        anywhere between finds out by the same command how far it came. What the spoiled award paid
        for stays in spoiled/NAME, since its bill is made of it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from skerry.base.errors import NodeError
from skerry.messages.leased import Assignment
from skerry.messages.rounds import RunConfig
from skerry.node.market.spoiled import Spoiled
from skerry.node.network.submitter import FIRST, Turn
from skerry.storage import RunFolder, copy_rounds, cut_rounds, read_noted, write_file

ROLLBACK_NAME = "rollback.json"
REDO_MAX = 8


class NotRedone(NodeError):
    """A run went back to an earlier round, and nobody can be hired to do the rest again."""

    code = "node.redo"

    def __init__(self, kept: int, why: str) -> None:
        super().__init__(
            f"the run went back to its first {kept} rounds and cannot go on: {why}"[:900],
            next_step="its last good state is kept: run the same command when more nodes offer",
        )


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a run went back.

    Attributes:
        kept: rounds that stayed, each time.
        earlier: keys of the nodes that were leased before, hexadecimal, ascending.
        shunned: addresses of convicted solvers, hexadecimal, ascending.
        awards: the job's names on the chain before, hexadecimal, oldest first.
        whole: whether all updates of the rounds that stay are here, for whoever lacks them.
    """

    kept: tuple[int, ...] = ()
    earlier: tuple[str, ...] = ()
    shunned: tuple[str, ...] = ()
    awards: tuple[str, ...] = ()
    whole: bool = False

    def after(self, before: Assignment, found: Spoiled, spoiled: int) -> Rollback:
        """Return how the run goes back once more, from the turn of an assignment.

        Args:
            before: the assignment.
            found: who was convicted.
            spoiled: the first false round.
        """
        assert before.awarded is not None, "nobody is convicted where nobody is paid"
        nodes = (*before.earlier, *(node.key for node in before.nodes))
        award = before.awarded.job.hex()
        return Rollback(
            (*before.kept, kept_for(before.config, spoiled)),
            tuple(sorted({it.hex() for it in nodes})),
            tuple(sorted({*self.shunned, *(it.hex() for it in found.convicted)})),
            (*(it for it in self.awards if it != award), award),
        )

    def turn(self, kept: int) -> Turn:
        """Return the turn that follows, in which the first `kept` rounds stay."""
        if not self.kept:
            return FIRST
        return Turn((*self.kept[:-1], kept), tuple(map(bytes.fromhex, self.earlier)))

    @property
    def stays(self) -> int:
        """The rounds that stay."""
        return self.kept[-1] if self.kept else 0


def kept_for(config: RunConfig, spoiled: int) -> int:
    """Return how many rounds stay where round `spoiled` is the first that is done again.

    Of an exchange at every step only the updates since a checkpoint are kept anywhere.
    """
    if config.exchange == "local":
        return spoiled
    return (
        0 if config.save_limit or not config.save_rounds else spoiled - spoiled % config.save_rounds
    )


def rollback_of(run: Path) -> Rollback:
    """Return how the run in a folder went back."""
    path = run / ROLLBACK_NAME
    return read_noted(Rollback, path) if path.is_file() else Rollback()


def keep_rollback(run: Path, noted: Rollback) -> None:
    """Write down how the run in a folder goes back."""
    write_file(run / ROLLBACK_NAME, msgspec.json.encode(noted))


def aside(run: Path, award: str) -> Path:
    """Return where the run of a spoiled award is kept."""
    return run / "spoiled" / award[:16]


def set_aside(folder: RunFolder, before: Assignment, award: str) -> Path:
    """Keep a copy of a run for the bills of an award, and return where."""
    place = aside(folder.root, award)
    copy_rounds(folder.root, place, before.config.rounds, blobs=False)
    return place


def cut_back(folder: RunFolder, kept: int) -> None:
    """Bring a run's folder back to its first `kept` rounds, its assignment last."""
    folder.lock()
    try:
        cut_rounds(folder.root, kept)
        for name in ("closed", "assignment"):
            with suppress(FileNotFoundError):
                (folder.root / name).unlink()
    finally:
        folder.unlock()
