"""Is this receipt true? Compare it with a replay.

What    `verify(receipt, replay)` says equal, or which segment or output differs first.
Why     A receipt alone can be checked by anyone who can run the unit. Naming the step, the op and
        the element needs the other party's roots: that is `walk`.
Pure    The replay is passed in; whatever it raises passes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TypeAlias

from skerry.base.ids import short
from skerry.commit.transcript import Transcript
from skerry.messages.receipts import Receipt, Unit
from skerry.messages.signing import SignatureWrong, check_signature

Replay: TypeAlias = Callable[[Unit], Transcript]


@unique
class Reason(StrEnum):
    """What a verdict rests on, in the order of the checks."""

    EQUAL = "equal"
    SIGNATURE = "signature"
    STATE_BEFORE = "state_before"
    SEGMENT = "segment"
    OUTPUT_NAMES = "output_names"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a replay says about a receipt.

    Attributes:
        reason: the first check that failed, or EQUAL.
        segment: the first segment whose state root differs.
        output: the first output, by name, that differs or that only one side has.
        claimed: what the receipt says there; empty where it says nothing.
        replayed: what the replay says there; empty where it says nothing.
    """

    reason: Reason
    segment: int | None = None
    output: str | None = None
    claimed: bytes = b""
    replayed: bytes = b""

    @property
    def equal(self) -> bool:
        """Whether the receipt is true in every bit."""
        return self.reason is Reason.EQUAL

    def __str__(self) -> str:
        """Return one sentence for a person."""
        differ = f"the receipt says {short(self.claimed)}, the replay {short(self.replayed)}"
        match self.reason:
            case Reason.EQUAL:
                return "equal: every segment and every output has the same bits"
            case Reason.SIGNATURE:
                return "the receipt is not signed by its signer"
            case Reason.STATE_BEFORE:
                return f"the replay started from another state: {differ}"
            case Reason.SEGMENT:
                return f"the state after segment {self.segment} differs: {differ}"
            case Reason.OUTPUT_NAMES:
                return f"only one side has an output {self.output!r}"
            case Reason.OUTPUT:
                return f"output {self.output!r} differs: {differ}"


def verify(receipt: Receipt, replay: Replay) -> Verdict:
    """Return whether `receipt` is what its signer's unit comes to, by running it again."""
    try:
        check_signature(receipt)
    except SignatureWrong:
        return Verdict(Reason.SIGNATURE)
    return compare(receipt, replay(receipt.unit))


def compare(receipt: Receipt, transcript: Transcript) -> Verdict:
    """Return where `receipt` first differs from `transcript`, whatever its signature."""
    assert len(transcript.segments) == receipt.unit.segments, "our replay cut other segments"
    if transcript.state_before != receipt.state_before:
        return Verdict(
            Reason.STATE_BEFORE, claimed=receipt.state_before, replayed=transcript.state_before
        )
    pairs = zip(receipt.segments, transcript.segments, strict=True)
    for segment, (claimed, replayed) in enumerate(pairs):
        if claimed != replayed:
            return Verdict(Reason.SEGMENT, segment=segment, claimed=claimed, replayed=replayed)
    claims, ours = dict(receipt.outputs), dict(transcript.outputs)
    for name in sorted(claims.keys() | ours.keys()):
        claimed, replayed = claims.get(name, b""), ours.get(name, b"")
        if claimed and replayed and claimed != replayed:
            return Verdict(Reason.OUTPUT, output=name, claimed=claimed, replayed=replayed)
        if claimed != replayed:
            return Verdict(Reason.OUTPUT_NAMES, output=name, claimed=claimed, replayed=replayed)
    return Verdict(Reason.EQUAL)
