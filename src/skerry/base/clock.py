"""Time as an argument: whoever needs it takes a Clock; only `node` and `cli` make a real one."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A source of monotonic time in seconds."""

    def now(self) -> float:
        """Return seconds since an arbitrary fixed moment; never goes back."""
        ...
