"""The daemon of a node, from its lock to its farewell.

What    `Daemon.live` locks the folder, opens the memory and the port, finds other nodes, starts the
        services, and stays until it is asked to stop.
Why     A reader should find the whole sentence in one place.
Rule    Whatever was started is stopped, in the reverse order, however it ends. A node that knows
        nobody and reaches none of its seeds says so and ends; one that knew somebody keeps trying.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from skerry.base.digests import digest
from skerry.base.errors import NodeError, SkerryError
from skerry.membership import SKEW_SECONDS_MAX, Roster
from skerry.membership.skew import ClockWrong
from skerry.messages.membership import (
    SEEDS_MAX,
    Announcement,
    Capability,
    Invite,
    invite_text,
)
from skerry.messages.signing import Sign, sign
from skerry.node.clocks import RealClock
from skerry.node.daemon import standby
from skerry.node.daemon.bandwidth import PacedTransport
from skerry.node.daemon.gossip import Gossip
from skerry.node.daemon.home import NodeHome, Presence
from skerry.node.daemon.host import Host, Service
from skerry.node.daemon.lending import Lending
from skerry.node.daemon.looking import VersionDiffers
from skerry.node.daemon.memory import NodeMemory
from skerry.node.daemon.settings import NodeSettings
from skerry.node.daemon.switchboard import Switchboard
from skerry.transport import NodeAddress, Transport, parse_address
from skerry.transport.iroh_transport import LOOPBACK, IrohTransport
from skerry.transport.standby import StandbyTransport

FIRST_CONTACT_SECONDS = 12.0
ALONE_SECONDS = 60.0
_TRY_SECONDS = 0.5
_MEMORY_SHARE = 0.8
_RATE = "rate"


class SeedsUnreachable(NodeError):
    """None of the nodes through which a network could be entered answers."""

    code = "node.seeds"

    def __init__(self, tried: dict[str, str]) -> None:
        words = "; ".join(f"{where[:12]}… {why}" for where, why in sorted(tried.items()))
        super().__init__(
            f"no way into the network: {words}"[:900],
            next_step="check that the seed runs and that its address reaches you, or ask for a new"
            " invite (`skerry nodes` prints one where a node runs); `skerry doctor` looks closer",
        )


@dataclass(frozen=True, slots=True)
class NodeStart:
    """What a daemon is told once it is ready: its address, its invite, and its key."""

    address: str
    invite: str
    key: bytes


@dataclass
class Daemon:
    """One node.

    Attributes:
        home: its folder.
        settings: what its owner set.
        invite: the way into the network; None where this node is the first.
        registry: the chain's list of nodes, for invites; None takes the invite's.
        services: the parts that live in it, in the order in which they are started.
        transport: makes the transport of a seed; iroh unless told otherwise.
        wall: Unix time in milliseconds by this machine.
        note: is told each event of the node's log.
        rate: counted operations a second of the units that its workers did in the latest job, as
            the memory keeps it; 0 before the first.
        contact_seconds: how long a node that knows nobody tries to reach its seeds.
        registered: asks the chain where others can be called; used where no seed answers.
    """

    home: NodeHome
    settings: NodeSettings
    invite: Invite | None = None
    registry: bytes | None = None
    services: Sequence[Service] = ()
    transport: Callable[[bytes, NodeSettings], Transport] | None = None
    wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    note: Callable[[str, dict[str, object]], None] = lambda kind, facts: None
    rate: int = 0
    contact_seconds: float = FIRST_CONTACT_SECONDS
    registered: Callable[[], Sequence[str]] = tuple
    gossip: Gossip | None = None
    lending: Lending | None = None
    chain_address: bytes | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Let `live` come to its end; harmless when it has."""
        self._stop.set()

    async def live(self, ready: Callable[[NodeStart], None] = lambda start: None) -> None:
        """Be a node until `stop` is called.

        Raises:
            NodeBusy: another process is this node.
            MemoryDamaged, KeyUnsafe, StorageError: the folder cannot be used.
            BindRefused: the port is taken.
            SeedsUnreachable: nobody answers, and nobody was known before.
            VersionDiffers: who answers speaks another version.
            ClockWrong: nothing that this node signs would count.
        """
        async with contextlib.AsyncExitStack() as ends:
            self.home.lock()
            ends.callback(self.home.unlock)
            key, by = self.home.key()
            memory = NodeMemory(self.home.memory)
            ends.callback(memory.close)
            self.rate = memory.fact(_RATE)
            transport = self._transport()
            ends.push_async_callback(transport.close)
            board = Switchboard(transport, self._bug)
            board.register(standby.PURPOSE, lambda caller: transport.wait_here(caller.link))
            sockets = await self._listen(transport, board)
            endpoints = (str(NodeAddress(key, sockets)),) if sockets else ()
            clock = RealClock()
            self.lending = Lending(
                self.settings.policy.policy(),
                self.settings.limits,
                memory,
                clock,
                spread=key[0],
                told=self._tell,
            )
            await self.lending.start()
            ends.push_async_callback(self.lending.stop)
            self.gossip = self._gossip(key, by, endpoints, board, memory, clock)
            await self.gossip.start()
            ends.push_async_callback(self.gossip.stop)
            await self._first_contact(self.gossip)
            seeking = asyncio.ensure_future(self._seek_while_alone(self.gossip))
            ends.callback(seeking.cancel)
            host = Host(
                home=self.home.root,
                key=key,
                sign=by,
                switchboard=board,
                peers=self.gossip,
                compute=self.lending,
                clock=clock,
                wall=self.wall,
                memory=memory,
                tell=self._tell,
                bind=self._bind,
                paced=lambda rate: self._pace(rate, memory),
            )
            alone = [standby.Standby()] if self.settings.dial_only else []
            for service in [*self.services, *alone]:
                await service.start(host)
                ends.push_async_callback(service.stop)
            start = NodeStart(endpoints[0] if endpoints else "", self._invite(key, endpoints), key)
            self.home.appear(Presence(start.address, start.invite, key.hex(), os.getpid()))
            ends.callback(self.home.vanish)
            self._tell("up", {"address": start.address, "pid": os.getpid()})
            ready(start)
            await self._stop.wait()
            self._tell("down", {})

    # -- its parts

    def _transport(self) -> StandbyTransport:
        seed, limits = self.home.seed(), self.settings.limits
        make = self.transport or iroh
        inner = make(seed, self.settings)
        if limits.upload or limits.download:
            inner = PacedTransport(inner, limits.upload, limits.download, RealClock())
        return StandbyTransport(inner)

    async def _listen(self, transport: Transport, board: Switchboard) -> tuple[str, ...]:
        """Take calls; return the sockets under which others reach this node."""
        if self.settings.dial_only:
            return ()
        address = await transport.listen(board.accept)
        if self.settings.announce:
            return self.settings.announce
        return parse_address(address).sockets if "@" in address else (address,)

    def _gossip(
        self,
        key: bytes,
        by: Sign,
        endpoints: tuple[str, ...],
        board: Switchboard,
        memory: NodeMemory,
        clock: RealClock,
    ) -> Gossip:
        network = self._network(key)

        def announce(sequence: int, issued: int, lifetime: int) -> Announcement:
            word = Announcement(
                signer=key,
                network=network,
                sequence=sequence,
                issued=issued,
                expires=issued + lifetime,
                endpoints=endpoints,
                roles=tuple(sorted(set(self.settings.roles))),
                chain_address=self.chain_address,
                capability=self._capability(),
            )
            return sign(word, by)

        return Gossip(
            key=key,
            network=network,
            seeds=[it for it in self._seeds() if it not in endpoints],
            switchboard=board,
            memory=memory,
            clock=clock,
            wall=self.wall,
            announce=announce,
            told=self._tell,
            roster=Roster(salt=digest("roster-salt", self.home.seed())),
        )

    def _seeds(self) -> list[str]:
        """Return whom the owner and the invite name."""
        return [*(self.invite.seeds if self.invite else ()), *self.settings.seeds]

    def _bind(self, address: bytes) -> None:
        """Announce the address that is staked and paid for this node."""
        assert self.gossip is not None, "there is nobody to tell yet"
        self.chain_address = address
        self.gossip.renew()

    def _pace(self, rate: int, memory: NodeMemory) -> None:
        """Keep and announce how fast this node's workers were."""
        assert self.gossip is not None, "there is nobody to tell yet"
        self.rate = rate
        with contextlib.suppress(NodeError):  # the disk may have room for the next one
            memory.keep_fact(_RATE, rate)
            self.gossip.renew()

    def _capability(self) -> Capability:
        limits = self.settings.limits
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        lent = limits.memory_bytes or int(pages * _MEMORY_SHARE)
        return Capability(self.rate, min(lent, pages), limits.threads)

    def _invite(self, key: bytes, endpoints: tuple[str, ...]) -> str:
        """Return the text that leads a newcomer here, or "" where nobody can be called."""
        own = endpoints if "seed" in self.settings.roles or not self.invite else ()
        seeds = tuple(dict.fromkeys([*own, *(self.invite.seeds if self.invite else ())]))
        chain = self.settings.chain or (self.invite.chain if self.invite else "")
        if not seeds and not chain:
            return ""
        registry = self.registry or (self.invite.registry if self.invite else None)
        return invite_text(Invite(self._network(key), seeds[:SEEDS_MAX], chain, registry))

    def _network(self, key: bytes) -> bytes:
        """Return the network's name; the first node gives it."""
        return self.invite.network if self.invite else digest("network", key)

    async def _first_contact(self, gossip: Gossip) -> None:
        """Wait until somebody answers, where somebody should.

        Raises:
            SeedsUnreachable, VersionDiffers, ClockWrong: see `live`.
        """
        alone = self.invite is None and not gossip.seeds
        asked = not gossip.seeds and not alone and await self._ask_registry(gossip)
        if not gossip.seeds:
            return
        began, clock = gossip.clock.now(), gossip.clock
        while not any(why == "" for why in gossip.reached.values()):
            knew = len(gossip.roster.entries) > 1
            if self._stop.is_set() or knew:
                return
            if clock.now() - began > self.contact_seconds / 2 and not asked:
                asked = True
                if await self._ask_registry(gossip):
                    began = clock.now()
            if gossip.foreign is not None:
                raise VersionDiffers(gossip.foreign)
            if clock.now() - began > self.contact_seconds:
                raise SeedsUnreachable(
                    dict(gossip.reached) or dict.fromkeys(gossip.seeds, "silent")
                )
            await asyncio.sleep(_TRY_SECONDS)
        offset = gossip.offset_seen_ms // 1000
        if abs(offset) > SKEW_SECONDS_MAX:
            raise ClockWrong(offset)

    async def _seek_while_alone(self, gossip: Gossip) -> None:
        """Ask the registry now and then while nobody is there, as after a long absence."""
        while True:
            await asyncio.sleep(ALONE_SECONDS)
            if len(gossip.live()) <= 1:
                await self._ask_registry(gossip)

    async def _ask_registry(self, gossip: Gossip) -> bool:
        """Add the nodes that the chain's registry names to those to call; return whether any is."""
        try:
            found = await asyncio.to_thread(self.registered)
        except SkerryError as error:
            self._tell("registry", {"reason": error.message})
            return False
        own = gossip.mine.endpoints if gossip.mine else ()
        more = [it for it in found if it not in gossip.seeds and it not in own]
        if more:
            gossip.seeds = [it for it in (*self._seeds(), *found) if it not in own]
            words = f"no seed answers; the chain's registry names {len(more)} nodes"
            self._tell("registry", {"words": words})
        return bool(more)

    # -- what is told

    def _tell(self, kind: str, facts: dict[str, object]) -> None:
        self.home.tell(kind, {"at": self.wall() // 1000, **facts})
        self.note(kind, facts)

    def _bug(self, purpose: str, error: BaseException) -> None:
        self._tell("bug", {"purpose": purpose, "error": repr(error)})


def iroh(seed: bytes, settings: NodeSettings) -> Transport:
    """Return the transport of a node among strangers."""
    return IrohTransport(seed, binds=settings.listen or LOOPBACK)
