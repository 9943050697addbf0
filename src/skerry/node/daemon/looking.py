"""Who is there, asked from outside: by a person, or by who wants to give a job.

What    `find_invite(text)` turns what a person writes into an invite; `ask_roster(invite)` returns
        the announcements that its seeds know; `look(invite)` also asks every node whether it lives.
Why     `skerry nodes`, `skerry doctor` and `skerry run --network` need the roster without being a
        node: they have no folder, no place in it, and are gone after the question.
Rule    The first seed that answers suffices; where none does, the chain's registry names others.
        Every announcement is checked as a node would.
Units   Milliseconds for round trips, seconds of Unix time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from skerry.base.chance import Chance
from skerry.base.errors import NodeError, PeerError, SkerryError
from skerry.membership import SKEW_SECONDS_MAX, AnnouncementRefused, Roster, check_announcement
from skerry.membership.skew import ClockWrong, sample_ms
from skerry.messages.membership import (
    INVITE_PREFIX,
    NOTHING,
    SEEDS_MAX,
    Announcement,
    Invite,
    RosterNews,
    RosterWant,
    read_invite,
)
from skerry.messages.wire import encode
from skerry.node.daemon.gossip import PURPOSE
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.switchboard import CallRefused, hear, open_call
from skerry.storage import read_file
from skerry.transport import Transport
from skerry.transport.iroh_transport import IrohTransport

NETWORK_NAME = "network.json"
ANSWER_SECONDS = 6.0


class NetworkFile(msgspec.Struct, frozen=True):
    """What `skerry up` writes into a network's folder: its invite, its chain and its process."""

    invite: str
    chain: str = ""
    pid: int = 0


class NetworkUnknown(NodeError):
    """What a person wrote names no network."""

    code = "node.network.unknown"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} names no network",
            next_step="give an invite (skerry1...), a folder of `skerry up`, or the folder of a"
            " node that runs (--home)",
        )


class NobodyAnswered(PeerError):
    """None of the seeds of an invite answered."""

    code = "peer.seeds"

    def __init__(self, tried: dict[str, str]) -> None:
        self.tried = tried
        words = "; ".join(f"{where[:12]}… {why}" for where, why in sorted(tried.items()))
        super().__init__(
            f"no seed answered: {words}"[:900],
            next_step="start the seed again, or ask for a new invite; `skerry doctor --network"
            " INVITE` looks closer",
        )


class VersionDiffers(PeerError):
    """The other nodes speak another version of what nodes say to each other."""

    code = "peer.version"

    def __init__(self, refused: CallRefused) -> None:
        super().__init__(
            f"another version of skerry runs that network: {refused.refusal.message}",
            next_step="let both run the same version of skerry; nothing here was changed",
        )


@dataclass(frozen=True, slots=True)
class NodeSight:
    """One node as it was seen.

    Attributes:
        announcement: its word about itself.
        round_trip_ms: how long it took to answer; None where it did not.
        trouble: why it did not answer; empty where it did.
        clock_ms: how far its clock is ahead of this machine's; None where it did not answer.
    """

    announcement: Announcement
    round_trip_ms: float | None = None
    trouble: str = ""
    clock_ms: int | None = None


def find_invite(text: str) -> Invite:
    """Return the invite that a text means: itself, that of a network's folder, or of a node's.

    Raises:
        InviteWrong: it begins like an invite and is none.
        NetworkUnknown: it is neither.
    """
    if text.strip().lower().startswith(INVITE_PREFIX):
        return read_invite(text)
    folder = folder_named(text)
    if folder is None:
        raise NetworkUnknown(text)
    if (folder / NETWORK_NAME).is_file():
        try:
            found = msgspec.json.decode(read_file(folder / NETWORK_NAME), type=NetworkFile)
        except msgspec.DecodeError:
            raise NetworkUnknown(text) from None
        return read_invite(found.invite)
    presence = NodeHome(folder).presence()
    if presence is None or not presence.address:
        raise NetworkUnknown(text)
    if presence.invite:
        given = read_invite(presence.invite)
        return msgspec.structs.replace(given, seeds=(presence.address, *given.seeds)[:16])
    return Invite(seeds=(presence.address,))


def folder_named(text: str) -> Path | None:
    """Return the folder that a text names, or None where it is none: an invite is no path."""
    folder = Path(text).expanduser()
    try:
        return folder if folder.is_dir() else None
    except OSError:  # longer than any name
        return None


def stranger() -> IrohTransport:
    """Return a transport of somebody who only asks, under a key that nobody knows."""
    return IrohTransport(os.urandom(32))


async def ask_roster(transport: Transport, invite: Invite) -> tuple[Announcement, ...]:
    """Return who is there, as the first seed, or node of the registry, that answers says.

    Raises:
        NobodyAnswered: with the reason for each seed.
        VersionDiffers: one speaks another version.
        ClockWrong: nothing that they say counts by this machine's clock.
    """
    tried: dict[str, str] = {}
    answer = await _first_answer(transport, invite.seeds, tried)
    if answer is None:
        answer = await _first_answer(transport, await _by_registry(invite, tried), tried)
    if answer is None:
        raise NobodyAnswered(tried or {"no seed": "the invite names none"})
    news, ahead_ms = answer
    sound = _sound(news.announcements, invite.network)
    if not sound and abs(ahead_ms) > SKEW_SECONDS_MAX * 1000:
        raise ClockWrong(ahead_ms // 1000)
    return sound


async def reachable(transport: Transport, invite: Invite) -> Invite:
    """Return an invite with the registry's nodes first, where none of its seeds answers."""
    tried: dict[str, str] = {}
    if await _first_answer(transport, invite.seeds, tried) is not None:
        return invite
    seeds = (*await _by_registry(invite, tried), *invite.seeds)[:SEEDS_MAX]
    return msgspec.structs.replace(invite, seeds=seeds)


async def _by_registry(invite: Invite, tried: dict[str, str]) -> list[str]:
    try:
        return await asyncio.to_thread(registered, invite)
    except SkerryError as error:
        tried["the chain's registry"] = error.message
        return []


def registered(invite: Invite) -> list[str]:
    """Return where nodes can be called, as the chain's registry says; none where there is none.

    Raises:
        ChainError: the chain cannot be asked.
    """
    if not invite.chain or invite.registry is None:
        return []
    from skerry.chain.registry import listed  # a chain's client takes a second to load

    return listed(invite.chain, invite.registry, Chance(os.urandom(32)))


async def _first_answer(
    transport: Transport, seeds: Sequence[str], tried: dict[str, str]
) -> tuple[RosterNews, int] | None:
    """Return what the first that answers says, and the milliseconds by which its clock is ahead.

    Why the others did not answer is noted in `tried`.
    """
    for seed in seeds:
        try:
            sent = _now_ms()
            news = await _ask(transport, seed)
            return news, sample_ms(sent=sent, received=_now_ms(), theirs=news.clock_ms)
        except TimeoutError:
            tried[seed] = "it did not answer in time"
        except CallRefused as error:
            if error.refusal.code == VersionDiffers.code:
                raise VersionDiffers(error) from None
            tried[seed] = error.message
        except PeerError as error:
            tried[seed] = error.message
    return None


async def _ask(transport: Transport, address: str) -> RosterNews:
    async with asyncio.timeout(ANSWER_SECONDS):
        link = await open_call(transport, address, PURPOSE)
        try:
            await link.send(encode(RosterWant((), _now_ms())))
            return await hear(link, RosterNews)
        finally:
            await link.close()


def _sound(said: Sequence[Announcement], network: bytes = NOTHING) -> tuple[Announcement, ...]:
    now, sound = _now_ms() // 1000, []
    for it in said:
        try:
            check_announcement(it, now=now, network=network)
        except AnnouncementRefused:
            continue
        sound.append(it)
    return Roster().merged(sound).live(now)


async def look(transport: Transport, invite: Invite) -> list[NodeSight]:
    """Return every node that the seeds know, each asked whether it lives.

    Raises:
        NobodyAnswered: no seed did.
    """
    known = await ask_roster(transport, invite)
    return list(await asyncio.gather(*(see(transport, it) for it in known)))


async def see(transport: Transport, announcement: Announcement) -> NodeSight:
    """Return one node as it answers now."""
    if not announcement.endpoints:
        return NodeSight(announcement, trouble="it only dials out")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            link = await open_call(transport, announcement.endpoints[0], PURPOSE)
            try:
                began, sent = time.monotonic(), _now_ms()
                await link.send(encode(RosterNews((), (), sent)))
                heard = await hear(link, RosterNews)
                trip = (time.monotonic() - began) * 1000
            finally:
                await link.close()
    except TimeoutError:
        return NodeSight(announcement, trouble="it does not answer")
    except PeerError as error:
        return NodeSight(announcement, trouble=error.message)
    ahead = sample_ms(sent=sent, received=_now_ms(), theirs=heard.clock_ms)
    return NodeSight(announcement, round_trip_ms=trip, clock_ms=ahead)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
