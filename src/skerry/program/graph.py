"""The shape of a Program: types, nodes, ports, and nothing that computes.

What    A `Program` is a list of `Node`s in topological order: node i names the op that makes value
        i and the earlier values it reads. `Port`s are what it is given, `Output`s what it gives.
Why     Data can be priced, cut, replayed and walked by people who do not trust its author; code
        cannot.
Rule    Every op is a total function of its inputs, so a Program has a value for every input.
Pure    Frozen structs of integers, strings and bytes; floats appear only as their bits.
"""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

import msgspec

from skerry.base.errors import ProgramError

DType: TypeAlias = Literal["f32", "i64", "bool"]
F32: Final = "f32"
I64: Final = "i64"
BOOL: Final = "bool"
DTYPES: Final[tuple[DType, ...]] = (F32, I64, BOOL)
ITEM_BYTES: Final[dict[str, int]] = {"f32": 4, "i64": 8, "bool": 1}

Attr: TypeAlias = int | bytes | tuple[int, ...]
Attrs: TypeAlias = tuple[tuple[str, Attr], ...]
InputRole: TypeAlias = Literal["state", "data", "chance", "given"]
OutputRole: TypeAlias = Literal["state", "value", "metric"]


class InvalidProgram(ProgramError):
    """A Program breaks a rule of the graph.

    Attributes:
        node: the index of the offending node, or None when the rule is about the whole.
    """

    code = "program.invalid"

    def __init__(self, reason: str, *, node: int | None = None) -> None:
        self.reason = reason
        self.node = node
        where = "" if node is None else f"node %{node}: "
        super().__init__(
            f"invalid Program: {where}{reason}",
            next_step="trace the model again with `skerry plan`, or refuse this Program",
        )


class TensorType(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An element type and a static shape; every dimension is at least 1."""

    dtype: DType
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """The size of the canonical bytes."""
        return self.elements * ITEM_BYTES[self.dtype]

    def __str__(self) -> str:
        """Return for example "f32[2,3]"."""
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


class Node(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One op applied to earlier values."""

    op: str
    inputs: tuple[int, ...]
    attrs: Attrs
    type: TensorType

    def __getitem__(self, name: str) -> Attr:
        """Return the attribute `name`; KeyError when the op has none of that name."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    def integer(self, name: str) -> int:
        """Return an attribute that is an integer."""
        value = self[name]
        assert isinstance(value, int), f"{self.op}.{name} is not an integer"
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a tuple of integers."""
        value = self[name]
        assert isinstance(value, tuple), f"{self.op}.{name} is not a tuple"
        return value

    def raw(self, name: str) -> bytes:
        """Return an attribute that is literal bytes."""
        value = self[name]
        assert isinstance(value, bytes), f"{self.op}.{name} is not bytes"
        return value


class Port(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A named value that a Program is given."""

    name: str
    role: InputRole
    type: TensorType


class Output(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A named value that a Program gives; role "state" replaces the state of that name."""

    name: str
    role: OutputRole
    node: int


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A static graph.

    Attributes:
        name: what it is for, for example "step"; part of the digest.
        inputs: the ports; node "input" with attribute port=i reads port i.
        nodes: the values in topological order.
        outputs: the named results.
        shards: the shards of a batch that one run of this Program covers.
        version: the version of the op set.
    """

    name: str
    inputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    shards: int = 1
    version: int = 1

    def port(self, name: str) -> Port:
        """Return the input port of that name; KeyError when there is none."""
        for port in self.inputs:
            if port.name == name:
                return port
        raise KeyError(name)

    def output_type(self, name: str) -> TensorType:
        """Return the type of the output of that name; KeyError when there is none."""
        for output in self.outputs:
            if output.name == name:
                return self.nodes[output.node].type
        raise KeyError(name)


class Slot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where one named tensor lies in a flat vector."""

    name: str
    offset: int
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


class Layout(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The named tensors that lie end to end in one flat f32 vector, such as the parameters."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, shapes: dict[str, tuple[int, ...]]) -> Layout:
        """Return the layout that lays `shapes` end to end in their order."""
        slots, offset = [], 0
        for name, shape in shapes.items():
            slots.append(Slot(name, offset, shape))
            offset += math.prod(shape)
        return cls(tuple(slots))

    @property
    def elements(self) -> int:
        """The length of the flat vector."""
        return sum(slot.elements for slot in self.slots)
