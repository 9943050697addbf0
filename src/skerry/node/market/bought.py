"""Where a run's money is looked up: a small file in the run's folder.

What    `keep_bought` writes it once a job is awarded, `bought_by` reads it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from skerry.storage import read_file, write_file

BOUGHT_NAME = "market.json"


class Bought(msgspec.Struct, frozen=True):
    """The client's folder, and the job's name on the chain in hexadecimal."""

    home: str
    job: str


def keep_bought(run: Path, home: Path, job: bytes) -> None:
    """Write down who paid for the run in a folder."""
    write_file(run / BOUGHT_NAME, msgspec.json.encode(Bought(str(home), job.hex())))


def bought_by(run: Path) -> Bought | None:
    """Return who paid for the run in a folder; None where nobody did."""
    path = run / BOUGHT_NAME
    if not path.is_file():
        return None
    return msgspec.json.decode(read_file(path), type=Bought)
