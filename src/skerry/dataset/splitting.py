"""Which records are held out: a rule that anyone can apply again.

What    `by_hash` looks at one record's digest alone; `cut_by_share` holds out the last part of a
        stream of texts.
Why     A record's own hash keeps it on its side when others come or go, and puts equal records on
        one side. A single long text has no records to choose from, so its end is held out.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal

from skerry.base.digests import digest
from skerry.dataset.config import DatasetConfig

Rule = Literal["hash", "share", "none"]
Side = Literal["train", "heldout"]

HASH_RECORDS_MIN = 100


def by_hash(record: bytes, config: DatasetConfig) -> Side:
    """Return the side of `record` from SHA-256 of the seed and its digest."""
    seed = config.seed.to_bytes(8, "little", signed=True)
    draw = int.from_bytes(digest("split", seed, record)[:8], "big")
    limit = int(Fraction(config.validation_split_percentage) / 100 * (1 << 64))
    return "heldout" if draw < limit else "train"


def rule_for(config: DatasetConfig, records: int, held_out_by_hash: int) -> Rule:
    """Return the rule to split `records` by, of which the hash would hold out some."""
    if config.validation_split_percentage == 0:
        return "none"
    if config.split_by != "auto":
        return config.split_by
    enough = records >= HASH_RECORDS_MIN and 0 < held_out_by_hash < records
    return "hash" if enough else "share"


def kept_count(config: DatasetConfig, total: int) -> int:
    """Return how many of `total` stay in the training split when the last share is held out."""
    return total - int(Fraction(config.validation_split_percentage) / 100 * total)


def cut_by_share(
    texts: Iterable[str], characters: int, config: DatasetConfig
) -> Iterator[tuple[Side, str]]:
    """Yield each text with its side; the text at the border is cut at the end of a line or word.

    `characters` is the length of all `texts` together.
    """
    kept = kept_count(config, characters)
    done = 0
    for text in texts:
        place = kept - done
        done += len(text)
        if place >= len(text):
            yield "train", text
        elif place <= 0:
            yield "heldout", text
        else:
            for end in ("\n", " "):
                if (found := text.find(end, place)) >= 0:
                    place = found
                    break
            for side, part in (("train", text[:place]), ("heldout", text[place:])):
                if part.strip():
                    yield ("train" if side == "train" else "heldout"), part.strip()
