"""The order of samples: a permutation per epoch that anyone can compute one place at a time."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.chance import permuted
from skerry.dataset.bulk_order import KEPT_SAMPLES_MAX, permuted_bulk, samples_at, step_samples
from skerry.dataset.order import BatchPlan, epoch_key, sample_index

SEEDS = st.integers(-(1 << 63), (1 << 63) - 1)


@given(st.integers(1, 300), SEEDS, st.integers(0, 5))
def test_an_epoch_visits_every_sample_exactly_once(size: int, seed: int, epoch: int) -> None:
    visited = [sample_index(size, seed, epoch * size + place) for place in range(size)]
    assert sorted(visited) == list(range(size))


@given(st.integers(1, 40), SEEDS, st.integers(1, 4), st.integers(1, 7))
def test_the_steps_of_a_plan_walk_through_the_epochs(
    size: int, seed: int, shards: int, batch: int
) -> None:
    plan = BatchPlan(size=size, seed=seed, shards=shards, batch=batch)
    per_step = shards * batch
    steps = -(-2 * size // per_step)
    run = [
        index
        for step in range(steps)
        for shard in range(shards)
        for index in plan.indices(step, shard)
    ]
    assert run == [sample_index(size, seed, position) for position in range(steps * per_step)]
    assert sorted(run[:size]) == sorted(run[size : 2 * size]) == list(range(size))
    assert plan.epoch(0) == 0


@given(st.integers(1, 2000), SEEDS, st.integers(0, 9000), st.integers(0, 50))
def test_the_bulk_twin_gives_the_same_samples(size: int, seed: int, first: int, count: int) -> None:
    expected = [sample_index(size, seed, first + place) for place in range(count)]
    assert samples_at(size, seed, first, count).tolist() == expected


@pytest.mark.parametrize("count", [5, 200])
def test_a_large_epoch_is_ordered_only_where_asked(count: int) -> None:
    size = KEPT_SAMPLES_MAX + 7
    first = 2 * size - 3
    expected = [sample_index(size, 5, first + place) for place in range(count)]
    assert samples_at(size, 5, first, count).tolist() == expected


@given(st.integers(1, 1 << 52), SEEDS, st.data())
def test_the_bulk_twin_agrees_on_sets_of_any_size(size: int, key: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, size - 1))
    found = permuted_bulk(np.array([place, 0, size - 1]), size, key).tolist()
    assert found == [permuted(each, size, key) for each in (place, 0, size - 1)]


@given(st.integers(1, 100), SEEDS, st.integers(0, 30), st.data())
def test_the_bulk_twin_gives_the_asked_shards_of_a_step(
    size: int, seed: int, step: int, data: st.DataObject
) -> None:
    plan = BatchPlan(size=size, seed=seed, shards=5, batch=3)
    asked = data.draw(st.lists(st.integers(0, 4), unique=True))
    found = step_samples(plan, step, asked)
    assert found.shape == (len(asked), 3)
    assert found.tolist() == [list(plan.indices(step, shard)) for shard in asked]
    assert step_samples(plan, step).shape == (5, 3)


def test_the_key_of_an_epoch_is_what_the_rule_spells_out() -> None:
    seed, epoch = -5, 12
    first = hashlib.sha256(b"\0chance\0" + seed.to_bytes(8, "little", signed=True)).digest()
    word = hashlib.sha256(b"\0fork\0" + first + b"order\x1f12").digest()
    assert epoch_key(seed, epoch) == int.from_bytes(word[:8], "little", signed=True)


def test_two_epochs_and_two_seeds_have_different_orders() -> None:
    orders = {
        tuple(samples_at(100, seed, epoch * 100, 100).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"shards": 0}, {"batch": 0}, {"seed": 1 << 63}], ids=str
)
def test_an_impossible_plan_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|64 bits"):
        BatchPlan(**({"size": 9, "seed": 0, "shards": 2, "batch": 2} | change))


def test_a_place_outside_the_plan_is_refused() -> None:
    plan = BatchPlan(size=9, seed=0, shards=2, batch=2)
    with pytest.raises(ValueError, match="shard 2 of step 0"):
        plan.indices(0, 2)
    with pytest.raises(ValueError, match="shard 0 of step -1"):
        plan.indices(-1, 0)
    with pytest.raises(ValueError, match="position -1"):
        sample_index(9, 0, -1)
    with pytest.raises(ValueError, match="outside"):
        permuted_bulk(np.array([9]), 9, 0)
