"""Each story is told twice: to the rules alone, and to the contracts as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.twin import Twin
from tests.settle.stories import TELLER, Teller


@pytest.fixture(autouse=True, params=["rules", "contracts"])
def teller(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tell each story to the rules alone, and to the contracts as well."""
    TELLER[0] = Teller() if request.param == "rules" else Twin()
    yield
    TELLER[0] = Teller()
