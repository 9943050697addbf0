"""Runs small enough for a test: a made-up gradient with noise, so that every seed matters."""

from __future__ import annotations

from typing import Any

from skerry.messages.rounds import RunConfig
from skerry.node.life import RunJob
from skerry.program import F32, I64, Builder, Program, program_digest
from skerry.train import Optimizer, apply_program, step_program

ELEMENTS = 700
SGD = Optimizer(kind="sgd", learning_rate=0.05, momentum=0.9, max_steps=1000)


def gradient() -> Program:
    """Return the gradient of half the squared distance to a noisy target."""
    b = Builder("grad")
    params = b.input("params", "state", F32, (ELEMENTS,))
    noise = b.sub(b.uniform(b.input("seed", "chance", I64), 3, (ELEMENTS,)), 0.5)
    grad = b.add(b.sub(params, 1.0), noise)
    b.output("grad", grad)
    b.output("loss", b.mean_f32(b.mul(grad, grad), (0,)), "metric")
    return b.build()


def initial() -> Program:
    """Return the Program of the initial parameters."""
    b = Builder("init")
    seed = b.input("seed", "chance", I64)
    b.output("params", b.uniform(seed, 1, (ELEMENTS,)), "state")
    return b.build()


def dense_encode() -> Program:
    """Return an encode Program that sends most of the drift and remembers the rest."""
    b = Builder("encode")
    start = b.input("start", "given", F32, (ELEMENTS,))
    params = b.input("params", "state", F32, (ELEMENTS,))
    residual = b.input("residual", "state", F32, (ELEMENTS,))
    drift = b.add(b.sub(start, params), residual)
    sent = b.mul(drift, 0.75)
    b.output("delta", sent)
    b.output("residual", b.sub(drift, sent), "state")
    return b.build()


def dense_merge(lanes: int) -> Program:
    """Return the merge Program that goes with `dense_encode`."""
    b = Builder("merge")
    params = b.input("params", "state", F32, (ELEMENTS,))
    delta = b.input("delta", "given", F32, (lanes, ELEMENTS))
    b.output("params", b.sub(params, b.mean_f32(delta, (0,))), "state")
    return b.build()


def local_job(optimizer: Optimizer = SGD, **changes: Any) -> RunJob:
    """Return a job of local steps."""
    terms: dict[str, Any] = {
        "exchange": "local",
        "rounds": 4,
        "local_steps": 3,
        "lanes": 3,
        "shards_per_lane": 2,
        "samples_per_shard": 1,
        "segments": 2,
        "save_rounds": 2,
        "seed": 11,
    }
    terms |= changes
    programs = {
        "init": initial(),
        "step": step_program(gradient(), optimizer, terms["shards_per_lane"]),
        "encode": dense_encode(),
        "merge": dense_merge(terms["lanes"]),
    }
    return _job(programs, terms)


def every_step_job(**changes: Any) -> RunJob:
    """Return a job that exchanges every gradient."""
    terms: dict[str, Any] = {
        "exchange": "every-step",
        "rounds": 6,
        "lanes": 2,
        "shards_per_lane": 2,
        "samples_per_shard": 1,
        "save_rounds": 2,
        "seed": 11,
    }
    terms |= changes
    shards = terms["lanes"] * terms["shards_per_lane"]
    programs = {
        "init": initial(),
        "grad": gradient(),
        "apply": apply_program(ELEMENTS, SGD, shards),
    }
    return _job(programs, terms)


def _job(programs: dict[str, Program], terms: dict[str, Any]) -> RunJob:
    named = tuple((name, program_digest(it)) for name, it in sorted(programs.items()))
    return RunJob(RunConfig(programs=named, **terms), programs)
