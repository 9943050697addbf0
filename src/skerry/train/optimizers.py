"""Optimizers: from a gradient to the next state, as nodes of a Program.

What    `Optimizer` is the whole choice: the rule, its numbers, the clipping and the schedule.
        `apply_gradient` adds the nodes that turn state and gradient into the state after.
Why     The schedule and the clipping live inside the Program, so that one integer of state, `step`,
        fixes the learning rate and nobody has to be trusted to have passed the right one.
Source  Loshchilov and Hutter 2019, "Decoupled weight decay regularization", in the form of
        `torch.optim.AdamW` and `torch.optim.SGD`; `torch.nn.utils.clip_grad_norm_`; schedules as in
        `transformers.get_{constant,linear,cosine}_schedule_with_warmup` (the first of n warm-up
        steps has rate 0, as there).
Legend  P = parameters, all trainable ones end to end in one flat vector.
Pure    Nodes only; floats appear as constants of the Program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from skerry.base.errors import JobError
from skerry.program import F32, I64, Builder, TensorType, Value

Kind: TypeAlias = Literal["adamw", "sgd"]
Schedule: TypeAlias = Literal["constant", "linear", "cosine"]

#: What `clip_grad_norm_` adds to the norm before it divides.
CLIP_EPS: Final = 1e-6
#: Squares are summed in runs of this length first, so that one large element of a long vector
#: does not round all small ones away.
NORM_RUN: Final = 4096


class InvalidOptimizer(JobError):
    """A number of the optimizer is out of its range."""

    code = "job.optimizer"

    def __init__(self, name: str, value: object, rule: str) -> None:
        self.name = name
        super().__init__(
            f"optimizer: {name} = {value!r}, but {rule}",
            next_step=f"set {name} in the job file, or with --set {name}=...",
        )


class Optimizer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An optimizer, its clipping and its schedule.

    Attributes:
        kind: "adamw", or "sgd" with optional momentum.
        learning_rate: the rate at the end of warm-up.
        betas: AdamW's decay of the mean and of the mean square.
        eps: added to the root of AdamW's corrected mean square.
        weight_decay: AdamW: pulled off the parameters, times the rate; SGD: added to the gradient.
        momentum: SGD's; 0 keeps no state.
        nesterov: SGD looks ahead by one momentum step.
        max_grad_norm: the gradient is scaled down to this 2-norm; 0 does not clip.
        schedule: how the rate falls after warm-up.
        warmup_steps: steps over which the rate rises from 0.
        max_steps: where "linear" and "cosine" reach `learning_rate_min`.
        learning_rate_min: the rate at `max_steps` and after.
    """

    kind: Kind = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    max_grad_norm: float = 0.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    max_steps: int = 0
    learning_rate_min: float = 0.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "eps", "weight_decay", "momentum", "max_grad_norm"):
            value = getattr(self, name)
            _need(math.isfinite(value) and value >= 0, name, value, "it must be finite, at least 0")
        for beta in self.betas:
            _need(0 <= beta < 1, "betas", self.betas, "each must be at least 0 and below 1")
        _need(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "it cannot be negative")
        _need(self.max_steps >= 0, "max_steps", self.max_steps, "it cannot be negative")
        low = self.learning_rate_min
        _need(0 <= low <= self.learning_rate, "learning_rate_min", low, "it is 0..learning_rate")
        _need(
            not self.nesterov or self.momentum > 0,
            "nesterov", self.nesterov, "it needs a momentum above 0",
        )  # fmt: skip
        _need(
            self.schedule == "constant" or self.max_steps > self.warmup_steps,
            "max_steps", self.max_steps, f"a {self.schedule} schedule must end after its warm-up",
        )  # fmt: skip


def _need(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise InvalidOptimizer(name, value, rule)


def state_types(optimizer: Optimizer, elements: int) -> dict[str, TensorType]:
    """Return the named state over `elements` parameters; all but "params" starts as zeros."""
    flat = TensorType(F32, (elements,))
    if optimizer.kind == "adamw":
        return {"params": flat, "m": flat, "v": flat, "step": TensorType(I64, ())}
    moments = {"momentum": flat} if optimizer.momentum else {}
    return {"params": flat, **moments, "step": TensorType(I64, ())}


def apply_gradient(
    builder: Builder, optimizer: Optimizer, state: Mapping[str, Value], grad_P: Value
) -> dict[str, Value]:
    """Add one optimizer step; return the state after, under the names of `state_types`."""
    rate = learning_rate(builder, optimizer, state["step"])
    if optimizer.max_grad_norm:
        grad_P = _clipped(builder, grad_P, optimizer.max_grad_norm)
    step_after = builder.add(state["step"], 1)
    rule = _adamw if optimizer.kind == "adamw" else _sgd
    return {**rule(builder, optimizer, state, grad_P, rate, step_after), "step": step_after}


def learning_rate(builder: Builder, optimizer: Optimizer, step: Value) -> Value:
    """Return the rate f32[] of the step that `step` i64[] earlier ones preceded."""
    b, peak = builder, optimizer.learning_rate
    done = b.cast(step, F32)
    warmup = optimizer.warmup_steps
    if optimizer.schedule == "constant":
        rate = b.full(peak)
    else:
        span = float(optimizer.max_steps - warmup)
        # Beyond max_steps the rate stays at its end, where a cosine would rise again.
        left = b.each("max", b.div(b.sub(float(optimizer.max_steps), done), span), 0.0)
        if optimizer.schedule == "cosine":
            turn = b.node("cos", (b.mul(b.sub(1.0, left), math.pi),))
            left = b.mul(b.add(turn, 1.0), 0.5)
        low = optimizer.learning_rate_min
        rate = b.add(b.mul(left, peak - low), low) if low else b.mul(left, peak)
    if not warmup:
        return rate
    rising = b.mul(b.div(done, float(warmup)), peak)
    return b.select(b.each("lt", step, warmup), rising, rate)


def _clipped(b: Builder, grad_P: Value, norm_max: float) -> Value:
    """Return the gradient scaled down to the 2-norm `norm_max` if it exceeds it."""
    norm = b.node("sqrt", (_sum_of_squares(b, grad_P),))
    scale = b.each("min", b.div(norm_max, b.add(norm, CLIP_EPS)), 1.0)
    return b.mul(grad_P, scale)


def _sum_of_squares(b: Builder, x_P: Value) -> Value:
    square_P = b.mul(x_P, x_P)
    (elements,) = x_P.shape
    even = elements - elements % NORM_RUN
    runs = []
    if even:
        head = b.reshape(b.slice(square_P, (0,), (even,)), (even // NORM_RUN, NORM_RUN))
        runs.append(b.sum_f32(head, (1,)))
    if even < elements:
        tail = b.reshape(b.slice(square_P, (even,), (elements,)), (1, elements - even))
        runs.append(b.sum_f32(tail, (1,)))
    return b.sum_f32(b.concat(runs, 0), (0,))


def half_decay(beta: float) -> float:
    """Return -ln(beta) / 2, correctly rounded in decimal, so that no libm decides a Program."""
    return float(Context(prec=40).ln(Decimal(beta)) / -2)


def bias_correction(builder: Builder, beta: float, step_f32: Value) -> Value:
    """Return 1 - beta^t without cancellation: 2y / (1 + y) with y = tanh(-t ln(beta) / 2)."""
    if beta == 0:
        return builder.like(step_f32, 1.0)
    y = builder.node("tanh", (builder.mul(step_f32, half_decay(beta)),))
    return builder.div(builder.mul(y, 2.0), builder.add(y, 1.0))


def _adamw(
    b: Builder, optimizer: Optimizer, state: Mapping[str, Value], grad_P: Value,
    rate: Value, step_after: Value,
) -> dict[str, Value]:  # fmt: skip
    beta1, beta2 = optimizer.betas
    t = b.cast(step_after, F32)
    root = b.node("sqrt", (bias_correction(b, beta2, t),))
    m_P = b.add(state["m"], b.mul(b.sub(grad_P, state["m"]), 1 - beta1))
    square_P = b.mul(b.mul(grad_P, grad_P), 1 - beta2)
    v_P = b.add(b.mul(state["v"], beta2), square_P)
    # rate m / c1 / (sqrt(v) / root + eps), both sides of the bar times root: one pass fewer over P.
    size = b.div(b.mul(rate, root), bias_correction(b, beta1, t))
    below_P = b.add(b.node("sqrt", (v_P,)), b.mul(root, optimizer.eps))
    kept_P = state["params"]
    if optimizer.weight_decay:
        kept_P = b.mul(kept_P, b.sub(1.0, b.mul(rate, optimizer.weight_decay)))
    params_P = b.sub(kept_P, b.div(b.mul(m_P, size), below_P))
    return {"params": params_P, "m": m_P, "v": v_P}


def _sgd(
    b: Builder, optimizer: Optimizer, state: Mapping[str, Value], grad_P: Value,
    rate: Value, step_after: Value,
) -> dict[str, Value]:  # fmt: skip
    params_P, after = state["params"], {}
    if optimizer.weight_decay:
        grad_P = b.add(grad_P, b.mul(params_P, optimizer.weight_decay))
    if optimizer.momentum:
        momentum_P = b.add(b.mul(state["momentum"], optimizer.momentum), grad_P)
        after["momentum"] = momentum_P
        ahead_P = b.add(grad_P, b.mul(momentum_P, optimizer.momentum))
        grad_P = ahead_P if optimizer.nesterov else momentum_P
    return {"params": b.sub(params_P, b.mul(grad_P, rate)), **after}
