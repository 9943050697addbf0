"""Buying: all that a submitter needs beside a paid run: its desk, its board, and whom it can hire.

What    `open_buying` finds the contracts, opens the client's desk and begins to carry messages;
        `hire` awards the job; `settle` waits until the money is where it belongs.
Why     A submitter is no node: it has no roster and takes no calls, and still records rounds.
Rule    The contracts are this package's own, or nothing is sent. On a local chain the client is
        given what it lacks; anywhere else it must hold it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.base.errors import NodeError, PeerError
from skerry.chain.localnet import MANIFEST_NAME
from skerry.messages.leased import Assignment
from skerry.messages.membership import Announcement, Invite
from skerry.node.daemon.home import default_home
from skerry.node.daemon.looking import ask_roster, folder_named
from skerry.node.daemon.switchboard import open_call
from skerry.node.life import RunJob
from skerry.node.market.awarding import OffersShort
from skerry.node.market.bought import keep_bought
from skerry.node.market.carriage import Dial, ask_manifest
from skerry.node.market.client import MarketClient
from skerry.node.market.inspection import check_registry
from skerry.node.market.stall import Ways
from skerry.node.network.hiring import hire
from skerry.node.network.purse import Purse
from skerry.node.network.submitter import NetworkTerms
from skerry.storage import read_file
from skerry.transport import Link, Transport

_OFFERS_SECONDS = 20.0
_LOOK_SECONDS = 0.5


class NoContracts(NodeError):
    """Nobody in a network with a chain says where its contracts are."""

    code = "node.contracts"

    def __init__(self, tried: int) -> None:
        super().__init__(
            f"none of {tried} seeds says where the market's contracts are",
            next_step="wait until the network is up, then run the same command again",
        )


@dataclass
class Buying:
    """A submitter's side of a paid run.

    Attributes:
        client: its place in the market.
        transport: carries links.
        invite: the way into the network.
        run: the run's folder.
        home: the client's folder.
        purse: who pays.
        there: the nodes, by their addresses on the chain.
    """

    client: MarketClient
    transport: Transport
    invite: Invite
    run: Path
    home: Path
    purse: Purse
    there: dict[bytes, Announcement]
    job: bytes = b""

    async def look(self) -> None:
        """Find out which nodes are there."""
        with contextlib.suppress(PeerError, TimeoutError):
            known = await ask_roster(self.transport, self.invite)
            if any(it.endpoints and it.chain_address for it in known):  # they pass jobs on
                self.there.clear()
                self.there.update({it.chain_address: it for it in known if it.chain_address})

    async def hire(self, job: RunJob) -> NetworkTerms:
        """Award the job as soon as the offers that came in suffice; see `hiring.hire`.

        Raises:
            OffersShort: they did not, in time.
        """
        terms = await self._hire(job)
        assert terms.awarded is not None, "it was awarded"
        self.job = terms.awarded.job
        keep_bought(self.run, self.home, self.job)
        return terms

    async def _hire(self, job: RunJob) -> NetworkTerms:
        loop = asyncio.get_running_loop()
        ends = loop.time() + _OFFERS_SECONDS
        while True:
            await self.look()
            try:
                return await hire(self.client, self.purse, job, self.there)
            except OffersShort:
                if loop.time() > ends:
                    raise
                await asyncio.sleep(_LOOK_SECONDS)

    async def resume(self, assignment: Assignment) -> NetworkTerms:
        """Go on with a job that an earlier call awarded."""
        await self.look()
        if assignment.awarded is not None:
            self.job = assignment.awarded.job
        return NetworkTerms(assignment.nodes, assignment.observers, assignment.awarded)

    async def settle(self) -> None:
        """Wait until the job is closed on the chain, or say how to look later."""
        if self.client.ended and not await self.client.settled(self.purse.patience):
            self.purse.told("not settled yet: nodes go on; `skerry invoice` shows how it stands")
        convicted = self.client.convicted(self.job)
        if convicted:
            self.purse.told(
                f"{convicted} of its solvers were convicted of false work, which is in this model: "
                "run the job again in another output_dir; `skerry invoice` names the units"
            )

    async def close(self) -> None:
        """End everything that was begun."""
        await self.client.close()


async def open_buying(
    transport: Transport, network: str, invite: Invite, run: Path, purse: Purse
) -> Buying:
    """Return a submitter's side of the market of a network.

    Raises:
        NobodyAnswered, VersionDiffers, ClockWrong: there is no way in.
        NoContracts: nobody says where the contracts are.
        RegistryDiffers: the contracts are those of another market than the invite's.
        ChainError: the chain cannot be used, or the contracts are not this package's.
    """
    home = purse.home or _client_home(network)
    there: dict[bytes, Announcement] = {}

    async def dial(address: str, purpose: str) -> Link:
        return await open_call(transport, address, purpose)

    manifest = await _manifest(transport, dial, folder_named(network), invite)
    await asyncio.to_thread(check_registry, manifest, invite.registry)
    ways = Ways(dial, lambda: _addresses(there), pushes=True)
    client = MarketClient(home / "market", invite.chain, ways, purse.told)
    try:
        await client.open(manifest)
    except BaseException:
        await client.close()
        raise
    return Buying(client, transport, invite, run, home, purse, there)


def _client_home(network: str) -> Path:
    return (folder_named(network) or default_home()).absolute() / "client"


def _addresses(there: Mapping[bytes, Announcement]) -> dict[bytes, str]:
    return {it.signer: it.endpoints[0] for it in there.values() if it.endpoints}


async def _manifest(transport: Transport, dial: Dial, folder: Path | None, invite: Invite) -> bytes:
    """Return where the network's contracts are: as its folder says, or as a seed does."""
    own = folder / "chain" / MANIFEST_NAME if folder else None
    found = read_file(own) if own and own.is_file() else b""
    for seed in invite.seeds if not found else ():
        with contextlib.suppress(PeerError, TimeoutError):
            found = found or await ask_manifest(dial, seed)
    if not found:
        await ask_roster(transport, invite)  # says why, where nobody answers at all
        raise NoContracts(len(invite.seeds))
    return found
