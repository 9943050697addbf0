"""Train: how a job learns, as Programs and pure rules: optimizers, steps, codecs, rounds.

In      The Program of one shard's gradient, an `Optimizer`, a `Codec`; events of a round.
Does    Builds the step, apply, encode and merge Programs; packs an update into bytes and back;
        decides what a round does next.
Out     Programs, canonical bytes, effects for a node to carry out.
Never   torch, numpy, IO, clocks; never runs a Program.
Start   reading at `programs`, then `codec`.
"""

from skerry.train.bitstring import UpdateError
from skerry.train.codec import (
    Codec,
    InvalidCodec,
    PackedShape,
    bytes_expected,
    encode_program,
    global_memory_types,
    lane_memory_types,
    merge_program,
    update_shape,
    update_types,
)
from skerry.train.entropy import UpdateShape, pack_update, unpack_update
from skerry.train.factors import Factored, FactorShape, pack_factors, unpack_factors
from skerry.train.levels import LevelShape, pack_levels, unpack_levels
from skerry.train.optimizers import (
    InvalidOptimizer,
    Optimizer,
    apply_gradient,
    learning_rate,
    state_types,
)
from skerry.train.programs import (
    apply_program,
    gradient_elements,
    initial_state_program,
    step_program,
)

__all__ = [
    "Codec",
    "FactorShape",
    "Factored",
    "InvalidCodec",
    "InvalidOptimizer",
    "LevelShape",
    "Optimizer",
    "PackedShape",
    "UpdateError",
    "UpdateShape",
    "apply_gradient",
    "apply_program",
    "bytes_expected",
    "encode_program",
    "global_memory_types",
    "gradient_elements",
    "initial_state_program",
    "lane_memory_types",
    "learning_rate",
    "merge_program",
    "pack_factors",
    "pack_levels",
    "pack_update",
    "state_types",
    "step_program",
    "unpack_factors",
    "unpack_levels",
    "unpack_update",
    "update_shape",
    "update_types",
]
