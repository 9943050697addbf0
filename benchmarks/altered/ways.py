"""The ways in which a node can be altered, by name, and what of it each one changes."""

from __future__ import annotations

import os

WAY_VARIABLE = "SKERRY_ALTERED_WAY"
FROM_VARIABLE = "SKERRY_ALTERED_FROM"  # the first round whose steps are run otherwise
LIES_NAME = "lies.json"

#: What a solver's worker does instead of its unit.
WORK = (
    "one bit",
    "skipped steps",
    "stale weights",
    "wrong data slice",
    "wrong seed",
    "lower precision",
    "garbage root",
    "replayed receipt",
    "double submission",
)
#: What a party's desk does instead of its moves.
MOVES = (
    "withheld reveal",
    "copied verdict",
    "accepts everything",
    "frivolous challenge",
    "two records",
)
#: What a daemon does instead of its part.
LIFE = ("bid and vanish", "two faces", "false failure", "false finish")


def way() -> str:
    """Return how this process is altered; empty where it is not."""
    return os.environ.get(WAY_VARIABLE, "")
