"""Purse: who pays for a job, and how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skerry.job import MarketSection


@dataclass(frozen=True)
class Purse:
    """Who pays for a job, and how much.

    Attributes:
        home: the folder of the client: its key, and what it has sent; None takes one beside the
            network's folder, or below the user's own.
        wish: the job's own words about money.
        told: is told in words what happens.
        patience: seconds to wait for the last settlement after the run has ended.
    """

    home: Path | None = None
    wish: MarketSection = field(default_factory=MarketSection)
    told: Callable[[str], None] = lambda words: None
    patience: float = 600.0
