"""Finding texts that were seen before, exactly or nearly.

What    `Seen.duplicate_rule(text)` says `exact_duplicate`, `near_duplicate` or None, and
        remembers the text if it is new. The first of several in source order stays.
Why     Repeated text is learned by heart, and a copy of a held-out text in the training split
        makes evaluation lie. So this comes before the split.
Source  Broder 1997 (MinHash); `rensa` computes signatures and buckets. Candidates from the buckets
        count only when their estimated overlap reaches the threshold.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal

_PERMUTATIONS = 128
_SIGNATURE_SEED = 42
_SHINGLE_WORDS = 5


class Seen:
    """The texts so far."""

    def __init__(self, mode: Literal["none", "exact", "near"], threshold: float) -> None:
        self._mode = mode
        self._threshold = threshold
        self._names: set[bytes] = set()
        self._signatures: list[Any] = []
        self._buckets: Any = None

    def duplicate_rule(self, text: str) -> str | None:
        """Return by which rule `text` repeats an earlier one; remember it if by none."""
        if self._mode == "none":
            return None
        words = text.casefold().split()
        name = sha256(" ".join(words).encode()).digest()
        if name in self._names:
            return "exact_duplicate"
        self._names.add(name)
        if self._mode == "near" and self._near(words):
            return "near_duplicate"
        return None

    def _near(self, words: list[str]) -> bool:
        import rensa

        if self._buckets is None:
            self._buckets = rensa.RMinHashLSH(
                threshold=self._threshold,
                num_perm=_PERMUTATIONS,
                num_bands=_bands(self._threshold),
            )
        runs = range(max(len(words) - _SHINGLE_WORDS + 1, 1))
        shingles = sorted({" ".join(words[at : at + _SHINGLE_WORDS]) for at in runs})
        signature = rensa.RMinHash(num_perm=_PERMUTATIONS, seed=_SIGNATURE_SEED)
        signature.update(shingles)
        for other in self._buckets.query(signature):
            if signature.jaccard(self._signatures[other]) >= self._threshold:
                return True
        self._buckets.insert(len(self._signatures), signature)
        self._signatures.append(signature)
        return False


def _bands(threshold: float) -> int:
    """Return the fewest bands whose even chance of a common bucket lies below `threshold`."""
    for bands in (8, 16, 32):
        if (1 / bands) ** (bands / _PERMUTATIONS) + 0.05 <= threshold:
            return bands
    return 64
