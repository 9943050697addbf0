"""Nodes find each other through any one that is up, and notice when one is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from skerry.membership.skew import ClockWrong
from skerry.messages.membership import (
    Call,
    Invite,
    RosterNews,
    RosterWant,
    invite_text,
    read_invite,
)
from skerry.messages.wire import encode
from skerry.node.daemon import CallRefused, hear, looking, switchboard
from skerry.node.daemon.daemon import Daemon, NodeStart, SeedsUnreachable
from skerry.node.daemon.home import NodeBusy, NodeHome
from skerry.node.daemon.host import Host, Service
from skerry.node.daemon.looking import (
    NetworkUnknown,
    VersionDiffers,
    ask_roster,
    find_invite,
    folder_named,
    stranger,
)
from skerry.node.daemon.memory import MemoryDamaged
from skerry.node.daemon.settings import NodeSettings
from skerry.node.keys import KeyUnsafe
from skerry.transport.iroh_transport import BindRefused, IrohTransport

SECONDS = 20.0


@dataclass
class Fleet:
    """Daemons in this process, each with its own folder and its own real port."""

    root: Path
    contact_seconds: float = 12.0
    service: Service | None = None  # lives in nodes that join from now on
    nodes: dict[str, tuple[Daemon, asyncio.Task[None], NodeStart]] = field(default_factory=dict)
    events: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    async def join(self, name: str, *, via: str = "", skew: int = 0, **settings: object) -> str:
        """Start a node and return its invite once it is ready."""
        invite = read_invite(self.nodes[via][2].invite) if via else None
        terms = msgspec.convert(settings, type=NodeSettings)
        daemon = Daemon(NodeHome(self.root / name), terms, invite)
        daemon.contact_seconds = self.contact_seconds
        daemon.services = [self.service] if self.service else []
        daemon.note = lambda kind, facts: self.events.append((name, kind, facts))
        if skew:
            before = daemon.wall
            daemon.wall = lambda: before() + skew
        started: asyncio.Future[NodeStart] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(daemon.live(started.set_result))
        task.add_done_callback(lambda task: started.done() or started.cancel())
        with contextlib.suppress(asyncio.CancelledError):
            await started
        if task.done():
            task.result()
        self.nodes[name] = (daemon, task, started.result())
        return started.result().invite

    def sees(self, name: str) -> set[str]:
        """Return the names of the nodes that one takes for alive, itself included."""
        names = {start.key: other for other, (_, _, start) in self.nodes.items()}
        gossip = self.nodes[name][0].gossip
        assert gossip is not None
        return {names.get(it.signer, "?") for it in gossip.live()}

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for a fact; the test's own limit of time decides nothing but a hang."""
        async with asyncio.timeout(SECONDS):
            while not fact():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), 0.05)

    async def leave(self, name: str) -> None:
        """Stop a node politely."""
        daemon, task, _ = self.nodes[name]
        daemon.stop()
        await task


def played(root: Path, case: Callable[[Fleet], Awaitable[None]]) -> Fleet:
    """Play a case and end every node."""

    async def play() -> Fleet:
        fleet = Fleet(root)
        try:
            await case(fleet)
        finally:
            for _, task, _ in fleet.nodes.values():
                task.cancel()
            await asyncio.gather(*(it[1] for it in fleet.nodes.values()), return_exceptions=True)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        return fleet

    return asyncio.run(play())


@pytest.mark.slow
def test_all_find_all_through_one_seed_and_go_on_without_it(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        await fleet.join("ann", via="seed")
        await fleet.join("bob", via="seed", roles=["solver", "verifier"])
        everybody = {"seed", "ann", "bob"}
        await fleet.until(lambda: all(fleet.sees(it) == everybody for it in everybody))
        await fleet.leave("seed")  # a farewell is an announcement that ends at once
        await fleet.until(lambda: fleet.sees("ann") == {"ann", "bob"} == fleet.sees("bob"))
        await fleet.leave("ann")
        await fleet.until(lambda: fleet.sees("bob") == {"bob"})
        await fleet.join("ann", via="seed")  # its seed is gone; it remembers bob
        await fleet.until(lambda: {"ann", "bob"} <= fleet.sees("ann"))
        await fleet.until(lambda: {"ann", "bob"} <= fleet.sees("bob"))

    played(tmp_path, case)


def test_a_node_that_only_dials_is_known_and_knows(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        await fleet.join("shy", via="seed", dial_only=True)
        await fleet.until(lambda: fleet.sees("seed") == {"seed", "shy"} == fleet.sees("shy"))
        found = fleet.nodes["seed"][0].gossip
        assert found is not None
        assert found.address(fleet.nodes["shy"][2].key) == ""

    played(tmp_path, case)


@pytest.mark.slow
def test_a_node_that_falls_silent_is_noticed(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        await fleet.join("ann", via="seed")
        gossip = fleet.nodes["seed"][0].gossip
        key = fleet.nodes["ann"][2].key
        assert gossip is not None
        await fleet.until(lambda: (pulse := gossip.pulse(key)) is not None and pulse.answers > 2)
        pulse = gossip.pulse(key)
        assert pulse is not None
        assert pulse.beat + pulse.patience < 5
        daemon, task, _ = fleet.nodes["ann"]
        assert daemon.gossip is not None
        board = daemon.gossip.switchboard
        await board.transport.close()  # no farewell: as if the machine had been switched off
        await fleet.until(lambda: fleet.sees("seed") == {"seed"})
        await fleet.until(
            lambda: ("seed", "lost") in {(who, kind) for who, kind, _ in fleet.events}
        )
        task.cancel()

    played(tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize("skew", [-400_000, 400_000])
def test_a_clock_that_is_wrong_is_named_at_once(tmp_path: Path, skew: int) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        with pytest.raises(ClockWrong, match=r"400 s (behind|ahead of)") as refused:
            await fleet.join("late", via="seed", skew=skew)
        assert "timedatectl" in refused.value.next_step

    played(tmp_path, case)


def test_another_version_and_a_wrong_clock_are_named_to_who_only_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(fleet: Fleet) -> None:
        invite = read_invite(await fleet.join("seed", roles=["seed"]))
        transport = stranger()
        ahead = time.time_ns() // 1_000_000 + 3_600_000
        with monkeypatch.context() as changed:
            changed.setattr(looking, "_now_ms", lambda: ahead)
            with pytest.raises(ClockWrong, match="ahead of the network's, and 120 s are the most"):
                await ask_roster(transport, invite)
        monkeypatch.setattr(switchboard, "NETWORK_PROTOCOL", 99)
        with pytest.raises(VersionDiffers, match="speaks protocol 99") as refused:
            await ask_roster(transport, invite)
        assert "the same version" in refused.value.next_step
        with pytest.raises(VersionDiffers):
            await fleet.join("ann", via="seed")
        await transport.close()

    played(tmp_path, case)


class Measured:
    """A service that has measured something."""

    async def start(self, host: Host) -> None:
        self.host = host

    async def stop(self) -> None:
        pass


def test_a_measured_speed_is_announced_and_kept(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        def rate() -> int:
            gossip = fleet.nodes["seed"][0].gossip
            assert gossip is not None
            found = gossip.find(fleet.nodes["ann"][2].key)
            return found.capability.rate if found is not None else -1

        await fleet.join("seed", roles=["seed"])
        fleet.service = made = Measured()
        await fleet.join("ann", via="seed")
        await fleet.until(lambda: rate() == 0)
        made.host.paced(12_345)
        await fleet.until(lambda: rate() == 12_345)
        await fleet.leave("ann")
        await fleet.until(lambda: fleet.sees("seed") == {"seed"})
        fleet.service = None
        await fleet.join("ann", via="seed")
        await fleet.until(lambda: fleet.sees("seed") == {"seed", "ann"})
        assert rate() == 12_345

    played(tmp_path, case)


def test_a_full_disk_is_said_once_and_a_node_goes_on(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        await fleet.join("ann", via="seed")
        gossip = fleet.nodes["ann"][0].gossip
        assert gossip is not None
        pages = gossip.memory._rows("PRAGMA page_count")[0][0]
        gossip.memory._rows(f"PRAGMA max_page_count={pages}")  # as full as a disk can be

        def work() -> None:
            for at in range(4000):
                gossip.memory.keep_fact(f"filling {at}", at)

        gossip._remember(work)
        gossip._remember(work)
        told = [it for who, kind, it in fleet.events if (who, kind) == ("ann", "memory")]
        assert len(told) == 1
        assert "database or disk is full" in str(told[0]["reason"])
        await fleet.join("bob", via="seed")
        await fleet.until(lambda: fleet.sees("ann") == {"seed", "ann", "bob"})

    played(tmp_path, case)


def test_a_clock_that_goes_wrong_meanwhile_is_told_once(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        gossip = fleet.nodes["seed"][0].gossip
        assert gossip is not None
        for at in range(3):
            gossip._offsets[bytes([at])] = 500_000 + at
        gossip._look_at_clock()
        gossip._look_at_clock()
        (told,) = [it for _, kind, it in fleet.events if kind == "clock"]
        assert "500 s behind the network's" in str(told["reason"])

    played(tmp_path, case)


def test_an_invite_is_no_path_however_long_it_is() -> None:
    text = invite_text(Invite(seeds=tuple(f"{bytes(32).hex()}@127.0.0.1:{it}" for it in range(5))))
    assert folder_named(text) is None
    assert find_invite(text).seeds
    with pytest.raises(NetworkUnknown):
        find_invite("x" * 5000)


@pytest.mark.slow
def test_no_way_in_is_said_with_what_to_do(tmp_path: Path) -> None:

    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        await fleet.leave("seed")
        fleet.contact_seconds = 0.5
        with pytest.raises(SeedsUnreachable, match="no way into the network"):
            await fleet.join("ann", via="seed")

    played(tmp_path, case)


def test_a_folder_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        taken = fleet.nodes["seed"][2].address.partition("@")[2].split(",")[0]
        with pytest.raises(NodeBusy):
            await fleet.join("seed", roles=["seed"])
        with pytest.raises(BindRefused, match="no socket at"):
            await fleet.join("other", listen=[taken])
        (tmp_path / "torn").mkdir()
        (tmp_path / "torn" / "memory.sqlite").write_bytes(b"torn" * 1000)
        with pytest.raises(MemoryDamaged):
            await fleet.join("torn")
        (tmp_path / "open").mkdir()
        (tmp_path / "open" / "node.key").write_bytes(bytes(32))
        (tmp_path / "open" / "node.key").chmod(0o644)
        with pytest.raises(KeyUnsafe):
            await fleet.join("open")

    played(tmp_path, case)


def test_a_stranger_is_told_what_is_wrong_with_what_it_says(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        await fleet.join("seed", roles=["seed"])
        address = fleet.nodes["seed"][2].address
        stranger = IrohTransport(bytes([9] * 32))
        for words, code in (
            ([Call("roster", protocol=2)], "peer.version"),
            ([Call("oracle")], "peer.purpose"),
            ([Call("roster"), Call("roster")], "peer.message.kind"),
        ):
            link = await stranger.connect(address)
            for word in words:
                await link.send(encode(word))
            with pytest.raises(CallRefused) as refused:
                await hear(link, RosterNews)
            assert refused.value.refusal.code == code
            await link.close()
        link = await stranger.connect(address)
        await link.send(encode(Call("roster")))
        await link.send(encode(RosterWant((), 0)))
        news = await hear(link, RosterNews)
        assert len(news.announcements) == 1
        await stranger.close()

    played(tmp_path, case)


def test_an_invite_names_the_network_and_a_way_in(tmp_path: Path) -> None:
    async def case(fleet: Fleet) -> None:
        text = await fleet.join("seed", roles=["seed"])
        invite = read_invite(text)
        assert invite.seeds == (fleet.nodes["seed"][2].address,)
        assert read_invite(await fleet.join("ann", via="seed")) == invite
        wrong = msgspec.structs.replace(invite, network=bytes(32 * [5]))
        other = Daemon(NodeHome(tmp_path / "eve"), NodeSettings(), read_invite(invite_text(wrong)))
        started = asyncio.Event()
        task = asyncio.ensure_future(other.live(lambda start: started.set()))
        await started.wait()
        assert other.gossip is not None
        assert [it.signer for it in other.gossip.live()] == [other.gossip.key]
        other.stop()
        await task

    played(tmp_path, case)
