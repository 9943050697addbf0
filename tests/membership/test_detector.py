"""Silence is death sooner for a peer that answers fast, and never later than is promised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry.membership import Pulse

trips = st.floats(0.001, 3.0)


def after(trips: list[float], pulse: Pulse | None = None) -> Pulse:
    """Return the pulse of a peer that answered so, asked once a second."""
    pulse = pulse or Pulse()
    for at, trip in enumerate(trips):
        pulse = pulse.asked(float(at) * 10).answered(float(at) * 10 + trip)
    return pulse


@given(st.lists(trips, max_size=30))
def test_a_dead_peer_is_noticed_in_time_whatever_was_measured(measured: list[float]) -> None:
    pulse = after(measured)
    assert pulse.least <= pulse.patience <= pulse.most
    asked = pulse.asked(1000.0)
    assert not asked.lost(1000.0 + pulse.least)
    assert asked.lost(1000.0 + pulse.most + 0.01)
    assert pulse.beat + pulse.most < 5


@given(trips, st.integers(2, 40))
def test_a_peer_that_answers_as_ever_is_never_lost(trip: float, times: int) -> None:
    pulse = after([trip] * times).asked(1000.0)
    assert not pulse.lost(1000.0 + trip)


def test_a_far_or_loaded_peer_is_given_longer() -> None:
    near, far, shaky = after([0.01] * 20), after([0.6] * 20), after([0.1, 0.9] * 10)
    assert near.patience == near.least
    assert near.patience < far.patience < shaky.patience


@given(st.floats(0.6, 3.0))
def test_a_peer_that_was_called_lost_too_early_gets_longer_at_once(late: float) -> None:
    pulse = after([0.01] * 20).asked(1000.0)
    assert pulse.lost(1000.0 + late)
    again = pulse.answered(1000.0 + late).asked(2000.0)
    assert not again.lost(2000.0 + late)


def test_what_is_said_unasked_is_life_but_no_measurement() -> None:
    pulse = Pulse().answered(5.0)
    assert (pulse.heard_at, pulse.answers, pulse.lost(1e9)) == (5.0, 0, False)
    assert pulse.asked(6.0).asked(7.0).asked_at == 6.0
    assert pulse.due(2.0, 1.0)
    assert not pulse.due(1.5, 1.0)
