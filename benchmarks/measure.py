"""How things are timed here: in turn, by medians, on a machine that others share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Note = Callable[[str], None]


def in_turn(
    actions: Mapping[str, Callable[[], object]], *, seconds: float, rounds_min: int = 3
) -> dict[str, list[float]]:
    """Time each action once a round, in turn, until `seconds` have passed; one warm-up round.

    Running them A B C A B C makes a ratio within one round hold when the machine's speed drifts.
    """
    for action in actions.values():
        action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(next(iter(taken.values()))) < rounds_min:
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            taken[name].append(time.perf_counter() - start)
    return taken


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median over rounds of above / below."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def median_ms(taken: Sequence[float]) -> float:
    """Return the median in milliseconds."""
    return statistics.median(taken) * 1e3
