"""What a daemon lends to the parts that live in it, and what it asks of them.

What    `Host` is the daemon as its services see it; `Service` is what a part of a node must offer
        to be started, called and stopped with it.
Why     Runs, money and gossip are built apart and are tested apart; this is all they share.
Rule    A service owns nothing of the daemon: it registers its purposes in `start`, and ends its
        own tasks in `stop`. The time of day comes from `Host.wall`, durations from `Host.clock`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skerry.base.clock import Clock
from skerry.messages.membership import Announcement
from skerry.messages.signing import Sign
from skerry.node.daemon.memory import NodeMemory
from skerry.node.daemon.policy import Verdict
from skerry.node.daemon.switchboard import Switchboard
from skerry.node.network.staff import Staff
from skerry.node.processes import Death


class Peers(Protocol):
    """Who else is there, as far as this node knows."""

    def live(self) -> tuple[Announcement, ...]:
        """Return the nodes whose announcement counts and who were not found lost, by key."""
        ...

    def find(self, key: bytes) -> Announcement | None:
        """Return the announcement of a node, or None."""
        ...

    def address(self, key: bytes) -> str:
        """Return where a node was last said to be, or ""."""
        ...

    def lost(self, key: bytes) -> bool:
        """Return whether the failure detector has given a node up."""
        ...

    def watch(self, key: bytes) -> None:
        """Keep asking a node whether it lives, often enough to notice its loss within 5 s."""
        ...

    def unwatch(self, key: bytes) -> None:
        """Stop asking."""
        ...


class Compute(Protocol):
    """Worker processes under the owner's limits."""

    @property
    def verdict(self) -> Verdict:
        """Whether the owner's policy lets this node compute now, and why not."""
        ...

    def on_change(self, told: Callable[[Verdict], None]) -> None:
        """Tell `told` whenever that changes; a no comes before any worker is ended."""
        ...

    def staff(self, folder: Path, data: Path | None, ended: Callable[[int, Death], None]) -> Staff:
        """Return the workers of one job; they run only while the owner allows it."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """A daemon, as its services see it.

    Attributes:
        home: the node's folder; a service keeps its files in a folder of its own below it.
        key: the node's public key, which is its name.
        sign: signs with that key.
        switchboard: where purposes are registered, and by which other nodes are called.
        peers: who is there.
        compute: worker processes.
        clock: monotonic seconds.
        wall: Unix time in milliseconds, with what is known of this clock's error taken off.
        memory: leases, fences and facts, which survive.
        tell: writes one event to the node's log.
        paced: takes how fast this node's workers were, in operations a second, to be announced.
        bind: says in the node's announcement which address is staked and paid for it.
    """

    home: Path
    key: bytes
    sign: Sign
    switchboard: Switchboard
    peers: Peers
    compute: Compute
    clock: Clock
    wall: Callable[[], int]
    memory: NodeMemory
    tell: Callable[[str, dict[str, object]], None]
    bind: Callable[[bytes], None] = lambda address: None
    paced: Callable[[int], None] = lambda rate: None


class Service(Protocol):
    """A part of a node."""

    async def start(self, host: Host) -> None:
        """Register purposes and begin; what it needs is in `host`."""
        ...

    async def stop(self) -> None:
        """End every task of its own."""
        ...
