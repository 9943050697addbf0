"""Initial weights as a Program, so that a seed of 8 bytes stands for them.

What    `trace_init(build, layout)` records the function that builds a model, on tensors without
        contents, and returns the Program seed -> params; or None where a model fills its weights
        with something that Programs do not have (an orthogonal matrix, numbers read from a file).
Why     Whoever joins a run computes the start instead of fetching it, and can check it.
Rule    The n-th random fill of the building reads stream n. Uniform draws are Philox words; normal
        ones are made by Box and Muller. The numbers are not those of PyTorch's generator, the
        distributions are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from skerry.program import F32, I64, WIDE, Builder, Layout, Profile, Program, Value
from skerry.trace.capture import capture
from skerry.trace.errors import UnsupportedOp, UntraceableModel
from skerry.trace.locate import explained
from skerry.trace.lower import lower


def trace_init(
    build: Callable[[], nn.Module], layout: Layout, *, profile: Profile = WIDE
) -> Program | None:
    """Return the Program of the initial parameters, or None where they have no such form.

    Args:
        build: makes the model anew; it must not read files or branch on weights.
        layout: of the model's trained parameters.
        profile: the widths of exact products and sums.
    """
    try:
        return _trace(build, layout, profile)
    except (UnsupportedOp, UntraceableModel):
        return None


def _share_below(deviations: float) -> float:
    return (1.0 + math.erf(deviations / math.sqrt(2.0))) / 2.0


def _clipped_normal(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: object = None
) -> Tensor:
    """Draw a normal between a and b by its inverse distribution: one draw an element."""
    low, high = _share_below((a - mean) / std), _share_below((b - mean) / std)
    with torch.no_grad():
        tensor.uniform_(2 * low - 1, 2 * high - 1).erfinv_()
        return tensor.mul_(std * math.sqrt(2.0)).add_(mean).clamp_(a, b)


@contextmanager
def _without_rejection() -> Iterator[None]:
    """Let clipped normals be drawn in one go; PyTorch draws until all fit, which no graph can."""
    own = nn.init._no_grad_trunc_normal_
    nn.init._no_grad_trunc_normal_ = _clipped_normal
    try:
        yield
    finally:
        nn.init._no_grad_trunc_normal_ = own


def _trace(build: Callable[[], nn.Module], layout: Layout, profile: Profile) -> Program:
    shapes = {slot.name: slot.shape for slot in layout.slots}

    def built() -> list[Tensor]:
        with torch.no_grad():
            parameters = dict(build().named_parameters())
            if any(tuple(parameters[name].shape) != shape for name, shape in shapes.items()):
                raise UntraceableModel("the model is built otherwise than it was traced")
            return [parameters[name].detach() for name in shapes]

    with _without_rejection(), explained(None):
        graph = capture(built, ())
    builder = Builder("init", profile)
    seed = builder.input("seed", "chance", I64)
    values: dict[str, Value] = {}
    for name, value in zip(shapes, lower(graph, builder, (), seed), strict=True):
        assert value is not None, f"{name} has no value"
        if value.dtype != F32:
            raise UntraceableModel(f"parameter {name} is {value.dtype}")
        values[name] = value
    builder.output("params", builder.pack(values, layout), "state")
    return builder.build()
