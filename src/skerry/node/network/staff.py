"""Staff: the workers of a node, as its part in a job sees them.

What    `Identity` is this node. `Staffing` makes the workers of one job; `processes` makes it of
        processes of this machine.
Why     How workers are started and limited is the owner's matter, and tests start them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from skerry.messages.signing import Sign
from skerry.node.processes import Crew, CrewTerms, Death


@dataclass(frozen=True)
class Identity:
    """This node: its key, what signs with it, and the file that holds its seed."""

    key: bytes
    sign: Sign
    key_file: Path


class Staff(Protocol):
    """Workers of this node; `processes.Crew` is one."""

    async def start(self, address: str, secret: bytes) -> None:
        """Start workers that connect to `address`, and replace those that end."""
        ...

    async def dismiss(self) -> None:
        """End all workers."""
        ...


#: Makes the workers of a job: its folder, its data, and who is told how a worker ended.
Staffing: TypeAlias = Callable[[Path, Path | None, Callable[[int, Death], None]], Staff]


def processes(terms: CrewTerms) -> Staffing:
    """Return what starts workers as processes of this machine; `terms.data` is not used."""

    def staff(folder: Path, data: Path | None, ended: Callable[[int, Death], None]) -> Staff:
        return Crew(replace(terms, data=data), folder, ended)

    return staff
