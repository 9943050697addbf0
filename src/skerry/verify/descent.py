"""A walk down one Merkle tree, several levels at a time.

What    A `Descent` is a subtree in doubt. Its owner reveals the row of roots a few levels below;
        the row must join to what was claimed; the doubter picks the first root that differs.
Why     What is revealed hangs on what was claimed, so a lie is found at the leaf where it was told.
Rule    A row leaves out subtrees of nothing but padding. With 2^j roots per row, a tree over n
        leaves takes ceil(log_{2^j} n) picks.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from skerry.base.digests import tree_depth
from skerry.commit.trees import fold

Seal: TypeAlias = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Descent:
    """A subtree in doubt.

    Attributes:
        count: the leaves of the whole tree.
        height: how far above the leaves the subtree's root is; 0 is a leaf.
        index: which subtree of that height.
        claimed: its root, or what its root is sealed into.
        seal: how the root of the whole tree is sealed, until the first pick.
    """

    count: int
    height: int
    index: int
    claimed: bytes
    seal: Seal | None = None

    @classmethod
    def of(cls, count: int, claimed: bytes, seal: Seal | None = None) -> Descent:
        """Return the whole tree over `count` leaves, whose sealed root is `claimed`."""
        return cls(count, tree_depth(count), 0, claimed, seal)

    def binds(self, root: bytes) -> bool:
        """Return whether `root` is what was claimed here."""
        return self.claimed == (self.seal(root) if self.seal else root)

    def levels(self, arity: int) -> int:
        """Return how many levels the next row is below."""
        return min(arity.bit_length() - 1, self.height)

    def row_span(self, arity: int) -> tuple[int, int, int]:
        """Return the height of the next row, and its first index and the one after its last."""
        levels = self.levels(arity)
        height = self.height - levels
        first = self.index << levels
        filled = -(-self.count >> height)  # rounded up: the last subtree may be part padding
        return height, first, min(first + (1 << levels), filled)

    def joins(self, roots: Sequence[bytes], arity: int) -> bool:
        """Return whether `roots` is the whole next row and joins to what was claimed."""
        height, first, stop = self.row_span(arity)
        return len(roots) == stop - first and self.binds(fold(roots, height, self.levels(arity)))

    def pick(self, roots: Sequence[bytes], choice: int, arity: int) -> Descent:
        """Return the subtree that `choice` picks from a row that joins."""
        height, first, _ = self.row_span(arity)
        return Descent(self.count, height, first + choice, roots[choice])
