"""Trace: an ordinary PyTorch model becomes Programs.

In      An `nn.Module`, a task or a loss, and the types of one batch.
Does    Records forward and backward once as ATen operations, and spells each in the op set.
Out     A `Traced`: the Programs grad, evaluate, predict, the parameter layout, the weights.
Never   Runs a Program, picks an optimizer, or guesses what an operation could have meant.
Start   reading at `model`, then `lowering`.
"""

from skerry.trace.errors import Place, UnsupportedOp, UntraceableModel
from skerry.trace.init import trace_init
from skerry.trace.lower import LOWERINGS
from skerry.trace.model import Traced, trace_model
from skerry.trace.tasks import TASKS

__all__ = [
    "LOWERINGS",
    "TASKS",
    "Place",
    "Traced",
    "UnsupportedOp",
    "UntraceableModel",
    "trace_init",
    "trace_model",
]
