"""The owner's settings: what a node offers, where it listens, and how much it may take.

What    `read_settings(path)` reads node.toml into `NodeSettings`; what is not said has a default.
Why     One small file in the words of its owner; a misspelled key must not silently lift a limit.
Rule    Unknown keys are refused, and each value is checked with the name under which it stands.
Units   GiB, Mbit/s, minutes and hours as the keys say; `limits` and `policy` turn them into bytes
        and seconds.

        roles = ["solver", "verifier"]
        listen = ["127.0.0.1:4100"]
        [limits]
        memory_gib = 4.0
        cores = 2
        [policy]
        idle_minutes = 10
        hours = ["22:00-06:30"]
        [market]
        price = 100
        deposit = 1000000
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from skerry.base.errors import NodeError
from skerry.messages.membership import SEEDS_MAX, RoleName
from skerry.node.daemon.policy import OwnerPolicy, parse_span
from skerry.storage import read_file

_GIB = 1 << 30
_Positive = Annotated[float, Meta(gt=0, le=1e6)]
_Amount = Annotated[int, Meta(ge=0, le=1 << 62)]
_Some = Annotated[float, Meta(ge=0, le=1e6)]


class SettingsWrong(NodeError):
    """A settings file cannot be read, or asks for what does not exist."""

    code = "node.settings"

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"the settings in {path} cannot be used: {why}",
            next_step=f"correct {path}; docs/reference/node.md has every key",
        )


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What this node's workers may take of the machine.

    Attributes:
        memory_gib: memory of a worker; 0 sets no limit.
        cores: cores of a worker, which stays on them; 0 takes all that this process may use.
        share: of how many nodes on this machine this is one: the threads are divided by it.
        nice: how far workers stand back behind other programs, 0 to 19.
        upload_mbit: bandwidth that goes out, Mbit/s; 0 sets no limit.
        download_mbit: bandwidth that comes in, Mbit/s; 0 sets no limit.
    """

    memory_gib: _Some = 0.0
    cores: Annotated[int, Meta(ge=0, le=4096)] = 0
    share: Annotated[int, Meta(ge=1, le=4096)] = 1
    nice: Annotated[int, Meta(ge=0, le=19)] = 10
    upload_mbit: _Some = 0.0
    download_mbit: _Some = 0.0

    @property
    def memory_bytes(self) -> int:
        """Memory of a worker in bytes; 0 sets no limit."""
        return int(self.memory_gib * _GIB)

    @property
    def threads(self) -> int:
        """Compute threads of a worker."""
        here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        lent = min(self.cores, here or 1) if self.cores else here or 1
        return max(1, lent // self.share)

    @property
    def upload(self) -> float | None:
        """Bytes a second that may go out, or None."""
        return self.upload_mbit * 125_000 or None

    @property
    def download(self) -> float | None:
        """Bytes a second that may come in, or None."""
        return self.download_mbit * 125_000 or None


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When this node may compute.

    Attributes:
        idle_minutes: only after nobody has touched the machine for so long; 0 asks for no calm.
        hours: only within these spans of the local day, such as "22:00-06:30"; none allow all.
        on_battery: also while the machine runs on its battery.
        hours_a_day: at most so many hours of computing in one local day; 0 sets no limit.
        memory_free_gib: only while so much memory is left to the owner.
        paused: not at all, until this is false again.
    """

    idle_minutes: _Some = 0.0
    hours: tuple[str, ...] = ()
    on_battery: bool = False
    hours_a_day: Annotated[float, Meta(ge=0, le=24)] = 0.0
    memory_free_gib: _Some = 0.0
    paused: bool = False

    def __post_init__(self) -> None:
        """Refuse hours that are none."""
        for span in self.hours:
            parse_span(span)

    def policy(self) -> OwnerPolicy:
        """Return the policy in seconds and bytes."""
        return OwnerPolicy(
            idle_seconds=int(self.idle_minutes * 60),
            hours=tuple(parse_span(span) for span in self.hours),
            on_battery=self.on_battery,
            day_seconds=int(self.hours_a_day * 3600),
            memory_free_bytes=int(self.memory_free_gib * _GIB),
            paused=self.paused,
        )


class MarketSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What this node asks for its work, and what it stakes; in the token's smallest unit.

    Attributes:
        price: least pay of a unit, as a solver.
        price_audit: least pay of an audited epoch, as a verifier.
        price_record: least pay of a recorded round, as a verifier that coordinates.
        deposit: what all of its money in the vault comes to at a start.
        stake: most that one job may lock; 0 takes the whole deposit.
        lanes: most lanes of one job.
        manifest: a file that says where the contracts are; empty asks the other nodes.
        faucet: whether it gives itself coins and tokens, as only a local chain allows.
        listed: whether the chain's registry says where it can be called, to all and for good.
    """

    price: _Amount = 100
    price_audit: _Amount = 1_000
    price_record: _Amount = 10
    deposit: _Amount = 1_000_000
    stake: _Amount = 0
    lanes: Annotated[int, Meta(ge=1, le=4096)] = 8
    manifest: str = ""
    faucet: bool = False
    listed: bool = False


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an owner may set.

    Attributes:
        roles: what the node offers to be.
        listen: sockets to listen on, "ip:port"; none take free ports of the loopback interface.
        announce: where others reach it, "ip:port", where that is not where it listens.
        dial_only: whether the node takes no calls, because none reach it.
        seeds: addresses of nodes to call first, besides those of the invite.
        chain: URL of the chain's node; empty where there is none.
        limits: what workers may take.
        policy: when they may run.
        market: what it asks for its work, and what it stakes.
    """

    roles: Annotated[tuple[RoleName, ...], Meta(min_length=1, max_length=3)] = ("solver",)
    listen: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    announce: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    dial_only: bool = False
    seeds: Annotated[tuple[str, ...], Meta(max_length=SEEDS_MAX)] = ()
    chain: str = ""
    limits: Limits = Limits()
    policy: PolicySettings = PolicySettings()
    market: MarketSettings = MarketSettings()


def read_settings(path: Path) -> NodeSettings:
    """Return the settings in `path`; of an absent file the defaults.

    Raises:
        SettingsWrong: the file is no TOML, or a key or value of it will not do.
        StorageError: it cannot be read.
    """
    if not path.exists():
        return NodeSettings()
    try:
        words = tomllib.loads(read_file(path).decode())
        return msgspec.convert(words, type=NodeSettings)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsWrong(path, str(error)) from None
