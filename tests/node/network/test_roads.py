"""How long a node waits for another."""

from __future__ import annotations

from skerry.node.network.roads import LOST_SECONDS, Roads
from skerry.transport import MemoryTransport

LOST, OTHER = b"l" * 32, b"o" * 32


def test_who_was_lost_is_called_but_not_waited_for_as_long_as_others() -> None:
    roads = Roads(MemoryTransport(), lost=LOST.__eq__)
    assert roads.patience(LOST) == LOST_SECONDS < roads.patience(OTHER)
    assert Roads(MemoryTransport(), lost=LOST.__eq__, seconds=0.1).patience(LOST) == 0.1
