"""Pace: how fast this node's own workers did the units that they were given.

What    `Pace.took(done)` counts a lane; `rate` is counted operations a second of all so far.
Why     What a node announces of its speed should be measured, under the limits that its owner sets
        and beside whatever else its machine does, and not a data sheet's word or its owner's.
Rule    A unit's operations stand in its receipts; the time is what the worker computed, merges
        included. Less than a second says nothing.
Pure    No IO.
"""

from __future__ import annotations

from dataclasses import dataclass

from skerry.messages.rounds import LaneDone

_LEAST_MICROSECONDS = 1_000_000


@dataclass
class Pace:
    """What was done so far.

    Attributes:
        operations: counted operations.
        microseconds: of computing.
    """

    operations: int = 0
    microseconds: int = 0

    def took(self, done: LaneDone) -> None:
        """Count a lane that a worker of this node has done."""
        self.operations += sum(it.cost.operations * it.unit.steps for it in done.receipts)
        self.microseconds += done.spent.compute

    @property
    def rate(self) -> int:
        """Operations a second; 0 where too little was done to tell."""
        if self.microseconds < _LEAST_MICROSECONDS:
            return 0
        return self.operations * 1_000_000 // self.microseconds
