"""The owner's machine is his: what he said, and what the machine says, decide."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.node.daemon.policy import OwnerPolicy, Readings, decide, parse_span
from skerry.node.daemon.readings import memory_free_bytes, on_battery, take_readings
from skerry.node.daemon.settings import NodeSettings, SettingsWrong, read_settings

NIGHT = (parse_span("22:00-06:30"),)
CALM = Readings(minute=0, untouched_seconds=1e6, on_battery=False, memory_free_bytes=1 << 40)


@pytest.mark.parametrize(
    ("policy", "readings", "reason"),
    [
        (OwnerPolicy(), Readings(minute=0), ""),
        (OwnerPolicy(idle_seconds=600), CALM, ""),
        (OwnerPolicy(idle_seconds=600), Readings(0, untouched_seconds=3.0), "somebody is using"),
        (OwnerPolicy(idle_seconds=600), Readings(0), ""),
        (OwnerPolicy(hours=NIGHT), Readings(23 * 60), ""),
        (OwnerPolicy(hours=NIGHT), Readings(12 * 60), "it is not its hour"),
        (OwnerPolicy(), Readings(0, on_battery=True), "on its battery"),
        (OwnerPolicy(on_battery=True), Readings(0, on_battery=True), ""),
        (OwnerPolicy(day_seconds=100), Readings(0, computed_seconds=100.0), "time is used up"),
        (OwnerPolicy(memory_free_bytes=100), Readings(0, memory_free_bytes=99), "the memory"),
        (OwnerPolicy(paused=True), CALM, "paused"),
    ],
    ids=str,
)
def test_the_policy_says_why_not(policy: OwnerPolicy, readings: Readings, reason: str) -> None:
    verdict = decide(policy, readings)
    assert verdict.allowed == (not reason)
    assert reason in verdict.reason


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_span_and_the_rest_of_the_day_never_overlap(start: int, end: int, minute: int) -> None:
    if start != end:
        one = decide(OwnerPolicy(hours=((start, end),)), Readings(minute)).allowed
        other = decide(OwnerPolicy(hours=((end, start),)), Readings(minute)).allowed
        assert one != other


@pytest.mark.parametrize("text", ["", "22-6", "25:00-06:00", "10:00-10:00", "10:60-11:00"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no span of hours"):
        parse_span(text)


def test_a_machine_is_read_from_its_files(tmp_path: Path) -> None:
    supplies = tmp_path / "sys/class/power_supply"
    for name, kind, online in (("BAT0", "Battery", "0"), ("AC", "Mains", "0")):
        (supplies / name).mkdir(parents=True)
        (supplies / name / "type").write_text(kind + "\n")
        (supplies / name / "online").write_text(online + "\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   2048 kB\n")
    (tmp_path / "dev/pts").mkdir(parents=True)
    (tmp_path / "dev/pts/0").write_text("")
    found = take_readings(7.0, root=tmp_path)
    assert (found.on_battery, found.memory_free_bytes) == (True, 2 << 20)
    assert found.untouched_seconds is not None
    assert found.untouched_seconds < 3600
    (supplies / "AC/online").write_text("1\n")
    assert on_battery(supplies) is False


def test_what_cannot_be_read_is_not_guessed(tmp_path: Path) -> None:
    found = take_readings(0.0, root=tmp_path)
    nothing = (found.untouched_seconds, found.on_battery, found.memory_free_bytes)
    assert nothing == (None, None, None)
    assert memory_free_bytes(tmp_path) is None


def test_settings_are_read_in_the_owners_words(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    assert read_settings(path) == NodeSettings()
    path.write_text(
        'roles = ["seed", "solver"]\n[limits]\nmemory_gib = 0.5\ncores = 1\nupload_mbit = 8\n'
        '[policy]\nidle_minutes = 10\nhours = ["22:00-06:30"]\n'
    )
    found = read_settings(path)
    assert (found.limits.memory_bytes, found.limits.threads, found.limits.upload) == (
        1 << 29,
        1,
        1e6,
    )
    assert found.policy.policy() == OwnerPolicy(idle_seconds=600, hours=NIGHT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("roles = [", "Invalid"),
        ('rolls = ["seed"]', "rolls"),
        ("roles = []", "length >= 1"),
        ('[policy]\nhours = ["10-12"]', "no span of hours"),
        ("[limits]\nnice = 20", "<= 19"),
    ],
)
def test_settings_that_will_not_do_are_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(text)
    with pytest.raises(SettingsWrong, match=why):
        read_settings(path)
