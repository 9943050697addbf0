"""The command `join`: one node, in this process, until it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec

from skerry.base.ids import nickname
from skerry.base.units import format_bytes
from skerry.cli import console
from skerry.messages.membership import Invite
from skerry.node.daemon.daemon import Daemon, NodeStart
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.host import Service
from skerry.node.daemon.jobs import JobService
from skerry.node.daemon.looking import find_invite, registered
from skerry.node.daemon.settings import NodeSettings, SettingsWrong, read_settings
from skerry.node.market.service import MarketService, MarketWay
from skerry.storage import read_file


def join_command(
    invite: str,
    home: Path,
    roles: Sequence[str],
    listen: Sequence[str],
    chain: str,
    *,
    as_json: bool,
) -> None:
    """Be a node until Ctrl-C or a polite kill."""
    node = NodeHome(home.expanduser())
    settings = chosen_settings(node, roles, listen, chain)
    given = find_invite(invite) if invite else None
    registry = named_registry(settings)
    daemon = Daemon(node, settings, given, registry, services=services_of(settings, given))
    if given is not None:
        daemon.registered = lambda: registered(given)
    if as_json:
        daemon.note = lambda kind, facts: console.show_json({"event": kind, **facts})
    else:
        daemon.note = show_event
    asyncio.run(_live(daemon, as_json=as_json))


def chosen_settings(
    node: NodeHome, roles: Sequence[str], listen: Sequence[str], chain: str
) -> NodeSettings:
    """Return the owner's settings, with what the command line says in their place.

    Raises:
        SettingsWrong: the file or the command line asks for what does not exist.
    """
    settings = read_settings(node.settings)
    said = {"roles": tuple(roles), "listen": tuple(listen), "chain": chain}
    words = msgspec.structs.asdict(settings) | {name: it for name, it in said.items() if it}
    try:
        return msgspec.convert(words, type=NodeSettings)
    except msgspec.ValidationError as error:
        raise SettingsWrong(node.settings, str(error)) from None


def named_registry(settings: NodeSettings) -> bytes | None:
    """Return the registry of the manifest that the owner names, for the invites of this node.

    Raises:
        StorageError: the file cannot be read.
    """
    from skerry.node.market.inspection import registry_of  # loads a chain's client

    path = settings.market.manifest
    return registry_of(read_file(Path(path).expanduser())) or None if path else None


def services_of(settings: NodeSettings, invite: Invite | None) -> list[Service]:
    """Return the parts that a node of these roles needs; a seed alone runs no jobs."""
    chain = settings.chain or (invite.chain if invite else "")
    way = MarketWay(chain, invite.registry if invite else None)
    market = MarketService(settings, way) if chain else None
    works = bool(set(settings.roles) - {"seed"})
    parts: list[Service | None] = [market, JobService(market) if works else None]
    return [it for it in parts if it is not None]


async def _live(daemon: Daemon, *, as_json: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, daemon.stop)

    def ready(start: NodeStart) -> None:
        if as_json:
            console.show_json({"event": "ready", **_facts(daemon, start)})
        else:
            show_start(daemon, start)

    await daemon.live(ready)


def _facts(daemon: Daemon, start: NodeStart) -> dict[str, object]:
    return {
        "key": start.key,
        "name": nickname(start.key),
        "address": start.address,
        "invite": start.invite,
        "home": daemon.home.root,
        "roles": daemon.settings.roles,
    }


def show_start(daemon: Daemon, start: NodeStart) -> None:
    """Print what the node is, and how others join."""
    limits = daemon.settings.limits
    memory = format_bytes(limits.memory_bytes) if limits.memory_bytes else "no limit of memory"
    rows: list[console.Row] = [
        ("node", nickname(start.key), start.key.hex()[:16]),
        ("roles", ", ".join(daemon.settings.roles), f"kept in {daemon.home.root}"),
        ("lends", f"{limits.threads} cores", memory),
        ("address", start.address or "only dials out", ""),
    ]
    if start.invite:
        rows.append(("invite", start.invite, ""))
        rows.append(("next", "skerry join INVITE", "on another machine, with that line"))
    console.show_rows(rows)


def show_event(kind: str, facts: dict[str, object]) -> None:
    """Print one event as a line: who, what, why."""
    if kind in ("up", "refused", "link lost"):
        return
    who = facts.get("node")
    name = nickname(bytes.fromhex(str(who))) if who else ""
    why = facts.get("reason") or facts.get("words") or ""
    if kind == "lending":
        kind = "lends this machine" if facts.get("allowed") else "has taken the machine back"
        name = "the owner"
    console.out.print(" ".join(str(it) for it in (name, kind, why) if it), markup=False)
    if facts.get("next"):
        console.out.print(f"next {facts['next']}", markup=False)
