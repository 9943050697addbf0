"""How what market parties signed travels between nodes, and where their contracts are.

What    `BoardWant` asks for what came to a node's board after a place, `BoardNews` tells it;
        `ManifestWant` asks which contracts a network uses, `ManifestTold` says so.
Why     Offers, claims and words must reach everybody who may need them as proof, whoever is up.
Rule    A board counts what comes to it from 1, and names its life, so that a place of an earlier
        life means nothing. A manifest is only a proposal: its reader looks at the chain's code.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from skerry.messages.fields import Count
from skerry.messages.market import MarketMessage

NEWS_MAX = 256
MANIFEST_BYTES_MAX = 1 << 16

Life: TypeAlias = Annotated[bytes, Meta(min_length=8, max_length=8)]


class BoardWant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="board-want/1"):
    """What the sender lacks; the answer may wait until there is something.

    Attributes:
        life: the life of the board that was heard last; zeros before the first time.
        after: the place up to which it was heard.
    """

    life: Life
    after: Count


class BoardNews(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="board-news/1"):
    """What came to the sender's board; sent unasked, what the sender itself has to tell.

    Attributes:
        life: the life of the board.
        upto: the place up to which this tells it.
        told: what came, in the order in which it came.
    """

    life: Life
    upto: Count
    told: Annotated[tuple[MarketMessage, ...], Meta(max_length=NEWS_MAX)]


class ManifestWant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="manifest-want/1"):
    """The sender wants to know where the contracts are."""


class ManifestTold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="manifest-told/1"):
    """Where the contracts are, as a manifest's file says it; empty where the sender knows none."""

    manifest: Annotated[bytes, Meta(max_length=MANIFEST_BYTES_MAX)]


BoardMessage: TypeAlias = BoardWant | BoardNews | ManifestWant | ManifestTold
