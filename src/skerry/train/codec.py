"""Codecs: what a lane sends after a round, and how the lanes' updates become one.

What    `encode_program` turns a lane's drift (start minus end of a round) into the few values it
        sends and the error it remembers; `merge_program` turns the values of all lanes that
        arrived into the next global parameters.
Why     Gradients of every step would fill any home line. A round's drift, kept where it is largest
        or in its few strongest directions, or rounded to a bit or two, costs a thousandth, and
        what was left out is not lost: it stays in the residual and is sent later.
Rule    Both sides rebuild the same dense update from the codes by the same nodes, so what is
        subtracted from the residual is, bit for bit, what the merge applies.
Source  Sarfi et al. 2025, "Communication efficient LLM pre-training with SparseLoCo"; Vogels et al.
        2019, "PowerSGD"; for the outer momentum of the dense kind, Douillard et al. 2023, "DiLoCo".
Legend  P = parameters, C = chunks, W = width of a chunk, k = values kept a chunk, L = lanes.
Pure    Programs only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from skerry.base.errors import JobError
from skerry.program import (
    F32,
    I64,
    WIDE,
    Builder,
    Layout,
    Profile,
    Program,
    TensorType,
    Value,
)
from skerry.train.entropy import UpdateShape
from skerry.train.factors import FactorShape
from skerry.train.levels import LevelShape
from skerry.train.lowrank import factor, factored, rebuild
from skerry.train.quantised import LEVEL_WIDTH_MIN, SMALLEST, dequantise, quantise
from skerry.train.scales import rounded

CodecKind: TypeAlias = Literal["quantised", "lowrank", "topk", "none"]
#: How many values an update holds that is packed into fewer bits.
PackedShape: TypeAlias = UpdateShape | FactorShape | LevelShape

#: Kinds whose lanes train at their parameters less their residual.
_AHEAD: Final = ("lowrank", "quantised")


class InvalidCodec(JobError):
    """A number of the codec is out of its range."""

    code = "job.codec"

    def __init__(self, name: str, value: object, rule: str) -> None:
        self.name = name
        super().__init__(
            f"codec: {name} = {value!r}, but {rule}",
            next_step=f"set {name} in the [rounds] section of the job file",
        )


class Codec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How lanes tell each other what they learned.

    Attributes:
        kind: "quantised" sends every parameter's drift as a level of its tensor; "lowrank" sends a
            few products of a column and a row for each matrix; "topk" sends the largest values of
            each chunk as signs; "none" sends everything.
        level_width: how wide a level of kind "quantised" is, in roots of the mean square of its
            tensor's error: wider ones cost fewer bits.
        rank: terms of a square matrix of kind "lowrank"; longer ones get more in proportion.
        chunk: the most elements of one chunk; the chunks of a model are as equal as possible.
        topk: values sent of each chunk.
        residual_decay: what the residual keeps from round to round, before the new drift is added.
        outer_learning_rate: the share of the mean update that is applied.
        outer_momentum: Nesterov momentum of the mean update; only for the kind "none".
    """

    kind: CodecKind = "topk"
    level_width: float = 2.0
    rank: float = 1.0
    chunk: int = 4096
    topk: int = 64
    residual_decay: float = 0.95
    outer_learning_rate: float = 1.0
    outer_momentum: float = 0.0

    def __post_init__(self) -> None:
        _need(1 <= self.chunk <= 1 << 20, "chunk", self.chunk, "it must be in 1..2^20")
        _need(1 <= self.topk <= self.chunk, "topk", self.topk, "it must be in 1..chunk")
        _need(0 < self.rank <= 1 << 16, "rank", self.rank, "it must be above 0, at most 2^16")
        width = self.level_width
        _need(LEVEL_WIDTH_MIN <= width <= 4, "level_width", width, "it must be in 1/4..4")
        decay, rate = self.residual_decay, self.outer_learning_rate
        _need(0 <= decay <= 1, "residual_decay", decay, "it must be in 0..1")
        _need(math.isfinite(rate) and rate > 0, "outer_learning_rate", rate, "it must exceed 0")
        momentum = self.outer_momentum
        _need(0 <= momentum < 1, "outer_momentum", momentum, "it must be at least 0 and below 1")
        _need(
            self.kind == "none" or not momentum,
            "outer_momentum", momentum, "error feedback already is a momentum: only for none",
        )  # fmt: skip

    @property
    def applies_residual(self) -> bool:
        """Whether a lane trains at its parameters less its residual.

        What it learned and has not sent yet it then does not learn again. Low-rank and quantised
        updates need that: they send so much of a drift that learning it twice overshoots.
        """
        return self.kind in _AHEAD

    def shape(self, elements: int) -> UpdateShape:
        """Return how an update over `elements` parameters is cut into chunks."""
        chunks = -(-elements // self.chunk)
        width = -(-elements // chunks)
        return UpdateShape(chunks, width, min(self.topk, width))


def _need(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise InvalidCodec(name, value, rule)


def lane_memory_types(codec: Codec, elements: int) -> dict[str, TensorType]:
    """Return the state that a lane keeps for its codec; it starts as zeros."""
    flat = TensorType(F32, (elements,))
    return {} if codec.kind == "none" else {"residual": flat}


def global_memory_types(codec: Codec, elements: int) -> dict[str, TensorType]:
    """Return the global state of the merge besides "params"; it starts as zeros."""
    flat = TensorType(F32, (elements,))
    return {"outer": flat} if codec.outer_momentum else {}


def update_types(codec: Codec, layout: Layout) -> dict[str, TensorType]:
    """Return the values that one lane sends, by name."""
    if codec.kind == "none":
        return {"drift": TensorType(F32, (layout.elements,))}
    return update_shape(codec, layout).types


def update_shape(codec: Codec, layout: Layout) -> PackedShape:
    """Return how many values an update over parameters of that layout holds; not for "none"."""
    assert codec.kind != "none", "all of a drift has no shape but its own"
    if codec.kind == "lowrank":
        return FactorShape.of(factored(layout, codec.rank))
    if codec.kind == "quantised":
        return LevelShape(layout.elements, len(layout.slots))
    return codec.shape(layout.elements)


def bytes_expected(codec: Codec, layout: Layout) -> int:
    """Return about how many bytes one lane's update takes, for a plan."""
    if codec.kind == "none":
        return sum(kind.size_bytes for kind in update_types(codec, layout).values())
    shape = update_shape(codec, layout)
    if isinstance(shape, LevelShape):
        return shape.bytes_expected(SMALLEST * codec.level_width)
    return shape.bytes_max


def encode_program(
    codec: Codec, layout: Layout, *, profile: Profile = WIDE, name: str = "encode"
) -> Program:
    """Return the Program that makes a lane's update at the end of its round.

    Ports: given "start" f32[P], the global parameters that the round began with; state "params"
    f32[P] after the local steps; state "residual" f32[P]. Outputs of kind "quantised": values
    "levels" i64[P] and "scales" f32[S] as `LevelShape` has them; state "residual". Of kind
    "lowrank": values "codes" i64[N] and "scales" f32[S] as `FactorShape` has them; state
    "residual". Of kind "topk": values "indices" i64[C, k] ascending in each chunk, "codes"
    i64[C, k] of 1 and -1, "scales" f32[C]; state "residual". Of kind "none": value "drift" f32[P].
    """
    elements = layout.elements
    b = Builder(name, profile)
    start_P = b.input("start", "given", F32, (elements,))
    params_P = b.input("params", "state", F32, (elements,))
    drift_P = b.sub(start_P, params_P)
    if codec.kind == "none":
        b.output("drift", drift_P)
        return b.build()
    residual_P = b.input("residual", "state", F32, (elements,))
    error_P = b.add(b.mul(residual_P, codec.residual_decay), drift_P)
    sent = _sent(b, codec, layout, error_P)
    for label, value in sent.items():
        b.output(label, value)
    one_lane = {label: b.reshape(x, (1, *x.shape)) for label, x in sent.items()}
    (sent_P,) = _rebuilt(b, codec, layout, one_lane)
    b.output("residual", b.sub(error_P, sent_P), "state")
    return b.build()


def _sent(b: Builder, codec: Codec, layout: Layout, error_P: Value) -> dict[str, Value]:
    """Return the values that stand for an error, by name."""
    if codec.kind == "quantised":
        return quantise(b, error_P, layout, codec.level_width)
    if codec.kind == "topk":
        return _largest(b, codec, layout, error_P)
    codes_N, scales_S = factor(b, error_P, factored(layout, codec.rank))
    return {"codes": codes_N, "scales": scales_S}


def _largest(b: Builder, codec: Codec, layout: Layout, error_P: Value) -> dict[str, Value]:
    shape = codec.shape(layout.elements)
    error = b.pad(error_P, (0,), (shape.chunks * shape.width - layout.elements,))
    indices_Ck = _largest_indices(b, error, shape)
    kept_Ck = b.take(error, _places(b, indices_Ck, shape))
    codes_Ck = b.select(
        b.each("lt", kept_Ck, 0.0), b.full(-1, kept_Ck.shape, I64), b.full(1, kept_Ck.shape, I64)
    )
    return {"indices": indices_Ck, "codes": codes_Ck, "scales": _scales(b, kept_Ck)}


def _rebuilt(b: Builder, codec: Codec, layout: Layout, sent: Mapping[str, Value]) -> list[Value]:
    """Return each lane's dense update f32[P]; the values of all lanes have a leading axis L."""
    lanes, elements = next(iter(sent.values())).shape[0], layout.elements
    if codec.kind == "lowrank":
        rows = {"dense": rebuild(b, sent["codes"], sent["scales"], factored(layout, codec.rank))}
    elif codec.kind == "quantised":
        rows = {"dense": dequantise(b, sent, layout)}
    else:
        rows = dict(sent)
    updates = []
    for lane in range(lanes):
        row = {
            label: b.reshape(b.slice_axis(x, 0, lane, lane + 1), x.shape[1:])
            for label, x in rows.items()
        }
        if codec.kind == "topk":
            shape = codec.shape(elements)
            parts = (row["indices"], row["codes"], row["scales"])
            updates.append(_scattered(b, shape, *parts, elements))
        else:
            (update_P,) = row.values()
            updates.append(update_P)
    return updates


def merge_program(
    codec: Codec, layout: Layout, lanes: int, *, profile: Profile = WIDE, name: str = "merge"
) -> Program:
    """Return the Program that merges the updates of the `lanes` lanes that arrived, in lane order.

    Ports: state "params" f32[P], the global parameters that the round began with; each value of
    `update_types` as a given with a leading axis L; state "outer" f32[P] with an outer momentum.
    Outputs: the state after: params - outer_learning_rate * mean of the updates.
    """
    elements = layout.elements
    b = Builder(name, profile)
    params_P = b.input("params", "state", F32, (elements,))
    outer = {
        label: b.input(label, "state", kind.dtype, kind.shape)
        for label, kind in global_memory_types(codec, elements).items()
    }
    given = {
        label: b.input(label, "given", kind.dtype, (lanes, *kind.shape))
        for label, kind in update_types(codec, layout).items()
    }
    total_P = _sum_in_order(b, _rebuilt(b, codec, layout, given))
    if codec.outer_momentum:
        mean_P = b.mul(total_P, 1 / lanes)
        outer_P = b.add(b.mul(outer["outer"], codec.outer_momentum), mean_P)
        b.output("outer", outer_P, "state")
        ahead_P = b.add(mean_P, b.mul(outer_P, codec.outer_momentum))
        change_P = b.mul(ahead_P, codec.outer_learning_rate)
    else:
        change_P = b.mul(total_P, codec.outer_learning_rate / lanes)
    b.output("params", b.sub(params_P, change_P), "state")
    return b.build()


def _sum_in_order(b: Builder, values: Sequence[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = b.add(total, value)
    return total


def _places(b: Builder, indices_Ck: Value, shape: UpdateShape) -> Value:
    """Return where the chunks' indices lie in the flat vector of C * W."""
    return b.add(indices_Ck, b.mul(b.iota(indices_Ck.shape, 0), shape.width))


def _largest_indices(b: Builder, error: Value, shape: UpdateShape) -> Value:
    """Return the indices of the k largest magnitudes of each chunk, in ascending order."""
    error_CW = b.reshape(error, (shape.chunks, shape.width))
    chosen_Ck = b.node("topk", (b.node("abs", (error_CW,)),), k=shape.kept)
    # The k greatest of the negated indices are all of them, the lowest index first.
    falling_Ck = b.node("neg", (b.cast(chosen_Ck, F32),))
    order_Ck = b.node("topk", (falling_Ck,), k=shape.kept)
    rows_Ck = b.mul(b.iota(order_Ck.shape, 0), shape.kept)
    return b.take(b.reshape(chosen_Ck, (shape.chunks * shape.kept,)), b.add(order_Ck, rows_Ck))


def _scales(b: Builder, kept_Ck: Value) -> Value:
    """Return the mean magnitude of each chunk's kept values, rounded to a few bits.

    The mean is the one magnitude for all k of the least squared error.
    """
    chunks = kept_Ck.shape[0]
    mean_C1 = b.mean_f32(b.node("abs", (kept_Ck,)), (1,), keep=True)
    return b.reshape(rounded(b, mean_C1, 1), (chunks,))


def _scattered(
    b: Builder, shape: UpdateShape, indices_Ck: Value, codes_Ck: Value, scales_C: Value,
    elements: int,
) -> Value:  # fmt: skip
    """Return the dense update f32[P] that the three values of a lane stand for."""
    count, size = shape.chunks * shape.kept, shape.chunks * shape.width
    places = b.reshape(_places(b, indices_Ck, shape), (count,))
    dense = b.node("scatter_add", (places, b.reshape(codes_Ck, (count,))), size=size)
    signs_CW = b.cast(b.reshape(dense, (shape.chunks, shape.width)), F32)
    sent_CW = b.mul(signs_CW, b.reshape(scales_C, (shape.chunks, 1)))
    return b.slice(b.reshape(sent_CW, (size,)), (0,), (elements,))
