"""The real clock, the only one in this house."""

from __future__ import annotations

import time


class RealClock:
    """Monotonic time of this machine."""

    def now(self) -> float:
        """Return seconds since an arbitrary fixed moment."""
        return time.monotonic()

    def milliseconds(self) -> int:
        """Return the same in whole milliseconds."""
        return time.monotonic_ns() // 1_000_000


def wall_seconds() -> int:
    """Return the seconds of Unix time, as this machine's clock has them."""
    return int(time.time())


class Stopwatch:
    """Adds up seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._on = ""
        self._since = time.perf_counter()

    def turn(self, to: str) -> None:
        """Charge the time since the last turn to what was on, and go on with `to`."""
        now = time.perf_counter()
        if self._on:
            self.seconds[self._on] = self.seconds.get(self._on, 0.0) + now - self._since
        self._on, self._since = to, now

    def microseconds(self, what: str) -> int:
        """Return what was charged to `what`."""
        return int(self.seconds.get(what, 0.0) * 1e6)
