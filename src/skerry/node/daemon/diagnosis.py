"""What stands between this machine and a network, each with the next command.

What    `examine(home, invite)` tries the folder, key, settings, memory, disk, port, seeds, clock
        and chain, and returns one `Finding` for each.
Why     A node that does not come up says one thing; whoever repairs it wants to know all of them,
        and that the money and the state are where they were.
Rule    Nothing is changed: no key is made, no port is kept, what is written to see whether the disk
        takes it is deleted, and nobody hears of this machine but
        the seeds that are asked. Each finding is an error that a node would raise, caught.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skerry.base.errors import NodeError, PeerError, SkerryError
from skerry.base.units import format_bytes
from skerry.chain.rpc import Rpc
from skerry.membership import SKEW_SECONDS_MAX
from skerry.membership.skew import ClockWrong
from skerry.messages.membership import Invite
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.looking import look, reachable, stranger
from skerry.node.daemon.memory import NodeMemory
from skerry.node.daemon.settings import read_settings
from skerry.node.daemon.switchboard import open_call
from skerry.node.market.carriage import ask_manifest
from skerry.node.market.inspection import look_at_contracts, look_at_files, look_at_money
from skerry.node.market.stall import MANIFEST_NAME
from skerry.node.network.mending import probe
from skerry.node.network.soundness import look_at_job
from skerry.storage import read_file
from skerry.transport import Link
from skerry.transport.iroh_transport import LOOPBACK, IrohTransport

_DISK_LEAST = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Attributes:
        what: what was tried.
        fine: whether it is as it should be.
        words: what was found.
        next_step: what to do where it is not.
        code: the error that a node would raise.
    """

    what: str
    fine: bool
    words: str
    next_step: str = ""
    code: str = ""


async def examine(home: NodeHome, invite: Invite | None, chain: str = "") -> list[Finding]:
    """Return what was found, in the order in which a node would meet it."""
    running = home.presence()
    findings = [
        _tried("folder", lambda: _folder(home.root)),
        _tried("settings", lambda: _settings(home)),
        _tried("key", lambda: _key(home)),
        _tried("memory", lambda: _memory(home, running=running is not None)),
    ]
    findings += [_tried("job", partial(look_at_job, it)) for it in home.jobs()]
    if running is not None:
        findings.append(Finding("port", True, f"process {running.pid} answers {running.address}"))
    else:
        findings.append(await _awaited("port", lambda: _port(home)))
    if invite is not None:
        findings += await _network(invite)
        chain = chain or invite.chain
    if chain:
        findings.append(_tried("chain", lambda: _chain(chain)))
    if chain and findings[-1].fine:
        reached = all(it.fine for it in findings if it.what == "network")
        findings += await _market(home, invite, chain, reached=reached)
    return findings


def _tried(what: str, trial: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, trial())
    except SkerryError as error:
        return Finding(what, False, error.message, error.next_step, error.code)


async def _awaited(what: str, trial: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(what, True, await trial())
    except SkerryError as error:
        return Finding(what, False, error.message, error.next_step, error.code)


class DiskLow(NodeError):
    """The disk under a node's folder is nearly full."""

    code = "node.disk"

    def __init__(self, path: Path, free: int) -> None:
        super().__init__(
            f"only {format_bytes(free)} are free under {path}",
            next_step=f"free some space: df -h {path}",
        )


def _folder(root: Path) -> str:
    there = next(it for it in (root, *root.absolute().parents) if it.exists())
    free = shutil.disk_usage(there).free
    if free < _DISK_LEAST:
        raise DiskLow(there, free)
    if root.exists():
        probe(root)
    return f"{root}, {format_bytes(free)} free"


def _settings(home: NodeHome) -> str:
    settings = read_settings(home.settings)
    kept = "" if home.settings.exists() else ", by default"
    return f"{', '.join(settings.roles)}; {settings.limits.threads} threads{kept}"


def _key(home: NodeHome) -> str:
    if not home.key_file.exists():
        return "none yet; it is made when the node first starts"
    key, _ = home.key()
    return f"{key.hex()[:16]}…, mode {home.key_mode or 0:o}"


def _memory(home: NodeHome, *, running: bool) -> str:
    if not home.memory.exists():
        return "none yet"
    if running:
        return "in use by the node that runs"
    memory = NodeMemory(home.memory)
    try:
        leases = len(memory.leases(b"").holdings)
        return f"sound; {len(memory.peers())} nodes known, {leases} leases"
    finally:
        memory.close()


async def _port(home: NodeHome) -> str:
    settings = read_settings(home.settings)
    if settings.dial_only:
        return "none: the node only dials out"
    transport = IrohTransport(bytes(31) + b"\x01", binds=settings.listen or LOOPBACK)

    async def nobody(link: Link) -> None:
        await link.close()

    try:
        await transport.listen(nobody)
    finally:
        await transport.close()
    return ", ".join(settings.listen) or "any free port of the loopback interface"


async def _network(invite: Invite) -> list[Finding]:
    transport = stranger()
    try:
        sights = await look(transport, invite)
    except SkerryError as error:
        return [Finding("network", False, error.message, error.next_step, error.code)]
    finally:
        await transport.close()
    up = [it for it in sights if not it.trouble]
    findings = [Finding("network", True, f"{len(sights)} nodes known, {len(up)} answer")]
    findings += [
        Finding("node", False, f"{it.announcement.signer.hex()[:8]}: {it.trouble}")
        for it in sights
        if it.trouble and it.announcement.endpoints
    ]
    ahead = sorted(it.clock_ms for it in up if it.clock_ms is not None)
    if ahead:
        seconds = ahead[len(ahead) // 2] // 1000
        if abs(seconds) > SKEW_SECONDS_MAX:
            wrong = ClockWrong(seconds)
            findings.append(Finding("clock", False, wrong.message, wrong.next_step, wrong.code))
        else:
            findings.append(Finding("clock", True, f"within {abs(seconds) + 1} s of the network's"))
    return findings


async def _market(
    home: NodeHome, invite: Invite | None, chain: str, *, reached: bool
) -> list[Finding]:
    """Look at the contracts that a node would use here, and at its money."""
    manifest = await asyncio.to_thread(_kept_manifest, home) or await _asked_manifest(invite)
    if not manifest and not reached:
        return []  # why nobody could be asked was said
    if not manifest:
        words, step = "no node says where the contracts are", "start the seed of the network again"
        return [Finding("contracts", False, words, step, "node.contracts")]
    registry = invite.registry if invite else None
    findings = [_tried("contracts", lambda: look_at_contracts(chain, manifest, registry))]
    folder = home.root / "market"
    if folder.exists():
        findings.append(_tried("books", lambda: look_at_files(folder)))
    if findings[0].fine and home.root.exists():
        deposit = _deposit(home)
        findings.append(_tried("stake", lambda: look_at_money(chain, manifest, folder, deposit)))
    return findings


def _kept_manifest(home: NodeHome) -> bytes:
    path = home.root / "market" / MANIFEST_NAME
    return read_file(path) if path.is_file() else b""


def _deposit(home: NodeHome) -> int:
    try:
        return read_settings(home.settings).market.deposit
    except SkerryError:
        return 0  # what is wrong with the settings was said


async def _asked_manifest(invite: Invite | None) -> bytes:
    """Return where the contracts are, as the first seed that knows it says; empty if none does."""
    transport = stranger()

    async def dial(address: str, purpose: str) -> Link:
        return await open_call(transport, address, purpose)

    try:
        for seed in (await reachable(transport, invite)).seeds if invite else ():
            with contextlib.suppress(PeerError, TimeoutError):
                if found := await ask_manifest(dial, seed):
                    return found
        return b""
    finally:
        await transport.close()


def _chain(url: str) -> str:
    rpc = Rpc(url)
    try:
        number = int(str(rpc.ask("eth_chainId")), 16)
        return f"number {number} at {url}"
    finally:
        rpc.close()
