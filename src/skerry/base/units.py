"""Numbers as people read them: bytes, counts, durations, rates."""

from __future__ import annotations

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("", " k", " M", " G", " T", " P")


def _scaled(value: float, base: int, names: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= base and step < len(names) - 1:
        value /= base
        step += 1
    if round(abs(value)) >= base and step < len(names) - 1:  # 1,023.7 KiB reads as 1 MiB
        value /= base
        step += 1
    text = f"{value:.0f}" if step == 0 or abs(value) >= 100 else f"{value:.3g}"
    return f"{text}{names[step]}"


def format_bytes(count: int) -> str:
    """Return a byte count in binary units, for example "3.4 MiB"."""
    text = _scaled(count, 1024, tuple(f" {name}" for name in _BINARY))
    return text


def format_count(count: float) -> str:
    """Return a count in decimal units, for example "1.2 M"."""
    return _scaled(count, 1000, _DECIMAL)


def format_seconds(seconds: float) -> str:
    """Return a duration with the two units that matter, for example "6 h 10 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def format_ratio(above: float, below: float) -> str:
    """Return how many times more or less `below` is than `above`, for example "1,200x less"."""
    if not above or not below:
        return "nothing to compare"
    times, word = (above / below, "less") if above >= below else (below / above, "more")
    return f"{times:,.0f}x {word}" if times >= 10 else f"{times:.1f}x {word}"
