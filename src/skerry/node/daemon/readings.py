"""What this machine says of itself: power, memory, and when somebody last touched it.

What    `take_readings(...)` reads /proc, /sys and the terminals into a `Readings`.
Why     The decision is pure (`policy.py`); this is the only part that looks.
Rule    Whatever cannot be read is None, never a guess: containers, servers and other systems lack
        most of these files. A terminal counts as touched when it was last read from; that is what
        `w` shows as idle.
Limits  Linux. Where a desktop's input does not pass through a terminal, only the input devices'
        own times tell of it, which not every kernel keeps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from skerry.node.daemon.policy import Readings

_TERMINALS = ("dev/tty[0-9]*", "dev/pts/[0-9]*", "dev/input/event*")


def take_readings(computed_seconds: float, *, root: Path = Path("/")) -> Readings:
    """Return the readings of this moment; `root` is where /proc, /sys and /dev hang."""
    local = time.localtime()
    return Readings(
        minute=local.tm_hour * 60 + local.tm_min,
        untouched_seconds=untouched_seconds(root.glob(it) for it in _TERMINALS),
        on_battery=on_battery(root / "sys/class/power_supply"),
        computed_seconds=computed_seconds,
        memory_free_bytes=memory_free_bytes(root / "proc/meminfo"),
    )


def untouched_seconds(devices: Iterable[Iterable[Path]]) -> float | None:
    """Return the seconds since the latest use of any of the devices; None of no devices."""
    latest = None
    for device in (one for group in devices for one in group):
        try:
            used = device.stat().st_atime
        except OSError:
            continue
        latest = used if latest is None else max(latest, used)
    return None if latest is None else max(time.time() - latest, 0.0)


def on_battery(supplies: Path) -> bool | None:
    """Return whether the machine has a battery and no mains; None where it has no battery."""
    mains, battery = False, False
    for supply in supplies.glob("*"):
        kind = _text(supply / "type")
        mains |= kind in ("Mains", "USB") and _text(supply / "online") == "1"
        battery |= kind == "Battery" and _text(supply / "scope") != "Device"
    return not mains if battery else None


def memory_free_bytes(meminfo: Path) -> int | None:
    """Return the memory that could be had without swapping; None where nothing says."""
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def resident_bytes(pid: int, *, root: Path = Path("/")) -> int:
    """Return the memory that a process holds; 0 where it is gone."""
    for line in _text(root / f"proc/{pid}/status").splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0]) * 1024
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
