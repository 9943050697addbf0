"""Skerry: a compute network for AI whose every step anyone can recompute bit for bit.

The names below mirror the command line; each does what the command of its name does and returns a
typed result. Importing this module loads no tensor library.

    file = skerry.load_job("jobs/digits.toml", ["train.max_steps=200"])
    report = skerry.prepare_data(file)
    traced = skerry.trace_job(file, report)
    plan = skerry.plan_job(traced)
    result = skerry.run_job(file)
    verdict = skerry.verify_receipt("runs/digits/receipts/...")
    for piece in skerry.sample_text("runs/kjv", "In the beginning"): ...

Rooms, from the ground up: base · messages · commit · program, job · plan, verify, train · exact ·
trace, models, dataset, storage, transport · node · cli. ARCHITECTURE.md is the map.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from skerry.base.errors import SkerryError

if TYPE_CHECKING:
    from skerry.node.checking import verify_receipt
    from skerry.node.jobs import live_job as run_job
    from skerry.node.jobs import plan_here as plan_job
    from skerry.node.sampling import sample_text
    from skerry.node.submission import load_job, prepare_data, trace_job

__version__ = "0.1.0"

_HOMES = {
    "load_job": "skerry.node.submission:load_job",
    "prepare_data": "skerry.node.submission:prepare_data",
    "trace_job": "skerry.node.submission:trace_job",
    "plan_job": "skerry.node.jobs:plan_here",
    "run_job": "skerry.node.jobs:live_job",
    "verify_receipt": "skerry.node.checking:verify_receipt",
    "sample_text": "skerry.node.sampling:sample_text",
}

__all__ = [
    "SkerryError",
    "__version__",
    "load_job",
    "plan_job",
    "prepare_data",
    "run_job",
    "sample_text",
    "trace_job",
    "verify_receipt",
]


def __getattr__(name: str) -> Any:
    """Load a name of the API when it is first used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'skerry' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """List the API."""
    return sorted(__all__)
