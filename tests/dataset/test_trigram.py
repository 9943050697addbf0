"""The baseline: a proper distribution that learns, and knows what it has not seen."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.dataset.trigram import trigram_score
from tests.dataset.corpora import texts

SMALL = st.lists(st.text("ab c\u0416", max_size=12), min_size=1, max_size=6)


def plain_score(train: list[str], heldout: list[str]) -> float:
    """Return the same number by the book, with dictionaries."""
    learned, asked = ("\f\f" + "".join(text + "\f" for text in each) for each in (train, heldout))
    alphabet = set(learned)
    counts = [
        Counter(learned[at - back : at + 1] for at in range(2, len(learned))) for back in range(3)
    ]
    bits = 0.0
    for at in range(2, len(asked)):
        chance = 1 / 0x110000
        for back in range(3):
            run = asked[at - back : at + 1]
            once = sum(1 for count in counts[back].values() if count == 1)
            twice = sum(1 for count in counts[back].values() if count == 2)
            discount = once / (once + 2 * twice) if once else 0.5
            followers = {r: n for r, n in counts[back].items() if r[:-1] == run[:-1]}
            if not followers or not set(run[:-1]) <= alphabet:
                continue
            known = max(counts[back][run] - discount, 0)
            chance = (known + discount * len(followers) * chance) / sum(followers.values())
        bits -= math.log2(chance)
    return bits / (len(asked) - 2)


@given(SMALL, SMALL)
def test_the_arrays_compute_what_the_book_says(train: list[str], heldout: list[str]) -> None:
    score = trigram_score(train, heldout)
    assert score.bits_per_character == pytest.approx(plain_score(train, heldout), rel=1e-9)
    assert score.characters == sum(len(text) + 1 for text in heldout)


def test_it_does_better_on_text_like_its_own() -> None:
    train = texts(200)
    alike = trigram_score(train, texts(20, seed=8)).bits_per_character
    unlike = trigram_score(train, ["THE QUICK BROWN FOX? 12345"] * 20).bits_per_character
    assert alike < 2.6 < 4.7 < unlike


def test_no_text_is_no_question() -> None:
    with pytest.raises(ValueError, match="needs text"):
        trigram_score([], ["a"])
