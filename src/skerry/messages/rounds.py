"""What a coordinator and its workers say to each other during a run.

What    `RunConfig` fixes everything that decides a run's bits. The coordinator says Welcome,
        Supply, Join, Merge, RunLane, Evaluate, Save and Farewell; a worker says Hello, Want,
        Standing, LaneDone, Evaluated, Saved and Trouble. `RoundRecord` is what a round came to.
Why     Workers share nothing but these messages and the store of blobs, so a network can carry
        them as they are.
Rule    States and data never travel here: they are named by digest. Updates travel as the codec
        packed them. A number that is not an integer travels as the bits of its float64.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from skerry.base.digests import digest
from skerry.messages.fields import (
    Count,
    Digest,
    Int64,
    Name,
    NamedDigests,
    PublicKey,
    require_ascending,
)
from skerry.messages.receipts import SEGMENTS_MAX, SHARDS_MAX, STEPS_MAX, Receipt

PROTOCOL = 1
LANES_MAX = 1 << 12
ROUNDS_MAX = 1 << 32
UPDATE_BYTES_MAX = 1 << 29
TEXT_MAX = 4096

Lane: TypeAlias = Annotated[int, Meta(ge=0, lt=LANES_MAX)]
Round: TypeAlias = Annotated[int, Meta(ge=0, le=ROUNDS_MAX)]
Update: TypeAlias = Annotated[bytes, Meta(max_length=UPDATE_BYTES_MAX)]
Text: TypeAlias = Annotated[str, Meta(max_length=TEXT_MAX)]
Digests: TypeAlias = Annotated[tuple[Digest, ...], Meta(max_length=LANES_MAX)]
TaskName: TypeAlias = Literal["join", "merge", "save", "lane", "evaluate"]
Floats: TypeAlias = Annotated[tuple[tuple[Name, Int64], ...], Meta(max_length=64)]


class RunConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="run-config/1"
):
    """Everything that decides the bits of a run, and when it saves and evaluates.

    Attributes:
        exchange: "local": a lane runs `local_steps` of Program "step", then "encode" where a merge
            is due; all apply "merge". "every-step": a lane runs "grad" for each of its shards; all
            apply "apply".
        arithmetic: "exact", or "fast" for machines that one trusts.
        rounds: rounds of the run.
        local_steps: steps of a lane in a round; 1 where exchange is "every-step".
        lanes: lanes of a round.
        shards_per_lane: shards of one lane and step.
        samples_per_shard: samples of one shard.
        segments: segments of one lane's steps in a round.
        seed: fixes initial parameters, sample order and dropout.
        save_rounds: rounds between checkpoints; 0 keeps only the first and the last state.
        save_limit: how many checkpoints to keep besides the first; 0 keeps all.
        eval_rounds: rounds between evaluations; 0 evaluates only the last state.
        eval_batches: held-out batches of one evaluation; 0 evaluates never.
        programs: digests of the Programs by what they are for, ascending by name.
        initial: blob of the given initial state; None where Program "init" makes it.
        data: digest of the manifest that names the data; None where no Program reads any.
        readings: how the samples of each split are read, by digest (`commit.reading`).
        merge_rounds: rounds from one merge to the next, where that is more than one; else left out,
            so that a run which merges every round is spelled as it always was.
    """

    exchange: Literal["local", "every-step"]
    arithmetic: Literal["exact", "fast"] = "exact"
    rounds: Round
    local_steps: Annotated[int, Meta(ge=1, le=STEPS_MAX)] = 1
    lanes: Annotated[int, Meta(ge=1, le=LANES_MAX)]
    shards_per_lane: Annotated[int, Meta(ge=1, le=SHARDS_MAX)] = 1
    samples_per_shard: Annotated[int, Meta(ge=1, le=1 << 24)]
    segments: Annotated[int, Meta(ge=1, le=SEGMENTS_MAX)] = 1
    seed: Int64 = 0
    save_rounds: Round = 0
    save_limit: Count = 0
    eval_rounds: Round = 0
    eval_batches: Annotated[int, Meta(ge=0, le=1 << 32)] = 0
    programs: NamedDigests
    initial: Digest | None = None
    data: Digest | None = None
    readings: NamedDigests = ()
    merge_rounds: Annotated[int, Meta(ge=2, le=ROUNDS_MAX)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse terms that contradict each other."""
        require_ascending("programs", [name.encode() for name, _ in self.programs])
        require_ascending("readings", [name.encode() for name, _ in self.readings])
        if self.exchange == "every-step" and self.local_steps != 1:
            raise ValueError("an exchange at every step has one local step")
        if self.segments > self.local_steps:
            raise ValueError("a lane cannot have more segments than steps")
        if self.exchange == "every-step" and self.merge_rounds is not UNSET:
            raise ValueError("an exchange at every step merges every round")
        ends = (self.rounds, self.save_rounds, self.eval_rounds)
        if any(it % self.between_merges for it in ends):
            raise ValueError("a run ends, saves and evaluates where it merges")

    @property
    def between_merges(self) -> int:
        """The rounds from one merge to the next."""
        return 1 if isinstance(self.merge_rounds, UnsetType) else self.merge_rounds

    def merges(self, at: int) -> bool:
        """Return whether round `at` ends with a merge; else its lanes go on as they are."""
        return (at + 1) % self.between_merges == 0

    def goes_on(self, at: int) -> bool:
        """Return whether the lanes of round `at` start from what they left, parameters too."""
        return at % self.between_merges > 0

    @property
    def shards(self) -> int:
        """The shards of one batch."""
        return self.lanes * self.shards_per_lane

    @property
    def job(self) -> bytes:
        """The digest that names this run in every unit."""
        return digest("run", msgspec.msgpack.encode(self, order="deterministic"))


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a worker's time went, in microseconds."""

    compute: Count
    commit: Count
    storage: Count


# -- a worker arrives


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hello/1"):
    """A worker's first words: the protocol it speaks, its key, and its process."""

    protocol: Count
    signer: PublicKey
    pid: Count = 0


class Welcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="welcome/1"):
    """The run that the worker is to take part in."""

    config: RunConfig


class Want(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="want/1"):
    """A worker asks for Programs by their digests."""

    programs: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=64)]


class Supply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="supply/1"):
    """The canonical bytes of the wanted Programs, each deflated (RFC 1950), in the same order."""

    programs: Annotated[tuple[bytes, ...], Meta(max_length=64)]


class Join(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="join/1"):
    """How to reach the state of `round`: take the state of `state_round`, apply the merges since.

    Attributes:
        round: the round whose state the worker shall hold.
        state_round: the round of the state to start from.
        state: its blob; None for the initial state.
        updates: blobs of all lanes' updates, one row for each round from `state_round` on.
    """

    round: Round
    state_round: Round
    state: Digest | None
    updates: tuple[Digests, ...] = ()


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="standing/1"):
    """A worker holds the state of `round`, and its root is this."""

    round: Round
    root: Digest


# -- a round


class RunLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="run-lane/1"):
    """Run the unit of a lane; `state` is the blob of the lane's own state, None at its start."""

    round: Round
    lane: Lane
    state: Digest | None = None


class LaneDone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lane-done/1"):
    """What a lane's unit came to.

    Attributes:
        round: the round.
        lane: the lane.
        update: what the merge reads, as the codec packed it; empty where the round ends with none.
        state: blob of the lane's own state afterwards, with its parameters where nothing is merged;
            None where a lane has none.
        receipts: one for each unit that the lane ran.
        loss: mean training loss, float64 bits.
        spent: where the time went.
        left: tensor digests of the state that the lane's last unit left, ascending by name: they
            open its root, so that everyone can see that the lane goes on from there. Empty where a
            lane has no state of its own.
        start: tensor digest of the global parameters that it started from, in a round that starts
            from a merge and ends with none; elsewhere a receipt names it, or nothing starts there.
    """

    round: Round
    lane: Lane
    update: Update
    state: Digest | None
    receipts: Annotated[tuple[Receipt, ...], Meta(max_length=SHARDS_MAX)]
    loss: Int64
    spent: Spent
    left: NamedDigests = ()
    start: Digest | UnsetType = UNSET


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="merge/1"):
    """The updates of all lanes of a round, in lane order; empty where the worker made it itself.

    All are empty where the round ends with no merge: then only the round is over.
    """

    round: Round
    updates: Annotated[tuple[Update, ...], Meta(max_length=LANES_MAX)]


class Evaluate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="evaluate/1"):
    """Evaluate part `part` of `parts` of the held-out batches at the state of `round`."""

    round: Round
    part: Lane
    parts: Annotated[int, Meta(ge=1, le=LANES_MAX)]


class Evaluated(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="evaluated/1"):
    """Sums over the batches of one part: of f32 metrics as float64 bits, of i64 metrics as is."""

    round: Round
    part: Lane
    floats: Floats
    counts: Floats
    spent: Spent


class Save(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="save/1"):
    """Store the global state of `round`."""

    round: Round


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="saved/1"):
    """The state of `round` is in the store under this digest."""

    round: Round
    state: Digest


class Trouble(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="trouble/1"):
    """A task that no worker could do: the data, the disk or the numbers do not allow it."""

    round: Round
    task: TaskName
    index: Count
    code: Text
    message: Text
    next_step: Text = ""


class Farewell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="farewell/1"):
    """The coordinator ends the conversation, and why."""

    reason: Text = ""


# -- what stays


class LaneRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lane of a round.

    Attributes:
        receipts: digests of its receipts as signed.
        update: blob of its update.
        state: blob of its own state afterwards; None where a lane has none.
        left: tensor digests of the state that its last unit left, ascending by name.
        start: as in `LaneDone`.
    """

    receipts: Annotated[tuple[Digest, ...], Meta(max_length=SHARDS_MAX)]
    update: Digest
    state: Digest | None
    left: NamedDigests = ()
    start: Digest | UnsetType = UNSET


class RoundRecord(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="round-record/1"
):
    """What was merged in a round, from which state and into which."""

    job: Digest
    round: Round
    state_before: Digest
    lanes: Annotated[tuple[LaneRecord, ...], Meta(min_length=1, max_length=LANES_MAX)]
    state_after: Digest


FromCoordinator: TypeAlias = Welcome | Supply | Join | Merge | RunLane | Evaluate | Save | Farewell
FromWorker: TypeAlias = Hello | Want | Standing | LaneDone | Evaluated | Saved | Trouble
RoundMessage: TypeAlias = RunConfig | FromCoordinator | FromWorker | RoundRecord
