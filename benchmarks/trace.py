"""Seconds to trace and load a 12-layer transformer of 10 M parameters.

From an nn.Module to checked Programs of gradient, evaluation and prediction, the optimizer step
composed, canonical bytes written and read, and the step made ready to run on the native backend.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.measure import Note
from skerry.exact import compile_program
from skerry.models.examples import GPT
from skerry.program import I64, TensorType, check, from_bytes, to_bytes
from skerry.trace import trace_model
from skerry.train import Optimizer, step_program


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Trace and load once; the same with and without `quick`."""
    torch.set_num_threads(1)
    model = GPT(vocabulary=1024, width=256, layers=12, heads=8, context=128)
    start = time.perf_counter()
    traced = trace_model(model, "causal-lm", {"tokens": TensorType(I64, (4, 129))})
    after_trace = time.perf_counter()
    step = step_program(traced.grad, Optimizer(kind="adamw", max_grad_norm=1.0), 1)
    data = to_bytes(step)
    loaded = from_bytes(data)
    check(loaded)
    after_load = time.perf_counter()
    compile_program(loaded, "native")
    end = time.perf_counter()
    note(f"{len(step.nodes)} nodes, {len(data)} bytes")
    return {
        "seconds": round(end - start, 2), "trace": round(after_trace - start, 2),
        "load": round(after_load - after_trace, 2), "compile": round(end - after_load, 2),
        "parameters": traced.layout.elements, "nodes": len(step.nodes), "bytes": len(data),
    }  # fmt: skip
