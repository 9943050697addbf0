"""What happened to the records: counts by named rule, and a few examples of each.

What    `Tally` is told of every repair and every drop while data are read.
Why     Nothing is skipped silently: each record that is missing from the result is in a count,
        the counts are in the manifest, and a person can look at examples.
"""

from __future__ import annotations

from skerry.dataset.config import BadRecord
from skerry.dataset.manifest import RuleCount

EXAMPLES_MAX = 5
EXCERPT_CHARACTERS = 80


class Tally:
    """Counts of records read, repaired and dropped."""

    def __init__(self) -> None:
        self.records_read = 0
        self.examples: list[BadRecord] = []
        self._dropped: dict[str, int] = {}
        self._repaired: dict[str, int] = {}

    def repair(self, rule: str) -> None:
        """Count one text that `rule` changed."""
        self._repaired[rule] = self._repaired.get(rule, 0) + 1

    def drop(self, rule: str, where: str, content: object = "") -> None:
        """Count one record or document that `rule` dropped, and keep the first few."""
        count = self._dropped.get(rule, 0) + 1
        self._dropped[rule] = count
        if count <= EXAMPLES_MAX:
            excerpt = _excerpt(content)
            self.examples.append(BadRecord(rule=rule, where=where, excerpt=excerpt))

    def rules(self) -> tuple[RuleCount, ...]:
        """Return all counts, repairs first, by name."""
        repaired = [
            RuleCount(rule=rule, action="repaired", count=count)
            for rule, count in sorted(self._repaired.items())
        ]
        dropped = [
            RuleCount(rule=rule, action="dropped", count=count)
            for rule, count in sorted(self._dropped.items())
        ]
        return (*repaired, *dropped)


def _excerpt(content: object) -> str:
    if isinstance(content, bytes | bytearray | memoryview):
        text = bytes(content[: 4 * EXCERPT_CHARACTERS]).decode("utf-8", "backslashreplace")
    else:
        text = content if isinstance(content, str) else repr(content)
    text = text[: EXCERPT_CHARACTERS + 1].encode("utf-8", "backslashreplace").decode()
    short = text if len(text) <= EXCERPT_CHARACTERS else text[: EXCERPT_CHARACTERS - 1] + "…"
    return "".join(each if each.isprintable() else " " for each in short)
