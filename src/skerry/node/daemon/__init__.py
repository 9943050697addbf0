"""The daemon of a node: identity, port, roster, leases, and a worker under its owner's limits.

What    `Switchboard` answers calls by their purpose; a `Service` is a part that registers some,
        and `Host` is what it is lent.
Start   reading at `host`, then `switchboard`.
"""

from skerry.node.daemon.host import Compute, Host, Peers, Service
from skerry.node.daemon.switchboard import (
    Answer,
    Caller,
    CallRefused,
    Switchboard,
    hear,
    open_call,
    refuse,
)

__all__ = [
    "Answer",
    "CallRefused",
    "Caller",
    "Compute",
    "Host",
    "Peers",
    "Service",
    "Switchboard",
    "hear",
    "open_call",
    "refuse",
]
