"""What a job asks for suits its replays, its job file and what the market allows."""

from __future__ import annotations

from skerry.job import MarketSection
from skerry.market.terms import PHASES
from skerry.node.network.hiring import PHASE_SECONDS, asking_of
from skerry.settle import Limits

LIMITS = Limits(phase_min=2, window_max=7_200, lease_max=86_400)


def test_times_follow_from_what_a_replay_takes() -> None:
    short = asking_of(MarketSection(draws=4), LIMITS, unit=0.1, units=10)
    assert short.phase == PHASE_SECONDS
    long = asking_of(MarketSection(draws=9), LIMITS, unit=10.0, units=10)
    assert long.phase == 10 * 90
    assert long.clock == 10 * 90
    assert long.delay <= long.phase // 2
    assert long.seconds >= 20 * 10 * 10


def test_the_job_file_and_the_market_have_the_last_word() -> None:
    wish = MarketSection(phase_seconds=7, clock_seconds=9, seconds=100, price_max=5)
    asked = asking_of(wish, LIMITS, unit=10.0, units=10)
    assert (asked.phase, asked.clock, asked.seconds, asked.price_max) == (7, 9, 100, 5)
    endless = asking_of(MarketSection(), LIMITS, unit=10_000.0, units=10_000)
    assert endless.phase == LIMITS.window_max // PHASES
    assert endless.clock == LIMITS.window_max
    assert endless.seconds == LIMITS.lease_max
