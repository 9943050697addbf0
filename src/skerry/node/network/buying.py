"""Buying: all that a submitter needs beside a paid run: its desk, its board, and whom it can hire.

What    `open_buying` finds the contracts, opens the client's desk and begins to carry messages;
        `hire` awards the job; `settle` waits until the money is where it belongs; `go_back` brings
        a run with a convicted unit back to its last good round, to be hired for again.
Why     A submitter is no node: it has no roster and takes no calls, and still records rounds.
Rule    The contracts are this package's own, or nothing is sent. On a local chain the client is
        given what it lacks; anywhere else it must hold it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

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
from skerry.node.market.spoiled import Spoiled
from skerry.node.market.stall import Ways
from skerry.node.network.gathering import gather_kept, keep_last_good
from skerry.node.network.hiring import hire, unit_seconds
from skerry.node.network.purse import Purse
from skerry.node.network.redoing import (
    REDO_MAX,
    NotRedone,
    Rollback,
    cut_back,
    keep_rollback,
    rollback_of,
    set_aside,
)
from skerry.node.network.roads import Roads
from skerry.node.network.submitter import NetworkTerms, kept_assignment
from skerry.storage import RunFolder, read_file
from skerry.transport import Link, Transport

_OFFERS_SECONDS = 20.0
DOUBT_SECONDS = 1_800.0
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
        roads: how nodes are called.
    """

    client: MarketClient
    transport: Transport
    invite: Invite
    run: Path
    home: Path
    purse: Purse
    there: dict[bytes, Announcement]
    roads: Roads
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
            NotRedone: they did not, and the run went back before.
        """
        past = rollback_of(self.run)
        try:
            terms = await self._hire(job, past)
        except OffersShort as error:
            if not past.kept:
                raise
            raise NotRedone(past.stays, error.message) from error
        assert terms.awarded is not None, "it was awarded"
        self.job = terms.awarded.job
        keep_bought(self.run, self.home, self.job, past.awards)
        if terms.turn.kept != past.kept:  # nobody who is hired ran the rounds that should stay
            keep_rollback(self.run, msgspec.structs.replace(past, kept=terms.turn.kept))
            cut_back(RunFolder(self.run), terms.turn.kept[-1])
        return terms

    async def _hire(self, job: RunJob, past: Rollback) -> NetworkTerms:
        loop = asyncio.get_running_loop()
        ends = loop.time() + _OFFERS_SECONDS
        while True:
            await self.look()
            try:
                return await hire(self.client, self.purse, job, self.there, past)
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
        """Wait until the job is closed on the chain, or say what is still locked, and until when.

        A submitter that records its own job closes it also where the run died; another recorder
        leaves it to the job's end.
        """
        job = self.client.jobs.get(self.job)
        if job is None or job.closed:
            return
        died = RunFolder(self.run).read_round(job.terms.rounds - 1) is None
        early = self.client.ended and (not died or job.terms.coordinator == job.terms.submitter)
        if early and await self.client.settled(self.purse.patience):
            return
        job = self.client.jobs[self.job]
        ends = datetime.fromtimestamp(job.terms.ends).astimezone()
        when = f"{ends:%Y-%m-%d %H:%M:%S %Z}"
        when = f"the last audit, {when} at the latest" if early else when
        self.purse.told(
            f"not settled yet: {job.escrow:,} of {job.terms.budget:,} are still locked. Accepted "
            f"units are paid, the rest returns after {when}: run the same command then, which also "
            f"goes back if anything was false; `skerry invoice {self.run}` shows how it stands"
        )

    # -- going back

    async def go_back(self, job: RunJob, data: Path | None) -> bool:
        """Bring a run with a convicted unit back to its last good round; say if it was.

        Nobody is hired again before the job is closed: its money would be locked until its end.
        """
        before = kept_assignment(RunFolder(self.run), job)
        found = await self.client.spoiled(self.job) if self.client.closed else None
        if before is None or found is None:
            return False
        if not self.purse.wish.redo or before.revision >= REDO_MAX:
            self.purse.told(
                f"{len(found.convicted)} of its solvers were convicted of false work, which is in "
                "this model; `skerry invoice` names the units"
            )
            return False
        spoiled = await self._first_false(job, before, found, data)
        noted = rollback_of(self.run).after(before, found, spoiled)
        keep_rollback(self.run, noted)
        self.purse.told(
            f"a unit of round {spoiled + 1} was false: going back to the state before round "
            f"{noted.stays + 1}; {job.config.rounds - noted.stays} rounds are done again, for "
            f"which {found.gained:,} came from the stake of who was convicted"
        )
        await self._turn_back(before, noted, data)
        return True

    async def _first_false(
        self, job: RunJob, before: Assignment, found: Spoiled, data: Path | None
    ) -> int:
        """Return the first false round: the convicted one, unless its author lied before it.

        His earlier units are run again here; all of them count as false where that takes too long.
        """
        if not found.doubtful:
            return found.false
        folder = RunFolder(self.run)
        lanes = {lane for _, lane in found.doubtful}
        runs = len(lanes) * (found.false - found.doubtful[0][0])
        lacking = await gather_kept(folder, before, self.roads, found.false, found.doubtful[0])
        if lacking or runs * unit_seconds(job) > DOUBT_SECONDS:
            return found.doubtful[0][0]
        self.purse.told(f"{len(found.doubtful)} units of who was convicted are looked at again")
        from skerry.node.network.doubting import first_false  # loads torch

        false = await asyncio.to_thread(first_false, folder, data, found.doubtful)
        return found.false if false is None else false

    async def finish_going_back(self, job: RunJob, data: Path | None) -> bool:
        """Do the rest, where an earlier session was killed while it went back; say if it was."""
        before, noted = kept_assignment(RunFolder(self.run), job), rollback_of(self.run)
        if before is None or before.revision >= len(noted.kept):
            return False
        await self._turn_back(before, noted, data)
        return True

    async def _turn_back(self, before: Assignment, noted: Rollback, data: Path | None) -> None:
        folder, kept = RunFolder(self.run), noted.stays
        lacking = await gather_kept(folder, before, self.roads, kept)
        award = noted.awards[-1]
        place = await asyncio.to_thread(set_aside, folder, before, award)
        await self.client.move_run(bytes.fromhex(award), place)
        if not lacking:
            keep_rollback(self.run, msgspec.structs.replace(noted, whole=True))
            await asyncio.to_thread(keep_last_good, folder, data, kept)
        await asyncio.to_thread(cut_back, folder, kept)

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
    return Buying(client, transport, invite, run, home, purse, there, Roads(transport))


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
