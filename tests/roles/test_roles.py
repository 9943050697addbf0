"""Parties move by the deciders alone: all moves count, all jobs end, and nobody honest loses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.market_world import ASKING, FUNDS, Plot, Shape, World, address
from skerry.base.chance import Chance
from skerry.market import NoMatch
from skerry.market.terms import EPOCHS_MAX, Terms
from skerry.roles.auditor import AuditKey
from skerry.roles.client import stake_for
from skerry.roles.course import Course, epochs_of
from skerry.settle import actions
from skerry.verify.audits import opens

SHAPE = Shape(rounds=6, lanes=4, local_steps=4, segments=2)
PLOT = Plot(SHAPE, replace(ASKING, epoch_rounds=2), solvers=3, stops=6)


@st.composite
def plots(draw: st.DrawFn) -> Plot:
    """Draw a world in which some lie, some are lazy, and some leave."""
    rounds, lanes = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    shape = Shape(rounds, lanes, 4, draw(st.integers(1, 3)))
    asking = replace(
        ASKING,
        auditors=draw(st.integers(0, 3)),
        epoch_rounds=draw(st.integers(1, rounds)),
        draws=draw(st.integers(1, 8)),
        window=draw(st.sampled_from([0, 700])),
        lanes_each_max=draw(st.sampled_from([0, 2])),
        kept=draw(st.sampled_from([0, 0, 1, 3])) % rounds,
    )
    names = ["solver 0", "auditor 0", "auditor 1", "coordinator", "client"]
    gone = draw(st.dictionaries(st.sampled_from(names), st.integers(0, 900), max_size=2))
    cells = st.tuples(st.integers(0, rounds - 1), st.integers(0, lanes - 1))
    return Plot(
        shape,
        asking,
        solvers=4,
        stops=draw(st.integers(0, rounds)),
        lies=draw(st.frozensets(cells, max_size=3)),
        gone=tuple(sorted(gone.items())),
        lazy=draw(st.frozensets(st.sampled_from(["auditor 0", "auditor 1"]))),
        undercounts=draw(st.booleans()) and draw(st.booleans()),
        missigns=draw(st.booleans()) and draw(st.booleans()),
        coordinated=draw(st.booleans()),
        chance=Chance.from_int(draw(st.integers(0, 1 << 40))),
    )


def honest(world: World) -> list[str]:
    """Return the parties that did what they had promised."""
    plot = world.plot
    left = {who for who, _ in plot.gone}
    course = world.course
    assert course is not None
    liars = set()
    for at, lane in plot.lies:
        work = course.rounds[at].lanes[lane] if at < len(course.rounds) else None
        if work is not None:
            liars.add(world.state.leases[work.lease].node)
    crooked = world.coordinator if plot.undercounts or plot.missigns else ""
    return [
        it
        for it in world.names
        if it not in left | plot.lazy | {crooked, "client"} and address(it) not in liars
    ]


@given(plots())
def test_every_job_ends_and_nobody_honest_loses(plot: Plot) -> None:
    world = World(plot).run()
    assert world.state.closed
    assert world.state.escrow == 0
    assert all(it.locked == 0 for it in world.books.accounts.values())
    for name in honest(world):
        assert world.gain(name) >= 0, name
    for seat, who in enumerate(world.state.terms.auditors):
        if world.state.fallen >> seat & 1:
            assert who not in map(address, honest(world))
    world.leave()
    assert all(it.free == it.exiting == 0 for it in world.books.accounts.values())


def test_an_undisturbed_job_pays_each_unit_audit_and_round() -> None:
    world = World(PLOT).run()
    units = dict(zip([it.node for it in world.state.leases], world.course.tally(6), strict=True))  # type: ignore[union-attr]
    prices = {it.node: it.price for it in world.state.leases}
    for name in world.solvers:
        who = address(name)
        assert world.gain(name) == units.get(who, 0) * prices.get(who, 0)
    assert [world.gain(it) for it in world.auditors] == [3 * 11, 3 * 11]
    assert world.gain("coordinator") == 6 * 3
    assert sum(map(world.gain, world.names)) == 0


def test_kept_rounds_are_one_epoch_and_nobody_is_paid_for_them_again() -> None:
    world = World(replace(PLOT, asking=replace(PLOT.asking, kept=3))).run()
    commits = [it for it in world.moves if isinstance(it, actions.CommitEpoch)]
    assert [it.rounds for it in commits] == [3, 2, 1]
    assert sum(commits[0].tally) == 0
    assert sum(commits[-1].tally) == 3 * SHAPE.lanes
    units = world.course.tally(6)  # type: ignore[union-attr]
    leases = world.state.leases
    paid = sum(count * lease.price for count, lease in zip(units, leases, strict=True))
    assert sum(map(world.gain, world.solvers)) == paid
    assert [world.gain(it) for it in world.auditors] == [3 * 11, 3 * 11]
    assert world.gain("coordinator") == 6 * 3, "it recorded the kept rounds too"
    assert world.gain("client") == -(paid + 2 * 3 * 11 + 6 * 3)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 39))
def test_epochs_cover_each_round_once(rounds: int, each: int, kept: int) -> None:
    kept = min(kept, rounds - 1)
    count = epochs_of(rounds, each, kept)
    world = World(replace(PLOT, shape=replace(SHAPE, rounds=rounds)))
    terms = replace(terms_of(world), rounds=rounds, epochs=count)
    course = Course(terms, kept=kept)
    starts = [0, *(course.end_of(it) for it in range(count))]
    assert starts[-1] == rounds
    assert starts == sorted(set(starts))
    for number in range(count):
        for at in range(starts[number], starts[number + 1]):
            assert course.epoch_of(at) == number
        assert number == 0 < kept or starts[number + 1] - starts[number] <= each


def terms_of(world: World) -> Terms:
    """Return the terms of a world's job."""
    world.open()
    return world.state.terms


def test_a_lie_that_is_drawn_costs_its_author_and_the_rest_is_paid() -> None:
    asking = replace(PLOT.asking, draws=64)
    world = World(replace(PLOT, asking=asking, lies=frozenset({(2, 0)}))).run()
    liar = world.state.leases[0]
    names = {address(it): it for it in world.names}
    assert world.gain(names[liar.node]) == _paid(world, 0) - liar.stake
    assert any(isinstance(it, actions.Convict) for it in world.moves)
    found = max(world.gain(it) for it in world.auditors)
    assert found >= liar.stake // 4
    for at, lease in enumerate(world.state.leases[1:], 1):
        assert world.gain(names[lease.node]) == _paid(world, at)


def _paid(world: World, at: int) -> int:
    """Return what a lease was paid before it was convicted, or for all of its units."""
    lease = world.state.leases[at]
    convicted = world.state.convicted >> at & 1
    settled = [it for it in world.moves if isinstance(it, actions.Settle)]
    if not convicted:
        assert settled
        return world.course.tally(world.state.rounds)[at] * lease.price  # type: ignore[union-attr]
    before = world.moves.index(next(it for it in world.moves if isinstance(it, actions.Convict)))
    paid = [it for it in world.moves[:before] if isinstance(it, actions.Settle) and it.epoch]
    return paid[-1].epoch.tally[at] * lease.price if paid and paid[-1].epoch else 0


def test_a_lazy_auditor_is_blamed_for_what_it_accepted() -> None:
    asking = replace(PLOT.asking, draws=64)
    plot = replace(PLOT, asking=asking, lies=frozenset({(0, 1)}), lazy=frozenset({"auditor 0"}))
    world = World(plot).run()
    assert any(isinstance(it, actions.Blame) for it in world.moves)
    assert world.gain("auditor 0") == -world.state.terms.stake_auditor


def test_an_auditor_who_rejects_a_lie_is_paid_for_it() -> None:
    asking = replace(PLOT.asking, draws=64)
    world = World(replace(PLOT, asking=asking, lies=frozenset({(0, 1)}))).run()
    seats = range(len(world.auditors))
    assert any(isinstance(it, actions.Convict) for it in world.moves)
    assert world.state.fallen == 0
    assert [world.state.audited[seat] for seat in seats] == [world.state.epochs] * len(seats)


@pytest.mark.parametrize("undercounts", [False, True])
def test_a_coordinator_that_counts_or_signs_otherwise_loses_its_stake(undercounts: bool) -> None:
    world = World(replace(PLOT, undercounts=undercounts, missigns=not undercounts)).run()
    assert world.state.coordinator_fallen
    assert world.gain("coordinator") == -world.state.terms.stake_coordinator
    lease = world.state.leases[0]
    units = world.course.tally(world.state.rounds)[0]  # type: ignore[union-attr]
    name = next(it for it in world.names if address(it) == lease.node)
    assert world.gain(name) >= units * lease.price


def test_a_job_whose_coordinator_never_comes_back_is_refunded_after_its_end() -> None:
    world = World(replace(PLOT, gone=(("coordinator", 0),))).run()
    assert world.state.closed
    assert world.gain("client") == 0
    assert world.now > world.state.terms.ends


def test_offers_that_are_too_few_or_unpaid_are_named() -> None:
    world = World(replace(PLOT, solvers=0))
    found = world.draft()
    assert isinstance(found, NoMatch)
    assert "4 of 4 lanes" in found.reason
    world = World(PLOT)  # nobody has money
    assert isinstance(world.draft(), NoMatch)


def test_the_stake_covers_what_open_epochs_can_spoil() -> None:
    asking = replace(ASKING, epoch_rounds=2)
    assert stake_for(SHAPE, asking) == 6 * (4 * 7 + 3) + 4 * 7
    long = Shape(rounds=100, lanes=4, local_steps=4, segments=2)
    assert stake_for(long, asking) == 16 * (4 * 7 + 3) + 4 * 7
    assert stake_for(long, asking) < FUNDS


def test_a_key_of_another_lease_opens_nothing() -> None:
    key = AuditKey(b"s" * 32, 3)
    assert opens(key.sealed, 7, key.secret(7))
    assert not opens(key.sealed, 7, AuditKey(b"s" * 32, 2).secret(7))
    assert opens(key.sealed, EPOCHS_MAX - 1, key.secret(EPOCHS_MAX - 1))
    assert AuditKey.behind(b"s" * 32, key.sealed, 5) == key
    assert AuditKey.behind(b"t" * 32, key.sealed, 5) is None
