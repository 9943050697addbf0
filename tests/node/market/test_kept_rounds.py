"""Rounds that an earlier award has paid for: nobody's, and looked at by no auditor who saw that."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from benchmarks.market_world import ASKING, Plot, Shape, World
from skerry.chain.moves import Site
from skerry.node.market.engagement import Engagement
from skerry.roles.course import Course, LaneWork, RoundWork
from skerry.settle import Epoch
from tests.node.small import local_job

LANES, KEPT = 2, 3
STATE = bytes(32)


def unopened() -> NoReturn:
    raise AssertionError("nothing is replayed here")


def engaged() -> Engagement:
    """Return an engagement of a run of four rounds, of which three are kept."""
    world = World(
        Plot(
            Shape(4, LANES, 4, 2), replace(ASKING, kept=KEPT, lanes_each_max=1), solvers=2, stops=4
        )
    )
    world.open()
    course = Course(world.state.terms, kept=KEPT)
    for at in range(4):
        done = tuple(LaneWork((bytes([at, lane]) * 16,), lane) for lane in range(LANES))
        course = course.more(RoundWork(STATE, done, STATE))
    made = Engagement(course, local_job().config, {}, Site(1, bytes(20)), unopened)
    for at in range(4):
        for lane in range(LANES):
            made.names[at, lane] = (bytes([at, lane]) * 16,)
    return made


def test_kept_lanes_are_nobodys_and_wait_for_no_claim() -> None:
    made = engaged()
    assert [made.unclaimed(at) for at in range(4)] == [(), (), (), (0, 1)]
    assert made.claimed_rounds() == KEPT
    assert made.claimed_course().kept == KEPT
    assert made.course.tally(KEPT) == (0, 0)
    assert made.course.tally(4) == (1, 1)


def test_an_auditor_skips_kept_rounds_only_once_the_chain_says_that_they_count_for_nobody() -> None:
    made = engaged()
    assert made.audited(0, 1), "it was only told so"
    whole = Course(made.course.terms)  # as it would be if the lanes of these rounds counted
    for work in engaged().course.rounds:
        whole = whole.more(replace(work, lanes=(LaneWork((STATE,), 0),) * LANES))
    counted = Epoch(0, whole.root(0, range(KEPT)), 0, KEPT, 5, (3, 3))
    made.hold_to(counted)
    assert made.audited(0, 1)
    empty = Epoch(0, made.course.root(0, range(KEPT)), 0, KEPT, 5, (0, 0))
    made.hold_to(empty)
    assert [bool(made.audited(at, 1)) for at in range(4)] == [False, False, False, True]
    made.hold_to(Epoch(1, made.course.root(1, range(KEPT, 4)), KEPT, 4, 6, (1, 1)))
    assert made.audited(3, 0)
