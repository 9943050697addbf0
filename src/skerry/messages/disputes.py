"""The moves of a dispute.

What    The challenger opens on a receipt and picks; the respondent reveals the roots of its own
        run. `verify.game` says which move is legal when, and what each one means.
Why     Each reveal must be bound to what was claimed before, so that lying only moves the lie.
Rule    Every move names its game and its turn. A reveal answers the pick before it and has that
        pick's turn plus one; the opening has turn 0.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from skerry.messages.fields import Count, Digest, Name
from skerry.messages.receipts import SEGMENTS_MAX

ARITY_MAX = 64
PATH_MAX = 64
LEAF_BYTES_MAX = 4096
PARTS_BYTES_MAX = 2048


class Open(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="open/1"):
    """The challenger doubts one segment's state root, or else one output of the unit.

    Attributes:
        game: digest of the doubted receipt, as signed.
        segment: the first segment whose root differs from the challenger's; the one before agrees.
        output: the name of an output that differs while every segment's root agrees.
    """

    game: Digest
    segment: Annotated[int, Meta(ge=0, lt=SEGMENTS_MAX)] | None = None
    output: Name | None = None

    def __post_init__(self) -> None:
        """Hold an opening to one doubt."""
        if (self.segment is None) == (self.output is None):
            raise ValueError("an opening doubts either a segment or an output")


class Pick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pick/1"):
    """The challenger's choice among what the last reveal showed: the first part that differs."""

    game: Digest
    turn: Count
    choice: Count


class RevealRoots(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reveal-roots/1"):
    """The respondent's roots that cut the doubted part into smaller ones."""

    game: Digest
    turn: Count
    roots: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=ARITY_MAX)]


class RevealTrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reveal-trace/1"):
    """The respondent's trace of one step, held to the doubted state entry or output.

    Attributes:
        value: tensor digest of the doubted entry.
        path: siblings from the entry's node up to the root of the trace.
        roots: the first row of roots below the root of the trace.
    """

    game: Digest
    turn: Count
    value: Digest
    path: Annotated[tuple[Digest, ...], Meta(max_length=PATH_MAX)]
    roots: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=ARITY_MAX)]


class RevealStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reveal-step/1"):
    """The respondent's trace of one step, held to nothing yet.

    Attributes:
        game: digest of the doubted receipt, as signed.
        turn: the turn that is answered.
        before: the state root before the step, where nobody has said it yet.
        roots: the first row of roots below the root of the trace.
    """

    game: Digest
    turn: Count
    before: Digest | None
    roots: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=ARITY_MAX)]


class RevealLeaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reveal-leaf/1"):
    """The canonical bytes of one leaf of the doubted value."""

    game: Digest
    turn: Count
    data: Annotated[bytes, Meta(min_length=1, max_length=LEAF_BYTES_MAX)]


class RevealParts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reveal-parts/1"):
    """The partial folds of parts of a reduction, where a judge walks into one.

    Attributes:
        game: digest of the doubted receipt, as signed.
        turn: the turn that is answered.
        data: one signed 64-bit integer a part, the highest byte first.
    """

    game: Digest
    turn: Count
    data: Annotated[bytes, Meta(min_length=8, max_length=PARTS_BYTES_MAX)]


Ask: TypeAlias = Open | Pick
Reveal: TypeAlias = RevealRoots | RevealTrace | RevealStep | RevealLeaf
