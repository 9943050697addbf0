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

import msgspec

from skerry.base.errors import NodeError, PeerError
from skerry.messages.leased import NodeAddress
from skerry.messages.membership import Call
from skerry.messages.wire import decode_as
from skerry.node.daemon.looking import ask_roster, find_invite
from skerry.node.keys import load_key
from skerry.node.life import RunJob, RunResult
from skerry.node.network.plain import NODE_NAME, PlainNode
from skerry.node.network.roads import Roads
from skerry.node.network.submitter import NetworkTerms, kept_assignment, submit_job
from skerry.node.telling import Watch
from skerry.storage import RunFolder, read_file
from skerry.transport import Link, Transport
from skerry.transport.iroh_transport import IrohTransport

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
    """Return at most `count` nodes of a network that take jobs, those that compute fastest first.

    Raises:
        NoNetwork: nobody there takes jobs.
        NetworkUnknown, InviteWrong, NobodyAnswered: there is no way in.
    """
    found = _plain_nodes(Path(network))
    if not found:
        known = await ask_roster(transport, find_invite(network))
        takers = [it for it in known if "solver" in it.roles and it.endpoints]
        takers.sort(key=lambda it: (-it.capability.rate, it.signer))
        found = [NodeAddress(it.signer, it.endpoints[0]) for it in takers]
    if not found:
        raise NoNetwork(network)
    return found[:count]


def _plain_nodes(folder: Path) -> list[NodeAddress]:
    """Return the nodes without a daemon that wrote their address below a folder."""
    found = []
    for path in sorted(folder.glob(f"*/{NODE_NAME}")) if folder.is_dir() else []:
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
) -> RunResult:
    """Run `job` on nodes of a network, or find it again where they already run it.

    Args:
        job: the terms and the Programs.
        folder: the run's folder here; it ends with the final state, the records and the receipts.
        data: the prepared data.
        network: the folder of a running network, or an invite.
        terms: who is asked, and how lanes' states are held; without, whoever is there.
        watch: is told each event as it is committed.

    Raises:
        NoNetwork, NobodyLeased, JobGone: see there.
        RunFailed, RunBlocked, RunCrashing, RunConflict: as for a local run.
    """
    return asyncio.run(_submit(job, RunFolder(folder), data, network, terms, watch))


async def _submit(
    job: RunJob,
    folder: RunFolder,
    data: Path | None,
    network: str,
    terms: NetworkTerms | None,
    watch: Watch,
) -> RunResult:
    key_file = folder.root / "keys" / "submitter.key"
    load_key(key_file)
    transport = IrohTransport(read_file(key_file))

    async def listen(answer: Callable[[Link, Call], object]) -> str:
        async def accept(link: Link) -> None:
            with contextlib.suppress(PeerError, TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    call = decode_as(Call, await link.receive())
                await answer(link, call)  # type: ignore[misc]

        return await transport.listen(accept)

    try:
        if terms is None:
            kept = kept_assignment(folder, job)
            found = kept.nodes if kept else await find_nodes(transport, network, job.config.lanes)
            terms = NetworkTerms(found)
        return await submit_job(job, folder, data, terms, listen, Roads(transport), watch)
    finally:
        await transport.close()


__all__ = ["NetworkTerms", "NoNetwork", "find_nodes", "run_on_network"]
