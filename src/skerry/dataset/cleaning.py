"""Rules that repair a text, and rules that refuse one.

What    `repaired(text, tally)` applies `control_characters`, `nfc` and `whitespace`;
        `refusal(text, config)` names the first filter that a text fails, or is None.
Why     Each rule has a name and a count, so that a person can see what became of his data and
        anyone can do it again.
Source  The filters follow Rae et al. 2021 (Gopher), appendix A: length, symbols, repetition.
Pure    No IO. The tables of Unicode are those of the running Python.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from skerry.dataset.config import DatasetConfig
from skerry.dataset.tally import Tally

# All of category Cc but tab and line feed; the byte order mark; carriage returns become line
# feeds under `whitespace`.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_INNER = re.compile(r"(?<=[^ \t\n])[ \t]+(?=[^ \t\n])")
_TRAILING = re.compile(r"[ \t]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")

_BLOCK_WORDS = 256
_RUN_WORDS = 3


def repaired(text: str, tally: Tally) -> str:
    """Return `text` without control characters, in NFC, with plain whitespace."""
    for rule, repair in (
        ("control_characters", _without_control),
        ("nfc", _composed),
        ("whitespace", _with_plain_whitespace),
    ):
        better = repair(text)
        if better != text:
            tally.repair(rule)
            text = better
    return text


def _without_control(text: str) -> str:
    return _CONTROL.sub("", text)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _with_plain_whitespace(text: str) -> str:
    """Return `text` with one kind of line end and of space; indentation stays."""
    text = _SPACES.sub(" ", _LINE_ENDS.sub("\n", text))
    text = _TRAILING.sub("", _INNER.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def refusal(text: str, config: DatasetConfig) -> str | None:
    """Return the name of the first filter that refuses `text`, or None."""
    if len(text) < config.min_characters:
        return "too_short"
    if len(text) > config.max_characters:
        return "too_long"
    if symbol_ratio(text) > config.max_symbol_ratio:
        return "symbols"
    if repetition_ratio(text) > config.max_repetition_ratio:
        return "repetition"
    return None


def symbol_ratio(text: str) -> float:
    """Return the share of characters that are neither letters, digits, marks nor whitespace."""
    symbols = sum(
        count
        for each, count in Counter(text).items()
        if not (each.isalnum() or each.isspace() or unicodedata.category(each)[0] == "M")
    )
    return symbols / max(len(text), 1)


def repetition_ratio(text: str) -> float:
    """Return the share of three-word runs that occurred before within their block of 256 words.

    Counting by blocks keeps the share independent of the length of the text.
    """
    words = text.split()
    runs = repeats = 0
    for start in range(0, len(words), _BLOCK_WORDS):
        block = words[start : start + _BLOCK_WORDS]
        count = max(len(block) - _RUN_WORDS + 1, 0)
        runs += count
        repeats += count - len({tuple(block[at : at + _RUN_WORDS]) for at in range(count)})
    return repeats / runs if runs else 0.0


def has_words(text: str) -> bool:
    """Return whether `text` has at least one letter or digit."""
    return any(each.isalnum() for each in text)
