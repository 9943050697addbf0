"""What a torch kernel may know of the node it computes.

What    `Site` is a node with its operands' types and integer bounds, its device and its carrier.
        A maker turns a Site into a `Kernel`, a closure from tensors to a tensor.
Why     Everything that does not depend on the inputs is decided once, when the Program is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from skerry.exact.carriers import Carrier
from skerry.program.graph import Node, TensorType

Kernel: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Site:
    """One node and its surroundings.

    Attributes:
        node: what is computed.
        reads: the types of the operands.
        bounds: for each operand a number that no element exceeds, or None.
        storage: the torch dtype that holds the value; float64 for carried integers.
        own_exponent: for quantise, whether the exponents are known to be those of its operand, so
            that nothing needs clamping.
        device: where it is computed.
        carrier: the number format of products.
    """

    node: Node
    reads: tuple[TensorType, ...]
    bounds: tuple[int | None, ...]
    storage: torch.dtype
    own_exponent: bool
    device: torch.device
    carrier: Carrier

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.node.type.shape

    def bound(self, operand: int) -> int:
        """Return the bound of an operand that is known to have one."""
        bound = self.bounds[operand]
        assert bound is not None, f"{self.node.op} reads integers without a bound"
        return bound


Maker: TypeAlias = Callable[[Site], Kernel]
