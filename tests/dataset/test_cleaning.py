"""Rules that repair or refuse a text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.dataset.cleaning import has_words, refusal, repaired, repetition_ratio, symbol_ratio
from skerry.dataset.config import DatasetConfig
from skerry.dataset.duplicates import Seen
from skerry.dataset.tally import EXAMPLES_MAX, Tally
from tests.dataset.corpora import texts

CONFIG = DatasetConfig(dataset_name="x", min_characters=5, max_characters=400)


@given(st.text(st.characters(codec="utf-8")))
def test_a_repaired_text_is_plain_and_needs_no_second_repair(text: str) -> None:
    once = repaired(text, Tally())
    tally = Tally()
    assert repaired(once, tally) == once
    assert not tally.rules()
    assert unicodedata.normalize("NFC", once) == once
    assert not any(unicodedata.category(each) == "Cc" and each not in "\n\t" for each in once)


def test_each_repair_is_counted_by_its_name() -> None:
    tally = Tally()
    assert (
        repaired("cafe\u0301\x00  \u00a0now\r\n\r\n\r\n\r\n  then ", tally) == "café now\n\n  then"
    )
    assert repaired("two  spaces", tally) == "two spaces"
    counts = {rule.rule: (rule.action, rule.count) for rule in tally.rules()}
    assert counts == {
        "control_characters": ("repaired", 1),
        "nfc": ("repaired", 1),
        "whitespace": ("repaired", 2),
    }


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("four", "too_short"),
        ("word " * 100, "too_long"),
        ("<<<>>> {}{}{} ok", "symbols"),
        ("again and again and again and again and again and again and", "repetition"),
        ("An ordinary sentence, with a comma and a full stop.", None),
        ("नमस्ते दुनिया, यह एक वाक्य है।", None),
    ],
)
def test_a_filter_refuses_by_name(text: str, rule: str | None) -> None:
    assert refusal(text.strip() if rule != "too_long" else text, CONFIG) == rule


def test_the_repetition_of_a_text_does_not_depend_on_its_length() -> None:
    short, long = (" ".join(texts(count, lines=30)) for count in (2, 60))
    assert abs(repetition_ratio(short) - repetition_ratio(long)) < 0.02


@given(st.text())
def test_ratios_are_ratios(text: str) -> None:
    assert 0 <= symbol_ratio(text) <= 1
    assert 0 <= repetition_ratio(text) <= 1
    assert has_words(text) == any(each.isalnum() for each in text)


def test_repeats_are_found_exactly_and_nearly_and_the_first_stays() -> None:
    documents = texts(20, lines=20)
    changed = documents[3].replace("\n", "\nthen ", 1)
    seen = Seen("near", 0.8)
    assert [seen.duplicate_rule(text) for text in documents] == [None] * 20
    assert seen.duplicate_rule(documents[5].upper().replace(" ", "  ")) == "exact_duplicate"
    assert seen.duplicate_rule(changed) == "near_duplicate"
    exact = Seen("exact", 0.8)
    assert [exact.duplicate_rule(text) for text in (documents[3], changed)] == [None, None]
    nothing = Seen("none", 0.8)
    assert [nothing.duplicate_rule("same") for _ in range(2)] == [None, None]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95])
def test_a_copy_is_found_at_every_threshold(threshold: float) -> None:
    text = texts(1, lines=40)[0]
    seen = Seen("near", threshold)
    assert seen.duplicate_rule(text) is None
    assert seen.duplicate_rule(text + " amen") == "near_duplicate"


def test_only_the_first_few_examples_of_a_rule_are_kept_and_they_are_short() -> None:
    tally = Tally()
    for number in range(20):
        tally.drop("not_utf8", f"file:{number}", b"\xff\n" * 1000)
    tally.drop("too_short", "file:1", "\ud800 \x1b[31m")
    assert [each.where for each in tally.examples[:EXAMPLES_MAX]] == [
        f"file:{number}" for number in range(EXAMPLES_MAX)
    ]
    assert len(tally.examples) == EXAMPLES_MAX + 1
    assert all(len(each.excerpt) <= 80 for each in tally.examples)
    assert all(each.excerpt.isprintable() for each in tally.examples)
    assert {rule.rule: rule.count for rule in tally.rules()} == {"not_utf8": 20, "too_short": 1}
