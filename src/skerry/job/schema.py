"""The keys of a job file, their defaults and their ranges.

What    `Job` and its sections. Names follow Hugging Face's TrainingArguments where it has one.
Why     One typed place for every key: the parser, `skerry plan` and the reference page read it.
Units   *_steps count optimizer steps, from the start of the job; sizes are counts.
Pure    Frozen structs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=1 << 40)]
CountOrZero = Annotated[int, Meta(ge=0, le=1 << 40)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class ModelSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[model]: exactly one of factory, example, hf_config and model_name_or_path.

    Attributes:
        factory: "module:function" that returns an nn.Module.
        example: a model that ships with Skerry: "mlp", "cnn" or "gpt".
        hf_config: a Hugging Face config as a table with model_type, or the path of a config.json.
        model_name_or_path: a folder with config.json and weights to start from.
        arguments: keyword arguments of the factory or example.
        weights: a safetensors file of initial weights; empty: initialised from the seed.
    """

    factory: str = ""
    example: str = ""
    hf_config: str | dict[str, Any] = ""
    model_name_or_path: str = ""
    arguments: dict[str, Any] = {}
    weights: str = ""


class TrainSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[train]: the optimisation, in Hugging Face's names.

    Attributes:
        task: "causal-lm", "classification" or "regression": fixes the loss.
        loss: "module:function" of (model, batch) that replaces the task's loss.
        max_steps: optimizer steps.
        per_device_train_batch_size: samples of one shard.
        gradient_accumulation_steps: shards of one lane and step.
        learning_rate: the peak.
        lr_scheduler_type: "constant", "linear" or "cosine", after the warm-up.
        warmup_steps: steps from zero to the peak.
        min_lr_rate: where the schedule ends, as a share of the peak.
        optim: "adamw" or "sgd".
        weight_decay: decoupled for adamw, coupled for sgd.
        max_grad_norm: clip the gradient's global norm to this; 0 does not clip.
        seed: fixes initial weights, data order and dropout.
        arithmetic: "exact" (the same bits everywhere) or "fast" (machines you trust).
        profile: operand widths of exact products: "wide" or "narrow".
    """

    task: Literal["causal-lm", "classification", "regression"] = "causal-lm"
    loss: str = ""
    max_steps: Count = 100
    per_device_train_batch_size: Count = 8
    gradient_accumulation_steps: Annotated[int, Meta(ge=1, le=1024)] = 1
    learning_rate: Positive = 1e-3
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_steps: CountOrZero = 0
    min_lr_rate: Annotated[float, Meta(ge=0, le=1)] = 0.0
    optim: Literal["adamw", "sgd"] = "adamw"
    weight_decay: NotNegative = 0.0
    adam_beta1: Share = 0.9
    adam_beta2: Share = 0.999
    adam_epsilon: Positive = 1e-8
    momentum: Share = 0.9
    nesterov: bool = False
    max_grad_norm: NotNegative = 1.0
    seed: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)] = 42
    arithmetic: Literal["exact", "fast"] = "exact"
    profile: Literal["wide", "narrow"] = "wide"


class RoundsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[rounds]: how lanes work apart and come together.

    Attributes:
        lanes: parts of every global batch that advance on their own between merges.
        local_steps: steps of a lane in one round; 1 with codec "none", each merged, equals one
            process.
        merge_rounds: rounds from one merge to the next. A round is a unit of every lane, signed,
            checked, paid and handed over by itself: with more of them a node that leaves loses
            less. The bits are those of a merge in every round of so many times the steps.
        codec: "quantised" (every value as a level), "lowrank" (few directions of each matrix),
            "topk" (few values of each chunk), all in few bits with error feedback, or "none"
            (everything, exactly).
        level_width: how wide a level is for codec "quantised", in roots of the mean square of its
            tensor: wider ones cost fewer bits, 2.0 costs 0.9 a parameter.
        rank: terms of a square matrix for codec "lowrank"; longer ones get more in proportion.
        chunk: elements of one top-k chunk.
        topk: elements kept of each chunk.
        residual_decay: what error feedback keeps from round to round.
        outer_learning_rate: the share of the merged update that is applied.
        outer_momentum: Nesterov momentum of the merged update, for codec "none".
        segments: parts of a unit whose state is committed, so that one part can be audited;
            0 is four, or one a step where there are fewer.
    """

    lanes: Annotated[int, Meta(ge=1, le=1024)] = 4
    local_steps: Count = 1
    merge_rounds: Annotated[int, Meta(ge=1, le=1024)] = 1
    codec: Literal["quantised", "lowrank", "topk", "none"] = "none"
    level_width: Annotated[float, Meta(ge=0.25, le=4)] = 2.0
    rank: Annotated[float, Meta(gt=0, le=1 << 16)] = 1.0
    chunk: Annotated[int, Meta(ge=16, le=1 << 16)] = 4096
    topk: Count = 64
    residual_decay: Annotated[float, Meta(ge=0, le=1)] = 0.95
    outer_learning_rate: Positive = 1.0
    outer_momentum: Share = 0.0
    segments: Annotated[int, Meta(ge=0, le=1024)] = 0


class ResourcesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[resources]: the machine's share in the job.

    Attributes:
        workers: worker processes; 0 is one for each lane, at most one a core.
        threads_per_worker: compute threads of each; 0 shares the cores evenly.
        backend: "auto", "native" or "torch"; equal bits.
        device: a torch device, for example "cpu" or "cuda".
        memory_gb: refuse to start when the plan needs more; 0 is what the machine has.
    """

    workers: Annotated[int, Meta(ge=0, le=1024)] = 0
    threads_per_worker: Annotated[int, Meta(ge=0, le=1024)] = 0
    backend: Literal["auto", "native", "torch"] = "auto"
    device: str = "cpu"
    memory_gb: NotNegative = 0.0


class CheckpointSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[checkpoint]: what is kept, in steps; 0 is only at the end.

    Attributes:
        save_steps: steps between checkpoints.
        eval_steps: steps between evaluations on held-out data.
        eval_batches: held-out batches of one evaluation; 0 is all.
        save_total_limit: checkpoints kept; 0 keeps all.
    """

    save_steps: CountOrZero = 0
    eval_steps: CountOrZero = 0
    eval_batches: CountOrZero = 0
    save_total_limit: CountOrZero = 0


class MarketSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[market]: what a job pays on a network with a chain; elsewhere it is not read.

    Attributes:
        price_max: most that a unit, one lane of one round, may cost, in the token's smallest unit.
        price_audit: an auditor's pay for an epoch; 0 is what the dearest of those hired asks, which
            must not be more than `price_max` for each draw.
        price_record: the coordinator's pay for a round.
        auditors: nodes that run drawn parts again and may not run lanes.
        epoch_rounds: rounds that are committed, audited and paid together.
        draws: segments that are drawn from each epoch.
        phase_seconds: time for each step of an audit; 0 is ten times what a replay should take,
            and at least 60 s and what the market allows. Auditors that are late lose their stakes.
        clock_seconds: time for thought in a dispute; 0 is ten times what a replay should take.
        seconds: time from the award to the job's end; what is not done by then is refunded; of a
            run that died sooner, after one more audit, unless a node records its rounds. 0 is an
            hour and twenty times what the run should take on one core.
        lanes_each_max: most lanes of one node; 0 gives all nodes alike that are not to audit.
        redo: whether rounds that a convicted node had a part in are hired for and done again.
    """

    price_max: Count = 2_000
    price_audit: CountOrZero = 0
    price_record: CountOrZero = 100
    auditors: Annotated[int, Meta(ge=0, le=4)] = 2
    epoch_rounds: Count = 4
    draws: Annotated[int, Meta(ge=0, le=256)] = 9
    phase_seconds: CountOrZero = 0
    clock_seconds: CountOrZero = 0
    seconds: CountOrZero = 0
    lanes_each_max: CountOrZero = 0
    redo: bool = True


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job file.

    Attributes:
        name: names the run.
        output_dir: where the run and the trained model go; empty: runs/NAME.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    output_dir: str = ""
    model: ModelSection
    data: dict[str, Any]
    train: TrainSection = TrainSection()
    rounds: RoundsSection = RoundsSection()
    resources: ResourcesSection = ResourcesSection()
    checkpoint: CheckpointSection = CheckpointSection()
    market: MarketSection = MarketSection()

    @property
    def shards(self) -> int:
        """The shards of one global batch."""
        return self.rounds.lanes * self.train.gradient_accumulation_steps

    @property
    def segments(self) -> int:
        """The segments of one unit."""
        return self.rounds.segments or min(4, self.rounds.local_steps)

    @property
    def merge_steps(self) -> int:
        """The steps of a lane from one merge to the next."""
        return self.rounds.local_steps * self.rounds.merge_rounds

    @property
    def every_step(self) -> bool:
        """Whether every gradient is exchanged, exactly."""
        return self.merge_steps == 1 and self.rounds.codec == "none"

    @property
    def round_count(self) -> int:
        """The rounds of the whole job."""
        return self.train.max_steps // self.rounds.local_steps
