"""A lane's update as bytes: what the wire carries between an encode and a merge.

What    `UpdateCodec.pack` turns the values of an encode Program into bytes, `stack` turns the bytes
        of all lanes into the given inputs of the merge Program.
Why     What a bit-stream does is not arithmetic: it is lossless, outside the unit, and checked to
        the last byte on arrival.
Rule    Indices, codes and scales of a top-k codec travel in `train.entropy`'s code, codes and
        scales of a low-rank one in `train.factors`', levels and scales of a quantised one in
        `train.levels`'; any other values as their canonical bytes, in the order of the Program's
        outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from skerry.base.errors import PeerError
from skerry.node.states import tensor_bytes
from skerry.program import Program, TensorType
from skerry.train import (
    FactorShape,
    LevelShape,
    PackedShape,
    UpdateShape,
    pack_factors,
    pack_levels,
    pack_update,
    unpack_factors,
    unpack_levels,
    unpack_update,
)

#: What turns the values of each shape into bytes and back.
_PACKING: Final[Mapping[type, tuple[Callable[..., bytes], Callable[..., tuple[bytes, ...]]]]] = {
    UpdateShape: (pack_update, unpack_update),
    FactorShape: (pack_factors, unpack_factors),
    LevelShape: (pack_levels, unpack_levels),
}
_NUMPY = {"f32": "<f4", "i64": "<i8", "bool": "|b1"}


class UpdateMalformed(PeerError):
    """A lane's update is not what the codec of this run sends."""

    code = "peer.update"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"an update was refused: {reason}", next_step="let another worker run the lane"
        )


@dataclass(frozen=True)
class UpdateCodec:
    """Packs and unpacks the updates of one encode Program."""

    encode: Program

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """The values that a lane sends, in order."""
        return {
            output.name: self.encode.output_type(output.name)
            for output in self.encode.outputs
            if output.role == "value"
        }

    @cached_property
    def shape(self) -> PackedShape | None:
        """The shape of the codec's own code, or None where values travel as they are."""
        shape: PackedShape
        if self.types.keys() == {"indices", "codes", "scales"}:
            shape = UpdateShape.of(self.encode)
        elif self.types.keys() == {"codes", "scales"}:
            shape = FactorShape(self.types["codes"].elements, self.types["scales"].elements)
        elif self.types.keys() == {"levels", "scales"}:
            shape = LevelShape(self.types["levels"].elements, self.types["scales"].elements)
        else:
            return None
        return shape if shape.types == self.types else None

    def pack(self, values: Mapping[str, Tensor]) -> bytes:
        """Return the bytes of one lane's values."""
        if self.shape is not None:
            parts = [bytes(tensor_bytes(values[name])) for name in self.shape.types]
            pack, _ = _PACKING[type(self.shape)]
            return pack(self.shape, *parts)
        return b"".join(tensor_bytes(values[name]) for name in self.types)

    def unpack(self, update: bytes) -> dict[str, Tensor]:
        """Return one lane's values.

        Raises:
            UpdateMalformed, UpdateError: the bytes are not an update of this codec.
        """
        if self.shape is not None:
            _, unpack = _PACKING[type(self.shape)]
            named = zip(self.shape.types, unpack(self.shape, update), strict=True)
            return {name: self.raw(part, self.types[name]) for name, part in named}
        due = sum(kind.size_bytes for kind in self.types.values())
        if len(update) != due:
            raise UpdateMalformed(f"it has {len(update)} bytes where {due} are due")
        values, start = {}, 0
        for name, kind in self.types.items():
            part = update[start : start + kind.size_bytes]
            values[name] = self.raw(part, kind)
            start += kind.size_bytes
        return values

    def stack(self, updates: Sequence[bytes]) -> dict[str, Tensor]:
        """Return every value with a leading axis of lanes."""
        lanes = [self.unpack(update) for update in updates]
        return {name: torch.stack([lane[name] for lane in lanes]) for name in self.types}

    @staticmethod
    def raw(data: bytes, kind: TensorType) -> Tensor:
        """Return the tensor whose canonical bytes are `data`.

        Raises:
            UpdateMalformed: they are too many or too few.
        """
        if len(data) != kind.size_bytes:
            raise UpdateMalformed(f"{len(data)} bytes came for {kind}")
        array = np.frombuffer(data, _NUMPY[kind.dtype]).copy()
        return torch.from_numpy(array).reshape(kind.shape)
