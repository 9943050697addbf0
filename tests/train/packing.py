"""What holds of the bytes of every codec's updates, and how their Programs are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from skerry.exact import compile_program
from skerry.program import Program
from skerry.train import PackedShape, UpdateError

Arrays = dict[str, NDArray[Any]]


def run(program: Program, backend: str, **given: NDArray[Any]) -> Arrays:
    """Return what a Program makes of arrays."""
    made = compile_program(program, backend).run(  # type: ignore[arg-type]
        {name: torch.from_numpy(np.array(x)) for name, x in given.items()}
    )
    return {name: x.numpy() for name, x in made.items()}


def drawn(seed: int, *shape: int) -> NDArray[np.float32]:
    """Return normal draws."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Packing:
    """What packs and unpacks the updates of one codec."""

    pack: Callable[..., bytes]
    unpack: Callable[..., tuple[bytes, ...]]

    def keeps(self, shape: PackedShape, update: tuple[bytes, ...]) -> None:
        """Hold that an update comes back from its bytes, which are not too many."""
        data = self.pack(shape, *update)
        assert self.unpack(shape, data) == update
        assert len(data) <= shape.bytes_max

    def refuses_more_or_less(self, shape: PackedShape, update: tuple[bytes, ...]) -> None:
        """Hold that bytes which are cut off or added are refused."""
        data = self.pack(shape, *update)
        for wrong in (data[:-1], data + b"\0", b"", data + bytes(shape.bytes_max)):
            with pytest.raises(UpdateError):
                self.unpack(shape, wrong)

    def reads_one_form(self, shape: PackedShape, data: bytes) -> None:
        """Hold that bytes are refused, or are the one form of what they say."""
        try:
            update = self.unpack(shape, data)
        except UpdateError:
            return
        assert self.pack(shape, *update) == data

    def reads_one_form_mutated(
        self, shape: PackedShape, update: tuple[bytes, ...], data: st.DataObject
    ) -> None:
        """Hold the same of an update's bytes after one to three of them changed."""
        packed = bytearray(self.pack(shape, *update))
        for _ in range(data.draw(st.integers(1, 3))):
            packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
        self.reads_one_form(shape, bytes(packed))
