"""The commands `nodes` and `key`: who is there, and who this node is."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from skerry.base.ids import nickname, short
from skerry.base.units import format_bytes, format_count, format_seconds
from skerry.cli import console
from skerry.messages.membership import Invite, invite_text
from skerry.node.daemon.home import NodeAbsent, NodeHome
from skerry.node.daemon.looking import NodeSight, find_invite, look, stranger
from skerry.storage import read_file

COLUMNS = ("node", "key", "roles", "paid as", "lends", "speed", "heard", "answers", "address")


def nodes_command(network: str, *, as_json: bool) -> None:
    """Show every node that the network's seeds know, and whether it answers now."""
    invite = find_invite(network)
    sights = asyncio.run(_look(invite))
    if as_json:
        console.show_json({"invite": invite_text(invite), "nodes": sights})
        return
    console.show_table(COLUMNS, [node_row(it, int(time.time())) for it in sights])
    up = sum(1 for it in sights if not it.trouble)
    console.out.print(f"{len(sights)} nodes known, {up} answer")


async def _look(invite: Invite) -> list[NodeSight]:
    transport = stranger()
    try:
        return await look(transport, invite)
    finally:
        await transport.close()


def node_row(sight: NodeSight, now: int) -> tuple[str, ...]:
    """Return one node as a row of the table."""
    it = sight.announcement
    lends = f"{it.capability.cores} cores, {format_bytes(it.capability.memory_bytes)}"
    speed = f"{format_count(it.capability.rate)}op/s" if it.capability.rate else "?"
    trip = sight.round_trip_ms
    answers = sight.trouble.splitlines()[0][:40] if trip is None else f"{trip:.1f} ms"
    where = it.endpoints[0].partition("@")[2].partition(",")[0] if it.endpoints else ""
    return (
        nickname(it.signer),
        short(it.signer),
        " ".join(it.roles),
        f"0x{it.chain_address.hex()[:8]}" if it.chain_address else "",
        lends,
        speed,
        f"{format_seconds(max(now - it.issued, 0))} ago",
        answers,
        where,
    )


def key_export_command(home: Path) -> None:
    """Print the seed of a node's key."""
    node = NodeHome(home.expanduser())
    print(node.export_key(), flush=True)
    console.notes.print("whoever has these 64 digits is this node: keep them off the network")


def key_import_command(file: Path, home: Path) -> None:
    """Write an exported seed into a folder without a key."""
    node = NodeHome(home.expanduser())
    key = node.import_key(read_file(file).decode(errors="replace"))
    console.show_rows([("node", nickname(key), key.hex()), ("kept", str(node.key_file), "0600")])


def key_show_command(home: Path, *, as_json: bool) -> None:
    """Show a node's public key."""
    node = NodeHome(home.expanduser())
    if not node.key_file.exists():
        raise NodeAbsent(node.root)
    key, _ = node.key()
    if as_json:
        console.show_json({"key": key, "name": nickname(key)})
    else:
        console.show_rows([("node", nickname(key), ""), ("key", key.hex(), "")])
