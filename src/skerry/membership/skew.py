"""How far this machine's clock is from the others': what several nodes say, outvoted.

What    `clock_offset_ms` of samples, each made when a node told its clock in an answer.
Why     An announcement that is fresh for its author is expired or in the future for a node whose
        clock is wrong, and nobody but the others can tell whose clock that is.
Rule    Each sample is off by at most half its round trip. The median of one sample of each node
        cannot be moved past the honest ones by less than half of the nodes.
Source  RFC 5905 (NTP), the offset of one exchange.
Pure    Integers.
"""

from __future__ import annotations

from collections.abc import Sequence

from skerry.base.errors import NodeError
from skerry.membership.roster import SKEW_SECONDS_MAX

SAMPLES_MIN = 3


class ClockWrong(NodeError):
    """This machine's clock is so far from the others' that nothing it signs would count."""

    code = "node.clock"

    def __init__(self, seconds: int) -> None:
        way = "behind" if seconds > 0 else "ahead of"
        super().__init__(
            f"this machine's clock is {abs(seconds)} s {way} the network's, and"
            f" {SKEW_SECONDS_MAX} s are the most",
            next_step="set it (`timedatectl set-ntp true`), then run the command again",
        )


def sample_ms(*, sent: int, received: int, theirs: int) -> int:
    """Return by how many milliseconds their clock is ahead, from one exchange of words."""
    return theirs - (sent + received) // 2


def clock_offset_ms(samples: Sequence[int]) -> int | None:
    """Return by how much the others' clocks are ahead of this one; None where too few told theirs.

    Args:
        samples: milliseconds, one of each node.
    """
    if len(samples) < SAMPLES_MIN:
        return None
    return sorted(samples)[(len(samples) - 1) // 2]
