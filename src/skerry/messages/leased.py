"""What the leased nodes of a job, and whoever submitted it, say to each other.

What    `Assignment` gives a node its part of a job. `Follow` asks for the committed rounds, which
        come as `Committed` and end with `Closed`. `SignedRecord` is the coordinator's word on a
        round, `Contradiction` two of them that cannot both be true, `Holding` a node's word that it
        keeps blobs. `Chair` says who coordinates.
Why     Nodes share no files: what one must know to go on in another's place has to be sent, and
        who said it must be beyond doubt.
Rule    A fence counts the job's coordinators from 1 and only grows. Two different records that one
        signer signed for one fence and round prove a double game. When a job goes back to an
        earlier round, the next turn has higher fences, so that signing a round again is none.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from skerry.messages.fields import (
    Count,
    Digest,
    NamedDigests,
    PublicKey,
    SignedMessage,
    require_ascending,
)
from skerry.messages.membership import ChainAddress
from skerry.messages.receipts import SHARDS_MAX, Receipt
from skerry.messages.rounds import LANES_MAX, Digests, Lane, Round, RoundRecord, RunConfig, Text

NODES_MAX = 1 << 10
TURNS_MAX = 1 << 8
FENCES = 1 << 16  # of one turn
FILES_MAX = 1 << 14
TOLD_MAX = 1 << 14
COMMITTED_BYTES_MAX = 1 << 26

Address: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]
FileName: TypeAlias = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,63}\.(json|bin)\Z")]
Told: TypeAlias = Annotated[
    tuple[Annotated[bytes, Meta(max_length=1 << 16)], ...], Meta(max_length=TOLD_MAX)
]


class NodeAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A node by its key, and where it can be reached."""

    key: PublicKey
    address: Address


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A node by its key, and the address that is staked and paid for it."""

    key: PublicKey
    address: ChainAddress


class Awarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where on a chain a job's money lies, and whose it may become.

    Attributes:
        chain: the chain's id.
        market: the market's contract.
        job: the job's name there.
        parties: everyone who has a part in it but the submitter, ascending by key.
    """

    chain: Count
    market: ChainAddress
    job: Digest
    parties: Annotated[tuple[Party, ...], Meta(min_length=1, max_length=NODES_MAX)]

    def __post_init__(self) -> None:
        """Hold the parties in one order, and each address to one of them."""
        require_ascending("parties", [it.key for it in self.parties])
        if len({it.address for it in self.parties}) != len(self.parties):
            raise ValueError("two parties have one address")


class Assignment(SignedMessage, frozen=True, kw_only=True, tag="assignment/1"):
    """A node's part in a job, signed by whoever submits it.

    Attributes:
        config: the run's terms; their digest names the job.
        kept: rounds that stayed, each time that the job went back to an earlier round.
        earlier: keys of the nodes whose records of the kept rounds count, ascending.
        programs: blobs of the canonical Programs, by what they are for, ascending by name.
        files: blobs of the prepared data, by the names of the files.
        nodes: the leased nodes; the first coordinates first, the next ones stand by in this order.
        observers: nodes that keep the job's records and run no lane of it, as auditors do.
        awarded: where its money lies; None where nobody is paid.
        source: where the submitter answers for blobs while it lives.
        holders: how many other nodes keep a lane's own state.
        hold_rounds: rounds between two such times; 0 keeps none elsewhere.
    """

    config: RunConfig
    kept: Annotated[tuple[Round, ...], Meta(max_length=TURNS_MAX)] = ()
    earlier: Annotated[tuple[PublicKey, ...], Meta(max_length=NODES_MAX)] = ()
    programs: NamedDigests
    files: Annotated[tuple[tuple[FileName, Digest], ...], Meta(max_length=FILES_MAX)] = ()
    nodes: Annotated[tuple[NodeAddress, ...], Meta(min_length=1, max_length=NODES_MAX)]
    observers: Annotated[tuple[NodeAddress, ...], Meta(max_length=NODES_MAX)] = ()
    awarded: Awarded | None = None
    source: NodeAddress | None = None
    holders: Annotated[int, Meta(ge=0, le=16)] = 1
    hold_rounds: Round = 5

    def __post_init__(self) -> None:
        """Refuse a node that is named twice, and a past that no job has."""
        every = (*self.nodes, *self.observers)
        if len({node.key for node in every}) != len(every):
            raise ValueError("a node is assigned twice")
        require_ascending("earlier", self.earlier)
        if any(it >= self.config.rounds for it in self.kept):
            raise ValueError("a job that goes back has a round to do again")
        if self.earlier and not self.kept:
            raise ValueError("a job that never went back has no earlier nodes")

    @property
    def revision(self) -> int:
        """How often the job went back; of two assignments the higher one counts."""
        return len(self.kept)


class Assigned(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="assigned/1"):
    """A node has everything that its part of the job needs, whatever becomes of the submitter."""

    job: Digest
    revision: Count


class Chair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="chair/1"):
    """Who coordinates a job, as far as the sender knows, under which fence.

    Attributes:
        job: the job.
        fence: the fence; 0 where the sender knows nobody.
        node: the coordinator's key.
        held: whether the sender hears it now.
    """

    job: Digest
    fence: Count
    node: PublicKey
    held: bool = False


class Follow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="follow/1"):
    """Send each committed round from `round` on; as they come if `live`, else those there are."""

    job: Digest
    round: Round
    live: bool = True


class SignedRecord(SignedMessage, frozen=True, kw_only=True, tag="signed-record/1"):
    """The coordinator's word on what a round came to."""

    fence: Count
    record: RoundRecord


class Contradiction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="contradiction/1"):
    """Two records that one coordinator signed under one fence and that cannot both be true."""

    first: SignedRecord
    second: SignedRecord


class Holding(SignedMessage, frozen=True, kw_only=True, tag="holding/1"):
    """A node keeps these blobs, lanes' own states at `round`, until the job is closed."""

    job: Digest
    round: Round
    blobs: Digests


class Committed(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="committed/1"
):
    """A committed round, with all that another node needs to answer for it.

    Attributes:
        record: the signed record.
        receipts: receipts of its lanes, in lane order.
        holders: who shall keep a copy of which lane's own state, as it is after the round.
        holdings: what nodes have signed that they keep, since the round before.
        told: events of the run since the round before, each one line of its log.
    """

    record: SignedRecord
    receipts: Annotated[tuple[Receipt, ...], Meta(max_length=LANES_MAX * SHARDS_MAX)] = ()
    holders: Annotated[tuple[tuple[Lane, PublicKey], ...], Meta(max_length=1 << 16)] = ()
    holdings: Annotated[tuple[Holding, ...], Meta(max_length=1 << 12)] = ()
    told: Told = ()


class Closed(SignedMessage, frozen=True, kw_only=True, tag="closed/2"):
    """The coordinator's word that the job is over; `node.network.ends` says when it is believed.

    Attributes:
        job: the job.
        fence: the fence under which it was closed.
        kind: how it ended.
        rounds: how many rounds were committed then.
        detail: why, in words.
        code: the code of the trouble that ended it, where there was one.
        next_step: what can be done about it.
        state: blob of the last global state that was saved.
        round: the round of that state.
        root: its root.
        told: events since the last committed round.
    """

    job: Digest
    fence: Count
    kind: Literal["finished", "asked", "failed", "crashing", "conflict"]
    rounds: Round
    detail: Text = ""
    code: Text = ""
    next_step: Text = ""
    state: Digest | None = None
    round: Round = 0
    root: Digest | None = None
    told: Told = ()


class Reached(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reached/1"):
    """All rounds before `round` have been sent; the job goes on there, or did not close here."""

    job: Digest
    round: Round


LeasedMessage: TypeAlias = (
    Assignment
    | Assigned
    | Chair
    | Follow
    | SignedRecord
    | Contradiction
    | Holding
    | Committed
    | Closed
    | Reached
)
