"""States as the node holds them: named tensors, their bytes, their digests.

What    `state_bytes` and `read_state` carry a state through the blob store; `StateDigests` names a
        state and hashes a tensor again only when it is another one.
Why     Most of a state is untouched between two commitments, and digests must cost about 1 %.
Rule    A blob is a safetensors file; nothing in it is run when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from skerry.base.errors import NodeError
from skerry.commit import state_root
from skerry.exact.hashing import tensor_digest
from skerry.program import DType, TensorType

State: TypeAlias = Mapping[str, Tensor]

TORCH_DTYPES: dict[DType, torch.dtype] = {
    "f32": torch.float32,
    "i64": torch.int64,
    "bool": torch.bool,
}
_NAMES: dict[torch.dtype, DType] = {kind: name for name, kind in TORCH_DTYPES.items()}


class StateUnreadable(NodeError):
    """The bytes of a stored state are not what the run needs."""

    code = "node.state"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a stored state cannot be used: {reason}",
            next_step="start the run in a fresh folder, or restore this one from a copy",
        )


def type_of(x: Tensor) -> TensorType:
    """Return the Program's name for the type of a tensor."""
    return TensorType(_NAMES[x.dtype], tuple(x.shape))


def tensor_bytes(x: Tensor) -> memoryview:
    """Return the canonical little-endian bytes of a tensor, without a copy where it is dense."""
    return x.detach().cpu().contiguous().reshape(-1).numpy().data.cast("B")


def digest_tensor(x: Tensor) -> bytes:
    """Return the tensor digest of `x`."""
    kind = type_of(x)
    return tensor_digest(kind.dtype, kind.shape, tensor_bytes(x))


def state_bytes(state: State) -> bytes:
    """Return the blob of a state."""
    return save({name: x.detach().cpu().contiguous() for name, x in state.items()})


def blob_root(blob: bytes) -> bytes | None:
    """Return the root of the state in `blob`, or None where it holds none."""
    try:
        state = load(blob)
    except (SafetensorError, ValueError, KeyError, RuntimeError):
        return None
    if any(x.dtype not in _NAMES for x in state.values()):
        return None
    return state_root({name: digest_tensor(x) for name, x in state.items()})


def read_state(blob: bytes, types: Mapping[str, TensorType]) -> dict[str, Tensor]:
    """Return the state in `blob`, which must hold exactly `types`.

    Raises:
        StateUnreadable: it does not.
    """
    try:
        state = load(blob)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise StateUnreadable(str(error)) from error
    found = {name: type_of(x) for name, x in state.items() if x.dtype in _NAMES}
    if found != dict(types):
        raise StateUnreadable(f"it holds {_listed(found)} where {_listed(types)} are due")
    return state


def zero_state(types: Mapping[str, TensorType]) -> dict[str, Tensor]:
    """Return the state of `types` that is zero everywhere."""
    return {
        name: torch.zeros(kind.shape, dtype=TORCH_DTYPES[kind.dtype])
        for name, kind in types.items()
    }


def _listed(types: Mapping[str, TensorType]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in sorted(types.items())) or "nothing"


class StateDigests:
    """Tensor digests of a state, remembered for as long as the tensors stay the same objects."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Tensor, bytes]] = {}

    def of(self, state: State) -> dict[str, bytes]:
        """Return the tensor digest of each entry of `state`."""
        found = {}
        for name, x in state.items():
            known = self._known.get(name)
            if known is None or known[0] is not x:
                known = (x, digest_tensor(x))
                self._known[name] = known
            found[name] = known[1]
        return found

    def learn(self, other: StateDigests) -> None:
        """Take over what `other` remembers, where it may be of use here."""
        self._known.update(other._known)

    def root(self, state: State) -> bytes:
        """Return the root of `state`."""
        return state_root(self.of(state))
