"""What every test stands on: one thread, no network, and the same examples each time."""

from __future__ import annotations

import os

from hypothesis import settings

# Read by the libraries when they load, so these lines come before any test imports torch. Worker
# processes that a test starts inherit them.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

# `fast` draws the same examples in every run, so that a red build is red for everyone.
# `pytest --hypothesis-profile=deep` looks further, and elsewhere each time.
settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True, database=None)
settings.register_profile("deep", max_examples=2000, deadline=None)
settings.load_profile("fast")
