"""The reference page knows every key and every rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skerry.dataset import DatasetConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "dataset.md").read_text()
CODE = "\n".join(path.read_text() for path in (ROOT / "src/skerry/dataset").glob("*.py"))
RULES = set(re.findall(r'(?:drop|_BadCellError)\(\s*"([a-z_0-9]+)"', CODE)) | set(
    re.findall(r'return "([a-z]+_?[a-z]*)"\n', CODE)
) - {"train", "heldout"}


@pytest.mark.parametrize("key", DatasetConfig.__struct_fields__)
def test_every_key_is_explained(key: str) -> None:
    assert f"| `{key}`" in PAGE or f", `{key}` |" in PAGE


def test_every_rule_is_explained() -> None:
    assert {"not_utf8", "too_short", "near_duplicate", "not_finite"} <= RULES
    assert not {rule for rule in RULES if f"`{rule}`" not in PAGE}


def test_the_example_of_the_page_names_what_is_there() -> None:
    import skerry.dataset

    (names,) = re.findall(r"from skerry\.dataset import (.+)", PAGE)
    assert set(names.split(", ")) <= set(skerry.dataset.__all__)
