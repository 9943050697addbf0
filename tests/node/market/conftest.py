"""Markets that are closed again after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.market.ground import Market


@pytest.fixture
def markets() -> Iterator[list[Market]]:
    made: list[Market] = []
    yield made
    for it in made:
        it.close()
