"""The root of a state: named tensors, of which each can be shown alone.

What    A state is a mapping from names to tensor digests. `state_root` names it, `open_state`
        shows one entry of it.
Why     Two runs compare by 32 bytes, and a dispute asks for one tensor by its name.
Rule    leaf = digest("state-leaf", tensor digest, name in UTF-8); leaves ascend by those bytes;
        root = digest("state", number of entries as u32, Merkle root over the leaves).
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skerry.base.digests import digest, merkle_levels, merkle_path, tree_depth
from skerry.commit.trees import climb, quick_root


def state_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names in the order of a state's leaves."""
    return tuple(sorted(names, key=str.encode))


def state_leaf(name: str, tensor: bytes) -> bytes:
    """Return the leaf that binds `name` to a tensor."""
    return digest("state-leaf", tensor, name.encode())


def state_leaves(state: Mapping[str, bytes]) -> list[bytes]:
    """Return the leaves of a state, in order."""
    return [state_leaf(name, state[name]) for name in state_names(state)]


def seal_state(count: int, root: bytes) -> bytes:
    """Return the root of the state whose `count` leaves have the Merkle root `root`."""
    return digest("state", count.to_bytes(4, "little"), root)


def state_root(state: Mapping[str, bytes]) -> bytes:
    """Return the 32-byte name of a state."""
    return seal_state(len(state), quick_root(state_leaves(state)))


@dataclass(frozen=True, slots=True)
class StateOpening:
    """One entry of a state, and what it takes to believe it."""

    name: str
    tensor: bytes
    index: int
    count: int
    path: tuple[bytes, ...]


def open_state(state: Mapping[str, bytes], name: str) -> StateOpening:
    """Return the opening of the entry `name`, which the state must hold."""
    index = state_names(state).index(name)
    path = merkle_path(merkle_levels(state_leaves(state)), index)
    return StateOpening(name, state[name], index, len(state), path)


def check_state(root: bytes, opening: StateOpening) -> bool:
    """Return whether `opening` shows an entry of the state that `root` names."""
    index, count = opening.index, opening.count
    if not 0 <= index < count < 1 << 32 or len(opening.path) != tree_depth(count):
        return False
    leaf = state_leaf(opening.name, opening.tensor)
    return seal_state(count, climb(leaf, index, opening.path)) == root
