"""The baseline that a small language model must beat: a character trigram.

What    `trigram_score(train, heldout)` learns which character follows which two, and returns the
        bits per character it needs for other texts.
Why     Bits per character mean little alone. This model has no weights and takes seconds.
Source  Interpolated absolute discounting, Ney, Essen and Kneser 1994; discount n1 / (n1 + 2 n2)
        for each length of context, down to an even chance of every Unicode code point.
Rule    The end of each document is one more character, before the first document too. That is the
        same sequence of events that `Split.characters` counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import Struct

_CODE_POINTS = 0x110000
_END = 0x0C  # a cleaned text holds no form feed
_ORDER = 3
_BLOCK = 1 << 20

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class TrigramScore(Struct, frozen=True, kw_only=True):
    """How well the trigram does on texts it has not seen."""

    bits_per_character: float
    characters: int
    train_characters: int
    discounts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Counts:
    """For one length of context: every run with its count, every context with its totals."""

    runs: Codes
    count: Codes
    contexts: Codes
    total: Codes
    followers: Codes
    discount: float


def trigram_score(train: Iterable[str], heldout: Iterable[str]) -> TrigramScore:
    """Return the bits per character of a trigram of `train` on `heldout`."""
    learned, scored = _codes(train), _codes(heldout)
    if not len(learned) or not len(scored):
        raise ValueError("a trigram needs text to learn from and text to score")
    alphabet = np.unique(np.append(learned, _END))
    size = len(alphabet) + 1
    known = _numbered(learned, alphabet)
    orders = [_counted(known, context, size) for context in range(_ORDER)]
    asked = _numbered(scored, alphabet)
    bits: list[float] = []
    for start in range(0, len(scored), _BLOCK):
        block = asked[start : start + _BLOCK + _ORDER - 1]
        bits.append(math.fsum((-np.log2(_chances(block, orders, size))).tolist()))
    return TrigramScore(
        bits_per_character=math.fsum(bits) / len(scored),
        characters=len(scored),
        train_characters=len(learned),
        discounts=tuple(each.discount for each in orders),
    )


def _codes(texts: Iterable[str]) -> Codes:
    parts = [np.frombuffer((text + chr(_END)).encode("utf-32-le"), "<u4") for text in texts]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)


def _numbered(codes: Codes, alphabet: Codes) -> Codes:
    """Return alphabet places after the ends that precede the first text; unknown ones are last."""
    padded = np.concatenate([np.full(_ORDER - 1, _END, np.int64), codes])
    place = np.searchsorted(alphabet, padded)
    inside = np.minimum(place, len(alphabet) - 1)
    return np.where(alphabet[inside] == padded, inside, len(alphabet)).astype(np.int64)


def _keys(places: Codes, context: int, size: int) -> Codes:
    """Return one number per character: itself and the `context` before it, base `size`."""
    count = len(places) - (_ORDER - 1)
    keys = np.zeros(count, np.int64)
    for back in range(context, -1, -1):
        first = _ORDER - 1 - back
        keys = keys * size + places[first : first + count]
    return keys


def _counted(places: Codes, context: int, size: int) -> _Counts:
    runs, count = np.unique(_keys(places, context, size), return_counts=True)
    contexts, start = np.unique(runs // size, return_index=True)
    total = np.add.reduceat(count, start)
    followers = np.diff(np.append(start, len(runs)))
    once, twice = int((count == 1).sum()), int((count == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5
    return _Counts(runs, count, contexts, total, followers, discount)


def _chances(places: Codes, orders: list[_Counts], size: int) -> Floats:
    """Return the probability of every character of `places` after its two predecessors."""
    chance: Floats = np.full(len(places) - (_ORDER - 1), 1 / _CODE_POINTS)
    for context, counts in enumerate(orders):
        keys = _keys(places, context, size)
        count = _looked_up(keys, counts.runs, counts.count)
        total = _looked_up(keys // size, counts.contexts, counts.total)
        followers = _looked_up(keys // size, counts.contexts, counts.followers)
        seen = total > 0
        share = np.maximum(count - counts.discount, 0)
        left = counts.discount * followers
        chance = np.where(seen, (share + left * chance) / np.where(seen, total, 1), chance)
    return chance


def _looked_up(keys: Codes, known: Codes, values: Codes) -> Floats:
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, values[place], 0).astype(np.float64)
