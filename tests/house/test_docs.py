"""Pages that can be found, links that lead somewhere, decisions that say what they cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import tree

DOCS = tree.ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *tree.ROOT.glob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
HEADINGS = ["Context", "Decision", "What we gave up", "What would change our mind"]


def links(page: Path) -> list[str]:
    """Return the relative links of a page, without their anchors."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    return [target for target in local if target]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(tree.ROOT)))
def test_a_link_leads_somewhere(page: Path) -> None:
    broken = [target for target in links(page) if not (page.parent / target).exists()]
    assert not broken


def test_every_page_is_reached_from_the_index() -> None:
    reached = {(DOCS / target).resolve() for target in links(DOCS / "README.md")}
    missing = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page not in reached]
    assert missing == ["README.md"], "link these from docs/README.md"


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == list(range(len(DECISIONS)))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_says_what_it_costs_and_what_would_change_it(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == HEADINGS
