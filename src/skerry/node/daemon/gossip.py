"""How nodes hear of each other: the purpose "roster", both sides of it.

What    `Gossip` answers who asks, asks its seeds and its peers in turn, keeps watched peers under
        a pulse, and announces this node anew before its announcement expires. It is the daemon's
        `Peers`.
Why     Any one node that is up suffices to find all others; after that nobody is special.
Rule    On a roster link each message of the caller gets one `RosterNews`. `RosterWant` is answered
        with what the caller lacks; news are taken in, and answered with news of nothing, which is
        also how a pulse is felt. What breaks a rule is dropped alone, and a link that sends too
        much is closed. A node asks at most `FANOUT` peers a turn, however many there are, and turns
        come the slower the longer nothing was new: a link costs both sides a handshake.
Units   Seconds of a monotonic clock, milliseconds of Unix time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from skerry.base.chance import Chance
from skerry.base.clock import Clock
from skerry.base.errors import NodeError, PeerError
from skerry.membership import (
    AnnouncementRefused,
    Pulse,
    Roster,
    check_announcement,
    clock_offset_ms,
)
from skerry.membership.roster import SKEW_SECONDS_MAX
from skerry.membership.skew import ClockWrong, sample_ms
from skerry.messages.membership import NEWS_MAX, Announcement, RosterNews, RosterWant
from skerry.messages.wire import MessageUnexpected, decode, encode
from skerry.node.daemon.memory import NodeMemory
from skerry.node.daemon.switchboard import Caller, CallRefused, Switchboard, hear
from skerry.transport import Link, LinkLost

PURPOSE = "roster"
LIFETIME_SECONDS = 600
RENEW_SECONDS = 200.0
TURN_SECONDS = 2.0
QUIET_SECONDS = 16.0
FANOUT = 3
ANSWER_SECONDS = 5.0
WATCHED_MAX = 64
SMALL_ROSTER = 16
NOTICE_SECONDS = 0.25
MESSAGES_A_SECOND_MAX = 50

#: Makes this node's announcement of a sequence number, issued at a Unix second for a lifetime.
Announce = Callable[[int, int, int], Announcement]


@dataclass
class Watched:
    """A peer under a pulse: what was measured, and the task that asks it."""

    pulse: Pulse
    task: asyncio.Task[None] | None = None


@dataclass
class Gossip:
    """What this node knows of others, and how it learns more.

    Attributes:
        key: this node's key.
        network: the network's name; zeros take any.
        seeds: addresses to call when nobody else is known, and now and then anyway.
        switchboard: answers and makes calls.
        memory: keeps the roster over a restart.
        clock: monotonic seconds.
        wall: Unix time in milliseconds by this machine.
        announce: makes this node's own announcement.
        told: is told what happens, as an event and its facts.
        foreign: the last refusal of a node that speaks another version.
    """

    key: bytes
    network: bytes
    seeds: Sequence[str]
    switchboard: Switchboard
    memory: NodeMemory
    clock: Clock
    wall: Callable[[], int]
    announce: Announce
    told: Callable[[str, dict[str, object]], None] = lambda kind, facts: None
    roster: Roster = field(default_factory=Roster)
    mine: Announcement | None = None
    reached: dict[str, str] = field(default_factory=dict)
    foreign: CallRefused | None = None
    _watched: dict[bytes, Watched] = field(default_factory=dict)
    _offsets: dict[bytes, int] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _renewed_at: float = float("-inf")
    _turn: int = 0
    _trouble: str = ""
    _off: bool = False
    _pause: float = TURN_SECONDS
    _stirred: asyncio.Event = field(default_factory=asyncio.Event)

    # -- what others of this node ask

    def live(self) -> tuple[Announcement, ...]:
        """Return the nodes whose announcement counts and who were not found lost, by key."""
        return tuple(it for it in self.roster.live(self._now()) if not self.lost(it.signer))

    def find(self, key: bytes) -> Announcement | None:
        """Return the announcement of a node, or None."""
        return self.roster.entries.get(key)

    def address(self, key: bytes) -> str:
        """Return where a node was last said to be, or ""."""
        found = self.find(key)
        return found.endpoints[0] if found and found.endpoints else ""

    def lost(self, key: bytes) -> bool:
        """Return whether the failure detector has given a node up."""
        watched = self._watched.get(key)
        return watched is not None and watched.pulse.lost(self.clock.now())

    def pulse(self, key: bytes) -> Pulse | None:
        """Return what was measured of a watched node."""
        watched = self._watched.get(key)
        return watched.pulse if watched else None

    def watch(self, key: bytes) -> None:
        """Keep asking a node whether it lives."""
        if key not in self._watched and key != self.key and len(self._watched) < WATCHED_MAX:
            watched = Watched(Pulse())
            self._watched[key] = watched
            watched.task = self._spawn(self._feel(key, watched))

    def unwatch(self, key: bytes) -> None:
        """Stop asking."""
        watched = self._watched.pop(key, None)
        if watched and watched.task:
            watched.task.cancel()

    @property
    def offset_ms(self) -> int:
        """How far the others' clocks are ahead of this machine's, as far as enough of them say."""
        return clock_offset_ms(list(self._offsets.values())) or 0

    @property
    def offset_seen_ms(self) -> int:
        """The least that any node's clock is ahead of this machine's, whatever its sign."""
        return min(self._offsets.values(), key=abs, default=0)

    # -- life

    async def start(self) -> None:
        """Take up what was known, and begin to ask and to answer."""
        self.switchboard.register(PURPOSE, self._answer)
        self._take(self.memory.peers())
        self.renew()
        self._spawn(self._go_round())
        self._spawn(self._notice())

    async def stop(self) -> None:
        """Say goodbye to some, and end every task."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        now, sequence = self._now(), self.wall()
        with contextlib.suppress(NodeError):
            sequence = self.memory.next_sequence(sequence)
        self.mine = self.announce(sequence, now, 0)
        farewell = [self._tell(it.endpoints[0]) for it in self._choose() if it.endpoints]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.gather(*farewell, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now(self) -> int:
        return self.wall() // 1000

    def renew(self) -> None:
        """Announce this node anew, as it is now."""
        sequence = self.memory.next_sequence(self.wall())
        self._renewed_at = self.clock.now()
        self.mine = self.announce(sequence, self._now(), LIFETIME_SECONDS)
        self.roster = self.roster.merged([self.mine])

    # -- taking in

    def _take(self, announcements: Sequence[Announcement]) -> int:
        """Take in what passes; return how many were new."""
        now, sound = self._now(), []
        for it in announcements:
            held = self.roster.entries.get(it.signer)
            if it.signer == self.key or (held is not None and held.sequence >= it.sequence):
                continue  # nobody tells this node about itself; and no check is spent on old news
            try:
                check_announcement(it, now=now, network=self.network)
            except AnnouncementRefused as refused:
                self.told("refused", {"node": it.signer.hex(), "reason": refused.reason})
                continue
            sound.append(it)
            if held is None:
                self.told("appeared", {"node": it.signer.hex(), "roles": list(it.roles)})
        self.roster = self.roster.merged(sound).pruned(now)
        if sound:
            self._stirred.set()
        if len(self.roster.entries) <= SMALL_ROSTER:
            for key, it in self.roster.entries.items():
                if it.endpoints and now <= it.expires:
                    self.watch(key)
        return len(sound)

    def _want(self) -> RosterWant:
        return RosterWant(self.roster.known(), self.wall())

    # -- being asked

    async def _answer(self, caller: Caller) -> None:
        """Answer a peer until it goes, no faster than it may ask."""
        link, began, count = caller.link, self.clock.now(), 0
        link.admit()
        while True:
            message = decode(await link.receive())
            count += 1
            if count > MESSAGES_A_SECOND_MAX * (self.clock.now() - began + 2):
                raise MessageUnexpected("more questions came than anybody has")
            await link.send(encode(self._reply(message)))

    def _reply(self, message: object) -> RosterNews:
        match message:
            case RosterWant(known=known):
                news, wanted = self.roster.news_for(known)
                return RosterNews(news, wanted, self.wall())
            case RosterNews(announcements=announcements):
                self._take(announcements)
                return RosterNews((), (), self.wall())
            case _:
                raise MessageUnexpected(f"a {type(message).__name__} is no word about a roster")

    # -- asking

    async def _go_round(self) -> None:
        while True:
            if self.clock.now() - self._renewed_at > RENEW_SECONDS:
                self._remember(self.renew)
            self._turn += 1
            asked = [it.endpoints[0] for it in self._choose() if it.endpoints]
            lonely = len(asked) == 0 or self._turn % 10 == 1
            seeds = [it for it in self.seeds if it not in asked] if lonely else []
            await asyncio.gather(*(self._tell(it) for it in [*asked, *seeds]))
            self._remember(lambda: self.memory.keep_peers(self.roster.live(self._now())))
            self._look_at_clock()
            await self._rest(alone=not asked)

    def _look_at_clock(self) -> None:
        """Say once that this machine's clock has gone wrong, as most of the others see it."""
        ahead = self.offset_ms // 1000
        wrong = abs(ahead) > SKEW_SECONDS_MAX
        if wrong and not self._off:
            error = ClockWrong(ahead)
            self.told("clock", {"reason": error.message, "next": error.next_step})
        self._off = wrong

    def _remember(self, work: Callable[[], None]) -> None:
        """Do what writes to the memory; where the disk refuses, say so once and go on."""
        try:
            work()
        except NodeError as error:  # there may be room again before the next turn
            if error.message != self._trouble:
                self.told("memory", {"reason": error.message, "next": error.next_step})
            self._trouble = error.message
        else:
            self._trouble = ""

    async def _rest(self, *, alone: bool) -> None:
        """Wait for the next turn: shortly when there was news, else until there is, or a while."""
        news = self._stirred.is_set()
        self._stirred.clear()
        if news or alone:
            self._pause = TURN_SECONDS
            await asyncio.sleep(TURN_SECONDS)
            return
        self._pause = min(2 * self._pause, QUIET_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._stirred.wait()

    def _choose(self) -> list[Announcement]:
        """Return the peers to ask in this turn: others each time."""
        others = [it for it in self.roster.live(self._now()) if it.signer != self.key]
        chance = Chance(self.key).fork("gossip", self._turn)
        order = sorted(others, key=lambda it: chance.fork(it.signer.hex()).seed)
        return order[:FANOUT]

    async def _tell(self, address: str) -> None:
        """Exchange news with the node at an address; note whether it could be reached."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                link = await self.switchboard.call(address, PURPOSE)
                try:
                    link.admit()
                    await self.exchange(link)
                finally:
                    await link.close()
        except TimeoutError:
            self.reached[address] = "it did not answer in time"
        except PeerError as error:
            self.reached[address] = error.message
            if isinstance(error, CallRefused) and error.refusal.code == "peer.version":
                self.foreign = error
        else:
            self.reached[address] = ""

    async def exchange(self, link: Link) -> None:
        """Hear what the other side knows, and tell it what it lacks."""
        sent = self.wall()
        await link.send(encode(self._want()))
        heard = await hear(link, RosterNews)
        self._note_clock(link, sent, heard)
        self._take(heard.announcements)
        entries = self.roster.entries
        due = [entries[it] for it in heard.wanted if it in entries]
        lacking = self._lacking(heard, due)
        await link.send(encode(RosterNews(tuple(lacking), (), self.wall())))
        await hear(link, RosterNews)

    def _lacking(self, heard: RosterNews, due: list[Announcement]) -> list[Announcement]:
        """Return what to tell: what was asked for, and this node itself in any case."""
        told = {it.signer for it in due}
        mine = [self.mine] if self.mine is not None and self.key not in told else []
        return [*mine, *due][:NEWS_MAX]

    def _note_clock(self, link: Link, sent: int, heard: RosterNews) -> None:
        key = getattr(link, "peer_key", None) or link.peer.encode()[:64]
        if len(self._offsets) < 256 or key in self._offsets:
            self._offsets[key] = sample_ms(sent=sent, received=self.wall(), theirs=heard.clock_ms)

    # -- feeling a pulse

    async def _notice(self) -> None:
        """Say once when a watched node is lost, and stop watching who has left for good."""
        known: set[bytes] = set()
        while True:
            lost = {key for key in self._watched if self.lost(key)}
            for key in sorted(lost - known):
                patience = self._watched[key].pulse.patience
                self.told("lost", {"node": key.hex(), "patience": round(patience, 3)})
            known = lost
            now = self._now()
            for key in list(self._watched):
                found = self.find(key)
                if found is None or found.expires < now:
                    self.unwatch(key)
            await asyncio.sleep(NOTICE_SECONDS)

    async def _feel(self, key: bytes, watched: Watched) -> None:
        """Ask a watched peer every beat over a link of its own, and again over a new one."""
        silence = encode(RosterNews((), (), 0))
        while True:
            watched.pulse = watched.pulse.asked(self.clock.now())
            with contextlib.suppress(PeerError, TimeoutError):
                async with asyncio.timeout(watched.pulse.most):
                    link = await self.switchboard.call(self.address(key), PURPOSE)
                try:
                    while True:
                        watched.pulse = watched.pulse.asked(self.clock.now())
                        async with asyncio.timeout(watched.pulse.most + watched.pulse.beat):
                            await link.send(silence)
                            await hear(link, RosterNews)
                        was_lost = self.lost(key)
                        watched.pulse = watched.pulse.answered(self.clock.now())
                        if was_lost:
                            self.told("returned", {"node": key.hex()})
                        await asyncio.sleep(watched.pulse.beat)
                except LinkLost as lost:
                    self.told("link lost", {"node": key.hex(), "reason": lost.reason})
                finally:
                    await link.close()
            await asyncio.sleep(min(watched.pulse.beat, 0.5))
