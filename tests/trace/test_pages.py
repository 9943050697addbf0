"""The page of tracing names every operation that has a lowering."""

from __future__ import annotations

import re

from scripts.tree import ROOT
from skerry.trace import LOWERINGS, TASKS

PAGE = (ROOT / "docs" / "reference" / "tracing.md").read_text()


def test_every_lowering_stands_on_the_page() -> None:
    names = {name.split(".")[1] for name in LOWERINGS}
    shown = set(re.findall(r"`([a-z0-9_]+)`", PAGE))
    missing = {
        name for name in names - shown
        if not (name.endswith("_backward") and name.removesuffix("_backward") in shown)
    }  # fmt: skip
    assert not missing, f"docs/reference/tracing.md does not name {sorted(missing)}"


def test_every_task_stands_on_the_page() -> None:
    for task in TASKS.values():
        assert f"`{task.name}`" in PAGE
        assert all(f"`{name}`" in PAGE for name in task.fields)
