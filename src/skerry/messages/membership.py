"""What nodes say to each other before any work: who is there, and who may act.

What    `Call` opens every conversation between nodes and `Refusal` ends one that will not be.
        `Announcement` is a node's signed word about itself; `RosterWant` and `RosterNews` spread
        it. `Lease` and `LeaseTaken` bind a node to a job. `Invite` is what a newcomer is handed, as
        one line of text.
Why     Whatever a stranger says about another node must carry that node's own signature, end by
        itself, and be no larger than its reader planned for.
Rule    Times are whole seconds of Unix time, or milliseconds where a name says so. A fence counts
        a job's coordinators from 1; who acts under a lower fence than the highest seen is refused.
        An invite's text is "skerry1", then base 32 (RFC 4648, small letters, no padding) of the
        message and the first 5 bytes of its digest.
Pure    Frozen structs.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from skerry.base.digests import digest
from skerry.base.errors import PeerError
from skerry.messages.fields import (
    Count,
    Digest,
    PublicKey,
    SignedMessage,
    require_ascending,
)

NETWORK_PROTOCOL = 1
PEERS_MAX = 4096
NEWS_MAX = 256
LEASED_MAX = 64
ENDPOINTS_MAX = 8
SEEDS_MAX = 16
NOTHING = bytes(32)
INVITE_PREFIX = "skerry1"
INVITE_CHARS_MAX = 8192
_CHECK_BYTES = 5

Purpose: TypeAlias = Annotated[str, Meta(min_length=1, max_length=32, pattern="^[a-z-]+$")]
Endpoint: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Endpoints: TypeAlias = Annotated[tuple[Endpoint, ...], Meta(max_length=ENDPOINTS_MAX)]
RoleName: TypeAlias = Literal["seed", "solver", "verifier"]
ChainAddress: TypeAlias = Annotated[bytes, Meta(min_length=20, max_length=20)]
Fence: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 32)]
Line: TypeAlias = Annotated[str, Meta(max_length=1024)]


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="call/1"):
    """The first words on every link between nodes: what the caller wants to talk about.

    Attributes:
        purpose: which conversation follows, for example "roster" or "blobs".
        job: the job it is about; None where it is about none.
        fence: the fence under which the caller acts; 0 where it acts under none.
        protocol: the network protocol that the caller speaks.
    """

    purpose: Purpose
    job: Digest | None = None
    fence: Count = 0
    protocol: Count = NETWORK_PROTOCOL


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refusal/1"):
    """The callee will not do what was asked: a code that stays, why, and what to do next."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    message: Line
    next_step: Line = ""


# -- who is there


class Capability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node measured of itself, and what its owner lends.

    Attributes:
        rate: integer operations a second of exact work; 0 where it was not measured.
        memory_bytes: memory that a worker may use.
        cores: cores that a worker may use.
    """

    rate: Count
    memory_bytes: Count
    cores: Annotated[int, Meta(ge=0, le=4096)]


class Announcement(SignedMessage, frozen=True, kw_only=True, tag="announcement/1"):
    """A node's word about itself; the signer is the node.

    Attributes:
        network: the network that it belongs to; zeros where nobody named one.
        sequence: grows with every announcement of this node; the highest counts.
        issued: when it was signed, by the node's clock.
        expires: the last second at which it counts.
        protocol: the network protocol that the node speaks.
        endpoints: where it can be called; none where it can only call.
        roles: what it offers to be, ascending.
        chain_address: who is staked and paid for it; None where it has no account.
        capability: what it can compute.
    """

    network: Digest = NOTHING
    sequence: Count
    issued: Count
    expires: Count
    protocol: Count = NETWORK_PROTOCOL
    endpoints: Endpoints = ()
    roles: Annotated[tuple[RoleName, ...], Meta(min_length=1, max_length=3)]
    chain_address: ChainAddress | None = None
    capability: Capability = Capability(0, 0, 0)

    def __post_init__(self) -> None:
        """Refuse an announcement that ends before it begins, or spells a set in two ways."""
        if self.expires < self.issued:
            raise ValueError("an announcement cannot expire before it was issued")
        require_ascending("roles", self.roles)


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Which announcement of a node somebody has: its sequence."""

    node: PublicKey
    sequence: Count


class RosterWant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="roster-want/1"):
    """What the sender has; the answer is what it lacks.

    Attributes:
        known: the sequence it has of each node, ascending by node.
        clock_ms: the sender's clock, Unix time in milliseconds.
    """

    known: Annotated[tuple[Known, ...], Meta(max_length=PEERS_MAX)]
    clock_ms: Count

    def __post_init__(self) -> None:
        """Hold the nodes in one order."""
        require_ascending("known", [it.node for it in self.known])


class RosterNews(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="roster-news/1"):
    """Announcements that the receiver lacks, and what the sender lacks itself.

    Attributes:
        announcements: at most so many at once; who asks again gets the next ones.
        wanted: nodes of whom the receiver has news for the sender.
        clock_ms: the sender's clock, Unix time in milliseconds.
    """

    announcements: Annotated[tuple[Announcement, ...], Meta(max_length=NEWS_MAX)]
    wanted: Annotated[tuple[PublicKey, ...], Meta(max_length=NEWS_MAX)]
    clock_ms: Count


# -- who may act


class Lease(SignedMessage, frozen=True, kw_only=True, tag="lease/1"):
    """A submitter binds a node to a job until a moment; the signer is the submitter.

    Attributes:
        job: digest of the run's terms.
        award: the job's name on the chain; zeros where nothing is paid.
        node: who is bound.
        order: all who are bound, in the order in which they coordinate.
        fence: fence of the first coordinator under this lease.
        issued: when it was signed, by the submitter's clock.
        expires: the last second at which the node may act under it.
    """

    job: Digest
    award: Digest = NOTHING
    node: PublicKey
    order: Annotated[tuple[PublicKey, ...], Meta(min_length=1, max_length=LEASED_MAX)]
    fence: Fence
    issued: Count
    expires: Count

    def __post_init__(self) -> None:
        """Refuse a lease that contradicts itself."""
        if len(set(self.order)) != len(self.order):
            raise ValueError("a node stands twice in the order")
        if self.node not in self.order:
            raise ValueError("the leased node is not in the order")
        if self.expires < self.issued:
            raise ValueError("a lease cannot expire before it was issued")


class LeaseTaken(SignedMessage, frozen=True, kw_only=True, tag="lease-taken/1"):
    """A node takes a lease; the signer is the node.

    Attributes:
        lease: the signed digest of the lease.
        round: rounds of the job whose records it has accepted, under an earlier lease.
        record: digest of the last of them; zeros before the first.
        record_fence: the fence under which it was accepted; 0 before the first.
    """

    lease: Digest
    round: Count = 0
    record: Digest = NOTHING
    record_fence: Annotated[int, Meta(ge=0, le=1 << 32)] = 0


# -- how to get in


class Invite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="invite/1"):
    """Where a newcomer finds a network; any one of the ways suffices.

    Attributes:
        network: the network's name.
        seeds: addresses of nodes to call first.
        chain: URL of the chain's node; empty where there is none.
        registry: the contract that lists nodes on that chain; None where there is none.
    """

    network: Digest = NOTHING
    seeds: Annotated[tuple[Endpoint, ...], Meta(max_length=SEEDS_MAX)] = ()
    chain: Annotated[str, Meta(max_length=512)] = ""
    registry: ChainAddress | None = None

    def __post_init__(self) -> None:
        """Refuse an invite that leads nowhere."""
        if not self.seeds and not self.chain:
            raise ValueError("an invite names a seed or a chain")


class InviteWrong(PeerError):
    """A text is no invite, or was changed on its way."""

    code = "peer.invite"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"that is no invite: {reason}",
            next_step="copy the whole line that begins with skerry1, or ask for it again",
        )


def invite_text(invite: Invite) -> str:
    """Return the one line that leads to a network."""
    data = msgspec.msgpack.encode(invite, order="deterministic")
    check = digest("invite", data)[:_CHECK_BYTES]
    return INVITE_PREFIX + base64.b32encode(data + check).decode().lower().rstrip("=")


def read_invite(text: str) -> Invite:
    """Return the invite that a line of text spells; spaces around it and capitals do not matter.

    Raises:
        InviteWrong: it is no invite, or a character of it is wrong.
    """
    line = text.strip().lower()
    if not line.startswith(INVITE_PREFIX):
        raise InviteWrong(f"it does not begin with {INVITE_PREFIX}")
    if len(line) > INVITE_CHARS_MAX:
        raise InviteWrong(f"it has {len(line)} characters")
    body = line.removeprefix(INVITE_PREFIX).upper()
    try:
        raw = base64.b32decode(body + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError):
        raise InviteWrong("a character of it is not of base 32") from None
    data, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if digest("invite", data)[:_CHECK_BYTES] != check:
        raise InviteWrong("its check does not fit: a character was changed or is missing")
    try:
        invite = msgspec.msgpack.decode(data, type=Invite)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InviteWrong(str(error)) from None
    if invite_text(invite) != line:
        raise InviteWrong("it is not spelled canonically")
    return invite


RosterMessage: TypeAlias = RosterWant | RosterNews | Announcement
LeaseMessage: TypeAlias = Lease | LeaseTaken
MembershipMessage: TypeAlias = Call | Refusal | RosterMessage | LeaseMessage | Invite
