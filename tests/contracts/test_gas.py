"""What a job costs on a chain is known to the unit, and does not grow with its lanes."""

from __future__ import annotations

import json

import pytest

from scripts.bless_gas import FILE, measured

GAS_HAPPY_MAX = 1_300_000


@pytest.mark.slow
def test_a_job_without_a_dispute_costs_what_was_recorded() -> None:
    found = measured()
    assert found == json.loads(FILE.read_text()), "if this is meant: python -m scripts.bless_gas"
    assert found["gas_happy"] <= GAS_HAPPY_MAX
    few, many = found["gas_by_lanes"]["6"], found["gas_by_lanes"]["96"]
    assert abs(many - few) < 1_000, "only the numbers' own bytes may differ"
