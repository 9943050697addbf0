"""Which rounds a conviction spoils."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.market_world import ASKING, Plot, Shape, World
from skerry.roles.spoiled import convicted_of, convicted_round, doubtful
from skerry.roles.statement import Because, EpochHistory, Found, UnitLine
from skerry.settle import Job
from skerry.settle.books import RING

SHAPE = Shape(rounds=12, lanes=4, local_steps=4, segments=2)
PLOT = Plot(SHAPE, replace(ASKING, epoch_rounds=1, draws=64), solvers=3, stops=12)


def job_with(lies: frozenset[tuple[int, int]]) -> Job:
    return World(replace(PLOT, lies=lies)).run().state


def histories(lies: dict[int, int]) -> dict[int, EpochHistory]:
    """Return epochs of one round, of which some have a lie in a segment."""
    found = {at: EpochHistory(at, range(at, at + 1)) for at in range(SHAPE.rounds)}
    for at, segment in lies.items():
        found[at] = replace(found[at], lies=frozenset({segment}))
    return found


def test_the_convicted_are_those_of_the_chain_and_the_round_is_the_first() -> None:
    job = job_with(frozenset({(2, 0)}))
    assert convicted_of(job) == {job.leases[0].node}
    assert convicted_round(job, histories({9: 3, 4: 0}).values()) == 4
    assert convicted_round(job, histories({}).values()) is None
    wide = {0: EpochHistory(0, range(6), lies=frozenset({3 * 4 * 2 + 5}))}
    assert convicted_round(job, wide.values()) == 3, "segments are numbered through the epoch"


@given(st.integers(0, 11), st.integers(0, 3))
def test_what_the_convicted_did_is_doubtful_as_far_back_as_a_stake_answers(
    first: int, liars: int
) -> None:
    names = [bytes([it]) * 20 for it in range(SHAPE.lanes)]
    units = [
        UnitLine(at, lane, who, 1, Found.ACCEPTED, Because.PAID, 1)
        for at in range(SHAPE.rounds)
        for lane, who in enumerate(names)
    ]
    found = doubtful(first, histories({first: 0}), units, names[:liars])
    back = range(max(0, first + 1 - RING), first)
    assert found == tuple((at, lane) for at in back for lane in range(liars))
