"""Train: how a job learns, as Programs and pure rules: optimizers, steps, codecs, rounds.

In      The Program of one shard's gradient, an `Optimizer`, a `Codec`; events of a round.
Does    Builds the step, apply, encode and merge Programs; packs an update into bytes and back;
        decides what a round does next.
Out     Programs, canonical bytes, effects for a node to carry out.
Never   torch, numpy, IO, clocks; never runs a Program.
Start   reading at `programs`, then `codec`.
"""

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
    "InvalidOptimizer",
    "Optimizer",
    "apply_gradient",
    "apply_program",
    "gradient_elements",
    "initial_state_program",
    "learning_rate",
    "state_types",
    "step_program",
]
