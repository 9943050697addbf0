"""How a long frame is spread over several streams of one connection.

What    `stripes(length)` says which stretches of a frame go over which stripe, in order.
Why     A QUIC stream alone is held back by its window: 60 Mbit/s at 150 ms there and back, where
        eight together fill the line. Both sides compute the same plan from the length, so none
        travels.
Pure    Arithmetic.
"""

from __future__ import annotations

STRIPES = 8
STRETCH_BYTES = 1 << 18


def is_striped(length: int) -> bool:
    """Return whether a frame of that length goes over stripes; short ones go with the lengths."""
    return length > STRETCH_BYTES


def stripes(length: int) -> list[list[tuple[int, int]]]:
    """Return for each stripe in use its stretches [start, stop) of a frame of `length` bytes."""
    starts = range(0, length, STRETCH_BYTES)
    plan: list[list[tuple[int, int]]] = [[] for _ in range(min(STRIPES, len(starts)))]
    for turn, start in enumerate(starts):
        plan[turn % STRIPES].append((start, min(start + STRETCH_BYTES, length)))
    return plan
