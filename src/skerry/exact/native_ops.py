"""The operations of a native plan: what lies between a Program's nodes and the steps in C.

What    `Op`: one operation on stored values. `Unsupported`: what sends a Program to torch instead.
Pure    Data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from skerry.exact import kernels as k
from skerry.exact.native_views import View

SUFFIX: Final = {k.F4: "f4", k.I8: "i8", k.B1: "b1", k.F8: "f8", k.H2: "h2"}
COPY: Final = {kind: f"copy_{suffix}" for kind, suffix in SUFFIX.items()}


@dataclass(slots=True, eq=False)
class Op:
    """One operation of a plan.

    Attributes:
        form: "each" (elementwise), "row" (a reduction of rows) or the name of a step of its own.
        name: the instruction of the tile machine, for "each" and "row".
        reads: the operands.
        writes: where the result goes; further results of a step of its own follow.
        imm: a number for the instruction: bits, shift or stream.
        numbers: what else a step of its own needs.
    """

    form: str
    name: str
    reads: tuple[View, ...]
    writes: tuple[View, ...]
    imm: int = 0
    numbers: tuple[int, ...] = field(default=())

    @property
    def out(self) -> View:
        """The first result."""
        return self.writes[0]


class Unsupported(Exception):
    """The native plan does not know this; the torch backend does. Never leaves this floor."""
