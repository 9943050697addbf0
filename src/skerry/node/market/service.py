"""The market as a service of a node's daemon: it offers, is paid, checks others, and carries word.

What    `MarketService` finds out which contracts the network uses, starts the node's stall there,
        puts the stake into the vault, keeps offers standing, and is the `Paymaster` of its jobs.
Why     Runs, gossip and money share a daemon and know little of each other.
Rule    Nothing is paid into contracts that are not this package's own. A market that cannot be
        entered ends nothing: the node says why, goes on unpaid, and tries again, the later the
        longer it fails. Only what cannot mend itself is not tried again before a restart.
Units   Seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.base.errors import NodeError, PeerError, SkerryError
from skerry.chain.errors import RegistryDiffers
from skerry.market.offers import Role
from skerry.messages.leased import Assignment
from skerry.node.daemon.host import Host
from skerry.node.daemon.settings import NodeSettings
from skerry.node.daemon.switchboard import Caller
from skerry.node.market.carriage import PURPOSE, ask_manifest
from skerry.node.market.desk_process import DeskProcess
from skerry.node.market.orders import Order
from skerry.node.market.stall import MANIFEST_NAME, Fetch, Stall, Ways, place_in
from skerry.node.network.pay import NotPaidHere, confirm_order, join_order
from skerry.storage import read_file

TRY_SECONDS, TRY_SECONDS_MAX = 1.0, 60.0
#: What a restart or a hand must mend, by the code of the error.
LASTING = (
    "chain.foreign",
    "chain.code",
    "chain.id",
    "chain.manifest",
    "chain.file",
    "node.key",
)


class MarketAway(NodeError):
    """A node takes part in a market and cannot reach it yet."""

    code = "node.market.away"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"this node's part in the market has not begun: {why}",
            next_step="wait a moment; `skerry doctor --network` says what stands in the way",
        )


@dataclass(frozen=True, slots=True)
class MarketWay:
    """Where a node's market is.

    Attributes:
        url: the chain's node; empty where the node takes part in no market.
        registry: the chain's list of nodes, if the invite named it: it names the market.
    """

    url: str = ""
    registry: bytes | None = None


class MarketService:
    """A node's side of the market.

    Args:
        settings: what the owner set.
        way: where the market is.
    """

    def __init__(self, settings: NodeSettings, way: MarketWay) -> None:
        self.settings, self.way = settings, way
        self.why = "it was not started"
        self.open = asyncio.Event()
        self.stall: Stall | None = None
        self._host: Host | None = None
        self._task: asyncio.Task[None] | None = None

    # -- life

    async def start(self, host: Host) -> None:
        """Answer others, and begin to look for the contracts."""
        self._host = host
        limits = self.settings.limits
        dial = host.switchboard.call
        folder = host.home / "market"
        place = place_in(folder, self.way.url)
        self.stall = Stall(
            folder,
            DeskProcess(folder, place, threads=limits.threads, nice=limits.nice),
            Ways(
                lambda address, purpose: dial(address, purpose),
                self._peers,
                pushes=self.settings.dial_only,
            ),
            host.clock,
            host.tell,
        )
        host.switchboard.register(PURPOSE, self._answer)
        self._task = asyncio.ensure_future(self._enter())

    async def stop(self) -> None:
        """End the desk; what it was told is kept."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.stall is not None:
            await self.stall.close()

    async def _answer(self, caller: Caller) -> None:
        assert self.stall is not None, "called before the service was started"
        await self.stall.carriage.answer(caller)

    def _peers(self) -> Mapping[bytes, str]:
        """Return where the other nodes that take part in the market can be called."""
        assert self._host is not None
        return {
            it.signer: it.endpoints[0]
            for it in self._host.peers.live()
            if it.signer != self._host.key and it.endpoints and it.chain_address is not None
        }

    # -- entering

    async def _enter(self) -> None:
        """Find the contracts and begin, however often it must be tried."""
        assert self._host is not None
        pause, told = TRY_SECONDS, ""
        while True:
            try:
                await self._begin()
            except (SkerryError, TimeoutError) as error:
                self.why = getattr(error, "message", "") or "a node did not answer in time"
                step = getattr(error, "next_step", "")
                if self.why != told:  # it is tried again and again, and told when it changes
                    self._host.tell("market", {"reason": self.why, "next": step})
                told = self.why
                code = getattr(error, "reason", "") or getattr(error, "code", "")
                if code in LASTING:
                    return
            else:
                self.why = ""
                self.open.set()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, TRY_SECONDS_MAX)

    async def _begin(self) -> None:
        assert self._host is not None
        assert self.stall is not None
        manifest = await self._manifest()
        if not self.trades:  # a seed only says where the contracts are
            self.stall.carriage.manifest = manifest
            return
        address = await self.stall.open(manifest, self._orders())
        self._host.bind(address)
        self._host.tell("market", {"words": f"in the market as 0x{address.hex()}"})

    @property
    def trades(self) -> bool:
        """Whether this node offers anything."""
        return bool(set(self.settings.roles) - {"seed"})

    def _orders(self) -> list[Order]:
        """Return what the desk is told whenever it starts."""
        market, orders = self.settings.market, []
        if market.faucet:
            orders.append(Order("faucet", amount=market.deposit))
        orders.append(Order("stock", amount=market.deposit))
        stake, roles = market.stake or market.deposit, self.settings.roles
        if "solver" in roles:
            price, lanes = market.price, market.lanes
            stand = Order("stand", role=int(Role.SOLVER), price=price, stake=stake, lanes=lanes)
            orders.append(stand)
        if "verifier" in roles:
            for role, price in (
                (Role.AUDITOR, market.price_audit),
                (Role.COORDINATOR, market.price_record),
            ):
                orders.append(Order("stand", role=int(role), price=price, stake=stake))
        if market.listed and (endpoint := self._endpoint()):
            orders.append(Order("list", endpoint=endpoint))
        return orders

    def _endpoint(self) -> str:
        """Return where this node can be called, as it announces it; empty where it only dials."""
        assert self._host is not None
        mine = (it for it in self._host.peers.live() if it.signer == self._host.key)
        return next((it.endpoints[0] for it in mine if it.endpoints), "")

    async def _manifest(self) -> bytes:
        """Return where the contracts are: as the owner says, as was known, or as a node says."""
        assert self._host is not None
        found, path = await asyncio.to_thread(self._kept_manifest, self._host.home)
        if found:
            step = f"join that network with another --home; {path} belongs to the other market"
            await self._check(found, step)
            return found
        tried: list[str] = []
        foreign: RegistryDiffers | None = None
        for it in self._host.peers.live():
            if it.signer == self._host.key or not it.endpoints:
                continue
            try:
                found = await ask_manifest(self._host.switchboard.call, it.endpoints[0])
                if found:
                    await self._check(found)
                    return found
            except RegistryDiffers as error:
                foreign = error  # another node may know better
            except (PeerError, TimeoutError) as error:
                tried.append(str(error).splitlines()[0])
        if foreign is not None:
            raise foreign
        raise MarketAway("no node says where the contracts are. " + "; ".join(tried)[:300])

    def _kept_manifest(self, home: Path) -> tuple[bytes, Path]:
        """Return what the owner's file says, or what was heard before, and where that is kept."""
        named, kept = self.settings.market.manifest, home / "market" / MANIFEST_NAME
        path = Path(named).expanduser() if named else kept
        return read_file(path) if named or path.is_file() else b"", path

    async def _check(self, manifest: bytes, next_step: str = "") -> None:
        """Refuse a manifest of another market than the one that the invite named."""
        from skerry.node.market.inspection import check_registry  # loads a chain's client

        await asyncio.to_thread(check_registry, manifest, self.way.registry, next_step)

    # -- what a part in a job asks

    def _open_stall(self) -> Stall:
        if not self.way.url or not self.trades:
            raise NotPaidHere
        if self.stall is None or not self.open.is_set():
            raise MarketAway(self.why or "it is being looked for")
        return self.stall

    async def confirm(self, assignment: Assignment) -> None:
        """Look whether the award of an assignment is on the chain and binds this node.

        Raises:
            SkerryError: it does not, or the chain cannot be asked.
        """
        assert assignment.awarded is not None, "only what is paid is confirmed"
        assert self._host is not None
        order = confirm_order(assignment, assignment.awarded, self._host.key)
        await self._open_stall().ask(order)

    async def join(
        self, assignment: Assignment, run: Path, data: Path | None, fetch: Fetch
    ) -> None:
        """Take part in a job's money from now on, however long the market takes to be there."""
        await self.open.wait()
        await self._open_stall().join(join_order(assignment, run, data), fetch)

    def committed(self, job: bytes) -> None:
        """Take note that a round was committed."""
        if self.stall is not None:
            self.stall.stir()

    async def end(self, job: bytes) -> None:
        """Take note that no round will come any more."""
        if self.stall is not None:
            await self.stall.end(job)
