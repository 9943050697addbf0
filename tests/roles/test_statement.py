"""A statement's sums are the chain's, whatever a node's own copy of the run says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.market_world import ASKING, Plot, Shape, World
from skerry.roles.course import Course
from skerry.roles.statement import Because, Statement, statement
from skerry.settle import actions
from skerry.settle.payment import Shares, shares

PLOT = Plot(Shape(6, 3, 4, 2), replace(ASKING, epoch_rounds=2), solvers=3, stops=6)


class Told(World):
    """A world that keeps what each settlement paid."""

    def make(self, move: actions.Action) -> None:
        """Make a move."""
        if isinstance(move, actions.Settle):
            self.settled = (*getattr(self, "settled", ()), shares(self.state, move, self.now))
        super().make(move)

    settled: tuple[Shares, ...] = ()


@pytest.fixture(scope="module")
def world() -> Told:
    world = Told(PLOT)
    world.run()
    return world


def course_of(world: Told) -> Course:
    assert world.course is not None, "it was awarded"
    return world.course


def stated(world: Told, course: Course) -> Statement:
    job = world.books.jobs[world.job]
    return statement(
        job, course, {}, world.settled, altered=frozenset(), claimed=len(course.rounds)
    )


def test_every_unit_that_was_paid_is_listed(world: Told) -> None:
    found = stated(world, course_of(world))
    assert found.adds_up
    assert found.unlisted == 0
    assert {it.reason for it in found.units} == {Because.PAID}


@pytest.mark.parametrize("kept", range(6))
def test_what_was_paid_for_units_that_a_copy_lacks_is_told_as_a_sum(world: Told, kept: int) -> None:
    whole = stated(world, course_of(world))
    found = stated(world, Course(course_of(world).terms, course_of(world).rounds[:kept]))
    assert found.adds_up
    assert found.spent == whole.spent
    assert found.unlisted == sum(it.paid for it in whole.units if it.round >= kept)
