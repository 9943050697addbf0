"""The Programs of a job's training, made from the Program of one shard's gradient.

What    `step_program`: G shards and the optimizer in one graph, one step of one lane.
        `apply_program`: the optimizer on the gradients of all S shards, for exchange at every step.
        `initial_state_program`: what a lane or a run starts with besides its parameters.
Why     A shard's gradient is the same nodes wherever it stands, and gradients are added in shard
        order, so `step` over S shards and `grad` S times followed by `apply` give equal bits.
Legend  G = shards of a lane, S = shards of a batch, P = parameters.
Pure    Programs in, Programs out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skerry.program import (
    F32,
    I64,
    WIDE,
    Builder,
    InvalidProgram,
    Port,
    Profile,
    Program,
    TensorType,
    Value,
    inline,
)
from skerry.train.optimizers import Optimizer, apply_gradient, state_types


def step_program(
    grad: Program,
    optimizer: Optimizer,
    shards_per_lane: int,
    *,
    apply_residual: bool = False,
    profile: Profile = WIDE,
    name: str = "step",
) -> Program:
    """Return one optimizer step over the mean gradient of `shards_per_lane` shards.

    Ports: the state of `state_types`; every data port of `grad` with a leading axis G; "seeds"
    i64[G]; the given ports of `grad` as they are; with `apply_residual` the state "residual"
    f32[P], which the codec keeps: the gradient is then taken at params - residual. Outputs: the
    state after; every f32[] metric of `grad`, averaged over the shards.

    Raises:
        InvalidProgram: `grad` is not the gradient of one shard with respect to "params".
    """
    elements = gradient_elements(grad)
    b = Builder(name, profile, shards=shards_per_lane)
    state = _state_ports(b, optimizer, elements)
    batched = {
        port.name: b.input(port.name, "data", port.type.dtype, (shards_per_lane, *port.type.shape))
        for port in grad.inputs
        if port.role == "data"
    }
    seeds = b.input("seeds", "chance", I64, (shards_per_lane,))
    given = {
        port.name: b.input(port.name, "given", port.type.dtype, port.type.shape)
        for port in grad.inputs
        if port.role == "given"
    }
    at_P = state["params"]
    if apply_residual:
        at_P = b.sub(at_P, b.input("residual", "state", F32, (elements,)))
    results = []
    for shard in range(shards_per_lane):
        bound = {"params": at_P, **given}
        bound |= {field: _row(b, value, shard) for field, value in batched.items()}
        bound |= {port.name: _row(b, seeds, shard) for port in grad.inputs if port.role == "chance"}
        results.append(inline(b, grad, bound))
    mean_P = _mean(b, [result["grad"] for result in results])
    _output_state(b, apply_gradient(b, optimizer, state, mean_P))
    for output in grad.outputs:
        if output.role == "metric" and grad.output_type(output.name) == TensorType(F32, ()):
            b.output(output.name, _mean(b, [result[output.name] for result in results]), "metric")
    return b.build()


def apply_program(
    elements: int,
    optimizer: Optimizer,
    shards: int,
    *,
    profile: Profile = WIDE,
    name: str = "apply",
) -> Program:
    """Return one optimizer step on the gradients of all `shards`: given "grads" f32[S, P]."""
    b = Builder(name, profile, shards=shards)
    state = _state_ports(b, optimizer, elements)
    grads_SP = b.input("grads", "given", F32, (shards, elements))
    mean_P = _mean(b, [_row(b, grads_SP, shard) for shard in range(shards)])
    _output_state(b, apply_gradient(b, optimizer, state, mean_P))
    return b.build()


def initial_state_program(types: Mapping[str, TensorType], *, name: str = "start") -> Program:
    """Return the Program that starts every state of `types` but "params" with zeros.

    The one input is the state "params", which leaves as it came.
    """
    b = Builder(name)
    params = types["params"]
    b.output("params", b.input("params", "state", params.dtype, params.shape), "state")
    for label, kind in types.items():
        if label != "params":
            b.output(label, b.full(0, kind.shape, kind.dtype), "state")
    return b.build()


def gradient_elements(grad: Program) -> int:
    """Return P of the Program of one shard's gradient.

    Raises:
        InvalidProgram: its ports are not those of such a Program.
    """
    ports: dict[str, Port] = {port.name: port for port in grad.inputs}
    states = [port.name for port in grad.inputs if port.role == "state"]
    if states != ["params"]:
        raise InvalidProgram(f"a gradient reads the state params alone, not {states}")
    params = ports["params"].type
    if params.dtype != F32 or len(params.shape) != 1:
        raise InvalidProgram(f"params must be one flat f32 vector, not {params}")
    if {output.name for output in grad.outputs if output.role == "value"} != {"grad"}:
        raise InvalidProgram("a gradient gives the value grad and no other")
    if grad.output_type("grad") != params:
        raise InvalidProgram(f"grad is {grad.output_type('grad')}, params are {params}")
    chances = [port for port in grad.inputs if port.role == "chance"]
    if len(chances) > 1 or any(port.type != TensorType(I64, ()) for port in chances):
        raise InvalidProgram("a gradient takes one seed i64[] at most")
    return params.shape[0]


def _state_ports(b: Builder, optimizer: Optimizer, elements: int) -> dict[str, Value]:
    types = state_types(optimizer, elements)
    return {label: b.input(label, "state", kind.dtype, kind.shape) for label, kind in types.items()}


def _output_state(b: Builder, state: Mapping[str, Value]) -> None:
    for label, value in state.items():
        b.output(label, value, "state")


def _row(b: Builder, x: Value, at: int) -> Value:
    """Return row `at` of the first axis, as a view."""
    return b.reshape(b.slice_axis(x, 0, at, at + 1), x.shape[1:])


def _mean(b: Builder, values: Sequence[Value]) -> Value:
    """Return the mean, added in order; of one value it is that value."""
    total = values[0]
    for value in values[1:]:
        total = b.add(total, value)
    return total if len(values) == 1 else b.mul(total, 1 / len(values))
