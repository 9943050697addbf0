"""Program: a job's computation as data, a static graph over a small op set.

In      Typed ports and op calls made through `Builder`, or bytes from a stranger.
Does    Shape rules, integer bounds, cost, canonical bytes, digest, composition, validation, text.
Out     A frozen `Program` that any backend runs to the same bits.
Never   torch, numpy, IO; never runs a Program.
Start   reading at `graph`, then `ops`.
"""

from skerry.program.bounds import integer_bounds
from skerry.program.build import Builder, Value
from skerry.program.canonical import (
    from_bytes,
    judged_node,
    node_digests,
    program_digest,
    to_bytes,
)
from skerry.program.check import Limits, check
from skerry.program.compose import inline
from skerry.program.cost import Cost, cost
from skerry.program.graph import (
    BOOL,
    F32,
    I64,
    DType,
    InvalidProgram,
    Layout,
    Node,
    Output,
    Port,
    Program,
    Slot,
    TensorType,
)
from skerry.program.ops import OPS, OpSpec
from skerry.program.profiles import NARROW, PROFILES, WIDE, Profile
from skerry.program.text import to_text

__all__ = [
    "BOOL",
    "F32",
    "I64",
    "NARROW",
    "OPS",
    "PROFILES",
    "WIDE",
    "Builder",
    "Cost",
    "DType",
    "InvalidProgram",
    "Layout",
    "Limits",
    "Node",
    "OpSpec",
    "Output",
    "Port",
    "Profile",
    "Program",
    "Slot",
    "TensorType",
    "Value",
    "check",
    "cost",
    "from_bytes",
    "inline",
    "integer_bounds",
    "judged_node",
    "node_digests",
    "program_digest",
    "to_bytes",
    "to_text",
]
