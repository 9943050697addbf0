"""Networks: from what a person writes after `--network` to nodes that can be asked.

What    `find_nodes(text)` returns who is there; `run_on_network` runs a job with them, as
        `life.run_job` runs one with processes of this machine.
Why     The command line, the Python API and benchmarks give a network by one word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from skerry.base.errors import NodeError, PeerError
from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Call
from skerry.messages.wire import decode_as
from skerry.node.daemon.looking import ask_roster, find_invite, folder_named, reachable
from skerry.node.keys import load_key
from skerry.node.life import RunJob, RunResult
from skerry.node.network.plain import NODE_NAME, PlainNode
from skerry.node.network.purse import Purse
from skerry.node.network.roads import Roads, address_of
from skerry.node.network.submitter import NetworkTerms, kept_assignment, submit_job
from skerry.node.telling import Watch
from skerry.storage import RunFolder, read_file
from skerry.transport import Link, Transport
from skerry.transport.iroh_transport import IrohTransport

if TYPE_CHECKING:
    from skerry.node.network.buying import Buying

_ANSWER_SECONDS = 10.0


class NoNetwork(NodeError):
    """Nobody in a network takes jobs."""

    code = "node.network"

    def __init__(self, network: str) -> None:
        super().__init__(
            f"no node of {network[:80]!r} that can be called takes jobs",
            next_step="look who is there with `skerry nodes`; `skerry join` adds a node",
        )


async def find_nodes(transport: Transport, network: str, count: int) -> list[NodeAddress]:
    """Return at most `count` nodes of a network that take jobs.

    Those that can be called come before those that only call; then those that no job has measured
    yet, and the faster ones before the slower.

    Raises:
        NoNetwork: nobody there takes jobs.
        NetworkUnknown, InviteWrong, NobodyAnswered: there is no way in.
    """
    found = _plain_nodes(network)
    if not found:
        known = await ask_roster(transport, find_invite(network))
        takers = [it for it in known if "solver" in it.roles]
        takers.sort(key=lambda it: (not it.endpoints, *_slower(it.capability.rate), it.signer))
        if takers and takers[0].endpoints:  # who is called first passes the job on to the others
            found = [address_of(it) for it in takers]
    if not found:
        raise NoNetwork(network)
    return found[:count]


def _slower(rate: int) -> tuple[bool, int]:
    """Return what is the greater, the later a node of that speed is asked."""
    return rate > 0, -rate


def _plain_nodes(network: str) -> list[NodeAddress]:
    """Return the nodes without a daemon that wrote their address below a folder."""
    found, folder = [], folder_named(network)
    for path in sorted(folder.glob(f"*/{NODE_NAME}")) if folder is not None else []:
        with contextlib.suppress(msgspec.MsgspecError):
            node = msgspec.json.decode(read_file(path), type=PlainNode)
            found.append(NodeAddress(bytes.fromhex(node.key), node.address))
    return found


def run_on_network(
    job: RunJob,
    folder: Path,
    data: Path | None,
    network: str,
    *,
    terms: NetworkTerms | None = None,
    watch: Watch = lambda event: None,
    purse: Purse | None = None,
) -> RunResult:
    """Run `job` on nodes of a network, or find it again where they already run it.

    Args:
        job: the terms and the Programs.
        folder: the run's folder here; it ends with the final state, the records and the receipts.
        data: the prepared data.
        network: the folder of a running network, or an invite.
        terms: who is asked, and how lanes' states are held; without, whoever is there.
        watch: is told each event as it is committed.
        purse: who pays, where the network has a chain; without, nodes are asked to work unpaid.

    Raises:
        NoNetwork, NobodyLeased, JobGone: see there.
        OffersShort, FundsShort: the job cannot be awarded.
        ChainError: the chain cannot be used.
        RunFailed, RunBlocked, RunCrashing, RunConflict: as for a local run.
    """
    place = RunFolder(folder.absolute())
    return asyncio.run(_submit(job, place, data, network, terms, watch, purse))


async def _submit(
    job: RunJob,
    folder: RunFolder,
    data: Path | None,
    network: str,
    terms: NetworkTerms | None,
    watch: Watch,
    purse: Purse | None,
) -> RunResult:
    key_file = folder.root / "keys" / "submitter.key"
    load_key(key_file)
    transport = IrohTransport(read_file(key_file))

    answering = _Answering(transport)
    async with contextlib.AsyncExitStack() as ends:
        ends.push_async_callback(transport.close)
        roads = Roads(transport)
        kept = kept_assignment(folder, job)
        buying: Buying | None = None
        if purse is not None and terms is None and not _plain_nodes(network):
            invite = await reachable(transport, find_invite(network))
            if not invite.chain:
                purse.told("this network has no chain, so nobody is paid")
            else:
                from skerry.node.network.buying import open_buying  # loads a chain's client

                buying = await open_buying(transport, network, invite, folder.root, purse)
                ends.push_async_callback(buying.close)
                if await buying.finish_going_back(job, data):
                    kept = None
        if terms is None and kept is not None:
            terms = await buying.resume(kept) if buying else NetworkTerms(kept.nodes)
        elif terms is None and buying is not None:
            terms = await buying.hire(job)
        elif terms is None:
            terms = NetworkTerms(await find_nodes(transport, network, job.config.lanes))
        listen, client = answering.listen, buying.client if buying is not None else None
        while True:
            try:
                result = await submit_job(job, folder, data, terms, listen, roads, watch, client)
            finally:
                if buying is not None:
                    await buying.settle()
            if buying is None or not await buying.go_back(job, data):
                return result
            terms = await buying.hire(job)


class _Answering:
    """Answers calls at one address, with whatever answers last."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._answer: Callable[[Link, Call], Any] | None = None
        self._address = ""

    async def listen(self, answer: Callable[[Link, Call], Any]) -> str:
        """Let `answer` take calls from now on; return the address of this process."""
        self._answer = answer
        self._address = self._address or await self._transport.listen(self._accept)
        return self._address

    async def _accept(self, link: Link) -> None:
        with contextlib.suppress(PeerError, TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                call = decode_as(Call, await link.receive())
            if self._answer is not None:
                await self._answer(link, call)


__all__ = ["NetworkTerms", "NoNetwork", "Purse", "find_nodes", "run_on_network"]
