"""A whole network on one machine: chain, seed and nodes, each in a process of its own.

What    `LocalNetwork.start` starts them in a folder and writes its invite there; `events` tells
        what each says; `stop` ends them all.
Why     Whoever tries Skerry, tests it or shows it needs a network that is there at once, and whose
        every part can be killed like a stranger's machine.
Rule    FOLDER/chain, FOLDER/seed and FOLDER/node-1 ... are what `skerry join` would make. A process
        that ends is told and not replaced: what one kills stays dead. Only processes that were
        started here are ever signalled, by their id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from skerry.base.errors import NodeError
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.looking import NETWORK_NAME, NetworkFile
from skerry.storage import make_folder, write_file

READY_SECONDS = 60.0
STOP_SECONDS = 6.0


class NodeFailed(NodeError):
    """A node of a local network did not come up."""

    code = "node.up"

    def __init__(self, name: str, words: str) -> None:
        super().__init__(
            f"{name} did not come up: {words}",
            next_step="repair what it names, then run `skerry up` again; its folder is kept",
        )


@dataclass
class LocalNode:
    """One process of the network.

    Attributes:
        name: its folder's name.
        pid: its process.
        address: where it is called.
        invite: the invite that it printed.
        key: its public key in hexadecimal.
        state: "starting", "up", or how it ended.
        said: the last event that it told.
    """

    name: str
    pid: int = 0
    address: str = ""
    invite: str = ""
    key: str = ""
    state: str = "starting"
    said: str = ""
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    tail: list[str] = field(default_factory=list)


class LocalNetwork:
    """The processes of one network.

    Args:
        root: its folder.
        nodes: how many nodes besides the seed.
        chain: URL of its chain; empty where there is none.
        manifest: the file that says where its contracts are; None where there is no chain.
        told: is told a node's name and what happened to it, in words.
    """

    def __init__(
        self,
        root: Path,
        nodes: int,
        *,
        chain: str = "",
        manifest: Path | None = None,
        told: Callable[[str, str], None] = lambda name, words: None,
    ) -> None:
        self.root = root
        self.chain = chain
        self.manifest = manifest
        self.seed = LocalNode("seed")
        self.nodes = [LocalNode(f"node-{at + 1}") for at in range(nodes)]
        self.invite = ""
        self.ended = ""  # what of it ended that is no node, in words
        self.told = told
        self._reading: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> list[LocalNode]:
        """Every process, the seed first."""
        return [self.seed, *self.nodes]

    async def start(self) -> None:
        """Start everything, and return when every node has found the seed.

        Raises:
            NodeFailed: one of them did not come up; all are ended.
        """
        make_folder(self.root)
        try:
            await self.launch(self.seed)
            await self._wait(self.seed)
            self.invite = self.seed.invite
            for node in self.nodes:
                await self.launch(node)
            for node in self.nodes:
                await self._wait(node)
            found = NetworkFile(self.invite, self.chain, os.getpid())
            write_file(self.root / NETWORK_NAME, msgspec.json.encode(found), mode=0o600)
        except BaseException:
            await self.stop()
            raise

    async def launch(self, node: LocalNode) -> None:
        """Start the process of one node, for the first time or once more after its end."""
        home = self.root / node.name
        node.key = NodeHome(home).key()[0].hex()  # so that the others' words about it have a name
        if not NodeHome(home).settings.exists():  # else each would take all cores for itself
            write_file(NodeHome(home).settings, self._settings(node).encode())
        roles = ["seed"] if node is self.seed else ["solver", "verifier"]
        invite = [self.invite] if self.invite and node is not self.seed else []
        command = [sys.executable, "-m", "skerry", "join", *invite, "--home", str(home), "--json"]
        command += [word for role in roles for word in ("--role", role)]
        node.state = "starting"
        node.ready.clear()
        if self.chain:
            command += ["--chain", self.chain]
        log = home / "daemon.log"
        with log.open("ab") as errors:
            node.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # so that Ctrl-C reaches this process alone
            )
        node.pid = node.process.pid
        task = asyncio.ensure_future(self._read(node, node.process))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def _settings(self, node: LocalNode) -> str:
        """Return a node's settings; only the seed is told where the contracts are."""
        lines = ["[limits]", f"share = {max(1, len(self.nodes))}"]
        if self.manifest is not None:
            lines += ["[market]", "faucet = true", "listed = true"]
        if self.manifest is not None and node is self.seed:
            lines += [f"manifest = {str(self.manifest)!r}"]
        return "\n".join(lines) + "\n"

    async def _wait(self, node: LocalNode) -> None:
        """Wait until a node is ready or has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await node.ready.wait()
        if node.state != "up":
            raise NodeFailed(node.name, " ".join(node.tail)[-600:] or node.state)

    async def _read(self, node: LocalNode, process: asyncio.subprocess.Process) -> None:
        """Take in what a node tells, until it ends."""
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict):
                self._note(node, event)
        code = await process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        node.state = how if code else "ended"
        self.told(node.name, node.state)
        node.ready.set()

    def _note(self, node: LocalNode, event: dict[str, object]) -> None:
        kind = str(event.get("event", ""))
        if kind == "ready":
            node.address, node.invite = str(event.get("address")), str(event.get("invite"))
            node.state = "up"
            node.ready.set()
        error = event.get("error")
        if isinstance(error, dict):
            node.tail = [str(error.get("message")), str(error.get("next"))]
        about = str(event.get("node", ""))
        names = {it.key: it.name for it in self.all if it.key}
        words = [kind, names.get(about, about[:8])]
        words += [str(event[it]) for it in ("reason", "words") if event.get(it)]
        node.said = " ".join(it for it in words if it)
        if kind not in ("", "ready"):
            self.told(node.name, node.said)

    async def stop(self) -> None:
        """End every process, politely first."""
        living = [it for it in self.all if it.process and it.process.returncode is None]
        for node in living:
            self._signal(node, signal.SIGTERM)
        waits = [asyncio.ensure_future(it.process.wait()) for it in living if it.process]
        if waits:
            await asyncio.wait(waits, timeout=STOP_SECONDS)
        for node in living:
            self._signal(node, signal.SIGKILL)
        if waits:
            await asyncio.wait(waits)
        await asyncio.gather(*self._reading, return_exceptions=True)
        with contextlib.suppress(OSError):
            (self.root / NETWORK_NAME).unlink()

    @staticmethod
    def _signal(node: LocalNode, number: signal.Signals) -> None:
        if node.process is not None and node.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                node.process.send_signal(number)
