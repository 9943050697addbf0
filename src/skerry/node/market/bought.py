"""Where a run's money is looked up: a small file in the run's folder.

What    `keep_bought` writes it once a job is awarded, `bought_by` reads it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from skerry.storage import read_noted, write_file

BOUGHT_NAME = "market.json"


class Bought(msgspec.Struct, frozen=True):
    """Who paid for a run, and under which names.

    Attributes:
        home: the client's folder.
        job: the job's name on the chain, hexadecimal.
        earlier: its names before it went back to an earlier round, oldest first.
    """

    home: str
    job: str
    earlier: tuple[str, ...] = ()

    @property
    def jobs(self) -> tuple[str, ...]:
        """All its names, oldest first."""
        return (*self.earlier, self.job)


def keep_bought(run: Path, home: Path, job: bytes, earlier: tuple[str, ...] = ()) -> None:
    """Write down who paid for the run in a folder, and what it was called before."""
    write_file(run / BOUGHT_NAME, msgspec.json.encode(Bought(str(home), job.hex(), earlier)))


def bought_by(run: Path) -> Bought | None:
    """Return who paid for the run in a folder; None where nobody did."""
    path = run / BOUGHT_NAME
    if not path.is_file():
        return None
    return read_noted(Bought, path)
