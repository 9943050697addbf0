"""Who is there: signed announcements, merged so that order and repetition do not matter.

What    `check_announcement` refuses what no honest node would say; `Roster.merged` takes the rest
        in; `news_for` says what another node lacks.
Why     Nodes hear of each other from anyone, several times and late. Whatever the order, whoever
        has heard the same must know the same.
Rule    Of two announcements of one node the higher sequence counts, then the greater bytes, so
        `merged` is the join of a semilattice. A roster that is full keeps the nodes of lowest rank,
        and a rank is a digest under this node's own salt: nobody can choose a key that pushes
        others out. Whoever is expired is forgotten and cannot come back by an old announcement.
Units   Seconds of Unix time. Clocks may differ by SKEW_SECONDS_MAX.
Pure    The time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skerry.base.digests import digest
from skerry.base.errors import PeerError
from skerry.base.ids import nickname
from skerry.messages.membership import (
    NEWS_MAX,
    NOTHING,
    PEERS_MAX,
    Announcement,
    Known,
)
from skerry.messages.signing import SignatureWrong, check_signature
from skerry.messages.wire import encode

SKEW_SECONDS_MAX = 120
LIFETIME_SECONDS_MAX = 3600
ANNOUNCEMENT_BYTES_MAX = 2048


class AnnouncementRefused(PeerError):
    """An announcement breaks a rule, so nothing that it says is believed."""

    code = "peer.announcement"

    def __init__(self, node: bytes, reason: str, next_step: str) -> None:
        self.node = node
        self.reason = reason
        super().__init__(
            f"the announcement of {nickname(node)} was refused: {reason}", next_step=next_step
        )


def endpoint_key(endpoint: str) -> bytes | None:
    """Return the node key that an endpoint names before its "@", or None where it names none."""
    name, at, _ = endpoint.partition("@")
    try:
        return bytes.fromhex(name) if at else None
    except ValueError:
        return b""


def check_announcement(announcement: Announcement, *, now: int, network: bytes = NOTHING) -> None:
    """Refuse an announcement that this node should neither believe nor pass on.

    Args:
        announcement: whatever arrived.
        now: Unix seconds.
        network: the network that this node belongs to; zeros take any.

    Raises:
        AnnouncementRefused: its time, size, network, endpoints or signature will not do.
    """
    node, ahead = announcement.signer, announcement.issued - now
    foreign = [it for it in announcement.endpoints if endpoint_key(it) not in (None, node)]
    lifetime = announcement.expires - announcement.issued
    clock = "set the clock of that machine, or of this one (`skerry doctor`)"
    again = "that node announces itself again by itself"
    reasons = (
        (
            network not in (NOTHING, announcement.network),
            "it is of another network",
            "use its invite",
        ),
        (ahead > SKEW_SECONDS_MAX, f"it was issued {ahead} s in the future", clock),
        (lifetime > LIFETIME_SECONDS_MAX, f"it wants to count for {lifetime} s", again),
        (now - announcement.expires > SKEW_SECONDS_MAX, "it has expired", again),
        (bool(foreign), "it names an endpoint of another node", "do not trust that node"),
        (
            len(encode(announcement)) > ANNOUNCEMENT_BYTES_MAX,
            f"it is longer than {ANNOUNCEMENT_BYTES_MAX} bytes",
            "name fewer or shorter endpoints",
        ),
    )
    for broken, reason, next_step in reasons:
        if broken:
            raise AnnouncementRefused(node, reason, next_step)
    try:
        check_signature(announcement)
    except SignatureWrong:
        raise AnnouncementRefused(node, "it did not sign it", "do not trust who sent it") from None


def _weight(announcement: Announcement) -> tuple[int, bytes]:
    return announcement.sequence, encode(announcement)


@dataclass(frozen=True)
class Roster:
    """The announcements that a node knows, one of each node.

    Attributes:
        entries: announcements by node key; each has passed `check_announcement`.
        salt: what ranks are drawn from when there are more nodes than `size_max`.
        size_max: most nodes to know.
    """

    entries: Mapping[bytes, Announcement] = field(default_factory=dict)
    salt: bytes = b""
    size_max: int = PEERS_MAX

    def merged(self, news: Iterable[Announcement]) -> Roster:
        """Return the roster that also knows `news`, which have been checked."""
        entries = dict(self.entries)
        for it in news:
            held = entries.get(it.signer)
            if held is None or _weight(it) > _weight(held):
                entries[it.signer] = it
        if len(entries) > self.size_max:
            kept = sorted(entries, key=self._rank)[: self.size_max]
            entries = {key: entries[key] for key in kept}
        return replace(self, entries=entries)

    def _rank(self, key: bytes) -> bytes:
        return digest("roster-rank", self.salt, key)

    def pruned(self, now: int) -> Roster:
        """Return the roster without the nodes whose announcement has expired for every clock."""
        left = {key: it for key, it in self.entries.items() if now - it.expires <= SKEW_SECONDS_MAX}
        return self if len(left) == len(self.entries) else replace(self, entries=left)

    def live(self, now: int) -> tuple[Announcement, ...]:
        """Return the announcements that count at `now` by this node's clock, by key."""
        return tuple(it for _, it in sorted(self.entries.items()) if now <= it.expires)

    def known(self) -> tuple[Known, ...]:
        """Return what this roster has, as another node is told."""
        return tuple(Known(key, it.sequence) for key, it in sorted(self.entries.items()))

    def news_for(
        self, theirs: Sequence[Known]
    ) -> tuple[tuple[Announcement, ...], tuple[bytes, ...]]:
        """Return the announcements which they lack, and the nodes of whom they have news."""
        sequences = {it.node: it.sequence for it in theirs}
        lacking = [
            it for key, it in sorted(self.entries.items()) if sequences.get(key, -1) < it.sequence
        ]
        wanted = [
            key
            for key, sequence in sorted(sequences.items())
            if (held := self.entries.get(key)) is None or held.sequence < sequence
        ]
        return tuple(lacking[:NEWS_MAX]), tuple(wanted[:NEWS_MAX])
