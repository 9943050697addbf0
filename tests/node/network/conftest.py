"""The job that a module's nodes run, and how it ends where nobody disturbs it.

A module says how long its job is: `TERMS = {"rounds": 32, "save_rounds": 4}`, in multiples of
`EVERY`, since one of the jobs merges only every so many rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from skerry.node.life import RunJob
from tests.node.small import every_step_job, local_job
from tests.node.within import Within

EVERY = 4
JOBS: dict[str, Callable[..., RunJob]] = {
    "local": local_job,
    "every-step": every_step_job,
    "merging seldom": partial(local_job, merge_rounds=EVERY),
}


@pytest.fixture(scope="module", params=sorted(JOBS))
def job(request: pytest.FixtureRequest) -> RunJob:
    return JOBS[request.param](**request.module.TERMS)


@pytest.fixture(scope="module")
def undisturbed(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The root of the state that a local run of the job ends in."""
    return Within(job, tmp_path_factory.mktemp("run"), workers=1).run().root
