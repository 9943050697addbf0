"""When an owner lends his machine: one decision over what the machine says of itself.

What    `decide(policy, readings)` says whether the node may compute now, and why not.
Why     People lend machines they use. The rule must be theirs, be told in words, and be tested
        without a battery, a night or a person at the keyboard.
Rule    What cannot be read does not forbid: a server has no keyboard and no battery. Whether to
        begin again is asked of the same function, so a node neither stops nor starts on a whim of
        history; `idle_seconds` alone is the calm that it waits for.
Units   Minutes of the local day, seconds, bytes.
Pure    Readings are arguments; `readings.py` takes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

_SPAN = re.compile(r"\A([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)\Z")
_DAY_MINUTES = 24 * 60

Span: TypeAlias = tuple[int, int]


def parse_span(text: str) -> Span:
    """Return the minutes of the day that "22:00-06:30" spells; it may pass midnight.

    Raises:
        ValueError: it is no span.
    """
    found = _SPAN.match(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no span of hours, such as 22:00-06:30")
    hours = [int(it) for it in found.groups()]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if start >= _DAY_MINUTES or end > _DAY_MINUTES or start == end:
        raise ValueError(f"{text!r} is no span of hours, such as 22:00-06:30")
    return start, end


@dataclass(frozen=True, slots=True)
class OwnerPolicy:
    """When the node may compute.

    Attributes:
        idle_seconds: only after nobody has touched the machine for so long; 0 asks for no calm.
        hours: only within these spans of the local day; none allow the whole day.
        on_battery: also while the machine runs on its battery.
        day_seconds: at most so many seconds of computing in one local day; 0 sets no limit.
        memory_free_bytes: only while so much memory is left to the owner.
        paused: not at all, until the owner says otherwise.
    """

    idle_seconds: int = 0
    hours: tuple[Span, ...] = ()
    on_battery: bool = False
    day_seconds: int = 0
    memory_free_bytes: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Readings:
    """What the machine says of itself; None where it does not say.

    Attributes:
        minute: minute of the local day.
        untouched_seconds: since somebody last used a keyboard, mouse or terminal.
        on_battery: whether no mains power comes in.
        computed_seconds: how long this node's workers have run today.
        memory_free_bytes: memory that could be had without swapping, the workers' own included.
    """

    minute: int
    untouched_seconds: float | None = None
    on_battery: bool | None = None
    computed_seconds: float = 0.0
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the node may compute, and the reason where it may not."""

    allowed: bool
    reason: str = ""


def decide(policy: OwnerPolicy, readings: Readings) -> Verdict:
    """Return whether the owner lets this node compute now."""
    untouched, free = readings.untouched_seconds, readings.memory_free_bytes
    reasons = (
        (policy.paused, "the owner has paused it"),
        (bool(policy.hours) and not _within(policy.hours, readings.minute), "it is not its hour"),
        (bool(readings.on_battery) and not policy.on_battery, "the machine runs on its battery"),
        (
            policy.idle_seconds > 0 and untouched is not None and untouched < policy.idle_seconds,
            "somebody is using the machine",
        ),
        (
            0 < policy.day_seconds <= readings.computed_seconds,
            "today's time is used up",
        ),
        (free is not None and free < policy.memory_free_bytes, "the owner needs the memory"),
    )
    return next((Verdict(False, why) for broken, why in reasons if broken), Verdict(True))


def _within(spans: tuple[Span, ...], minute: int) -> bool:
    return any(
        start <= minute < end if start < end else minute >= start or minute < end
        for start, end in spans
    )
