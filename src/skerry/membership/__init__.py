"""Membership: who is there, who is alive, and who may act.

In      Signed messages of nodes, measured round trips, and the time as an argument.
Does    Merges announcements, tells silence from death, fences leases.
Out     A `Roster` that any two nodes can join in any order, or a refusal with its reason.
Never   Clocks, sockets, files, lots; never trusts what a third party says of a node.
Start   reading at `roster`, then `leases`.
"""

from skerry.membership.detector import Pulse
from skerry.membership.leases import FenceOver, LeaseBook, LeaseRefused, check_lease
from skerry.membership.roster import (
    SKEW_SECONDS_MAX,
    AnnouncementRefused,
    Roster,
    check_announcement,
    endpoint_key,
)
from skerry.membership.skew import clock_offset_ms

__all__ = [
    "SKEW_SECONDS_MAX",
    "AnnouncementRefused",
    "FenceOver",
    "LeaseBook",
    "LeaseRefused",
    "Pulse",
    "Roster",
    "check_announcement",
    "check_lease",
    "clock_offset_ms",
    "endpoint_key",
]
