"""Small texts and tables for the tests of this room, the same in every run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from skerry.base.chance import Chance

_SYLLABLES = ("ka", "lo", "mi", "ren", "tos", "vu", "sha", "el", "dor", "ni", "pa", "quil")


def sentence(chance: Chance, words: int) -> str:
    """Return a sentence of made-up words."""
    made = []
    for place in range(words):
        draw = chance.fork(place)
        parts = [_SYLLABLES[draw.fork(part).below(12)] for part in range(1 + draw.below(3))]
        made.append("".join(parts))
    return " ".join(made).capitalize() + "."


def texts(count: int, *, lines: int = 3, words: int = 9, seed: int = 7) -> list[str]:
    """Return `count` different documents."""
    chance = Chance.from_int(seed)
    return [
        "\n".join(sentence(chance.fork(number, line), words) for line in range(lines))
        for number in range(count)
    ]


def write_jsonl(path: Path, records: Sequence[object]) -> Path:
    """Write one JSON value a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
