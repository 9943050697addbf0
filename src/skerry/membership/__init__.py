"""Membership: who is there, who is alive, who may act, and who takes over.

In      Signed messages of nodes, measured round trips, and the time as an argument.
Does    Merges announcements, tells silence from death, fences leases, elects coordinators.
Out     A `Roster` that any two nodes can join in any order, or a refusal with its reason;
        actions of a succession in the order in which they must be carried out.
Never   Clocks, sockets, files, lots; never trusts what a third party says of a node.
Start   reading at `roster`, then `succession`.
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
from skerry.membership.succession import (
    Action,
    Follow,
    Keep,
    Promise,
    Say,
    StandDown,
    Succession,
    TakeOver,
)

__all__ = [
    "SKEW_SECONDS_MAX",
    "Action",
    "AnnouncementRefused",
    "FenceOver",
    "Follow",
    "Keep",
    "LeaseBook",
    "LeaseRefused",
    "Promise",
    "Pulse",
    "Roster",
    "Say",
    "StandDown",
    "Succession",
    "TakeOver",
    "check_announcement",
    "check_lease",
    "clock_offset_ms",
    "endpoint_key",
]
