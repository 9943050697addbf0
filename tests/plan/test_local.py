"""A plan says what would happen, or which limit to change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from skerry.plan import JobShape, Machine, NoPlan, Plan, plan_local, ring_bytes

GIB = 1 << 30


def shape(*, lanes: int = 4, workers_asked: int = 0, peak: int = GIB, allowed: int = 0) -> JobShape:
    return JobShape(
        parameters=1_000_000,
        lanes=lanes,
        rounds=10,
        local_steps=30,
        step_operations=10**9,
        step_bytes_peak=peak,
        update_bytes=20_000,
        workers_asked=workers_asked,
        memory_bytes_allowed=allowed,
    )


def machine(cores: int = 2, memory: int = 16 * GIB) -> Machine:
    return Machine(cores=cores, memory_bytes=memory, operations_per_second=1e10)


def test_two_cores_run_four_lanes_two_at_a_time() -> None:
    plan = plan_local(shape(), machine())
    assert isinstance(plan, Plan)
    assert (plan.workers, plan.threads) == (2, 1)
    assert plan.seconds == 2 * 300 * 0.1
    assert plan.bytes_ring == ring_bytes(1_000_000, 2, 300)
    assert plan.bytes_ratio > 1000


def test_a_plan_counts_units_by_rounds_and_bytes_by_merges() -> None:
    often, seldom = shape(), replace(shape(), merge_rounds=5)
    plans = [plan_local(it, machine()) for it in (often, seldom)]
    first, second = (it for it in plans if isinstance(it, Plan))
    assert first.units == second.units == 4 * 10
    assert first.bytes_sent == 5 * second.bytes_sent
    assert first.seconds == second.seconds


def test_four_workers_on_two_cores_take_as_long_as_two() -> None:
    two, four = plan_local(shape(), machine()), plan_local(shape(workers_asked=4), machine())
    assert isinstance(two, Plan)
    assert isinstance(four, Plan)
    assert two.seconds == four.seconds


def test_too_little_memory_names_the_change_that_helps() -> None:
    too_large = plan_local(shape(peak=64 * GIB), machine())
    assert isinstance(too_large, NoPlan)
    assert too_large.reason.endswith("bytes of memory, 17179869184 are there")
    assert "per_device_train_batch_size smaller" in too_large.change
    refused = plan_local(shape(workers_asked=8, allowed=4 * GIB), machine())
    assert isinstance(refused, NoPlan)
    assert refused.change == "set resources.workers to 2 or fewer"


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
def test_a_plan_never_exceeds_what_it_was_given(lanes: int, cores: int, gib: int) -> None:
    plan = plan_local(shape(lanes=lanes), machine(cores, gib * GIB))
    if isinstance(plan, Plan):
        assert plan.memory_bytes <= gib * GIB
        assert 1 <= plan.workers <= max(1, min(lanes, cores))
        assert plan.workers * plan.threads <= max(cores, 1)
    else:
        assert gib < 2
