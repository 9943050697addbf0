"""The texts of a data set: read, grouped, cleaned, without repeats, and kept in files.

What    `clean_documents` yields what is left after every rule; `write_documents` and
        `read_documents` keep texts in a plain file in which a line with a form feed ends each.
Why     Texts pass one at a time, so the size of a data set is bounded by the disk. A cleaned text
        holds no control characters, so a form feed can stand for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from skerry.dataset.cleaning import has_words, refusal, repaired
from skerry.dataset.config import DatasetConfig
from skerry.dataset.duplicates import Seen
from skerry.dataset.records import read_pieces, read_rows
from skerry.dataset.sources import Advance, SourceFile, Sources
from skerry.dataset.tally import Tally

_END_LINE = "\f\n"

Placed = tuple[str, str]


def clean_documents(sources: Sources, tally: Tally, advance: Advance) -> Iterator[Placed]:
    """Yield (where, text) of every document that passes all rules, in source order.

    `advance` is told how many bytes of the sources have been read.
    """
    config = sources.config
    mode: Literal["none", "exact", "near"] = (
        "near" if config.deduplicate == "auto" else config.deduplicate
    )
    seen = Seen(mode, config.near_duplicate_threshold)
    for where, raw in _documents(sources, tally, advance):
        text = repaired(raw, tally)
        rule = refusal(text, config) or seen.duplicate_rule(text)
        if rule is None:
            yield where, text
        else:
            tally.drop(rule, where, text)


def _documents(sources: Sources, tally: Tally, advance: Advance) -> Iterator[Placed]:
    before = 0
    for file in sources.files:
        offset = before

        def advance_all(done: int, offset: int = offset) -> None:
            advance(offset + done)

        if file.format == "text":
            pieces = read_pieces(file, sources.config.sample_by, tally, advance_all)
            yield from _worded(pieces, tally)
        else:
            yield from _grouped(file, sources.config, tally, advance_all)
        before += file.size_bytes
        advance(before)


def _worded(pieces: Iterable[Placed], tally: Tally) -> Iterator[Placed]:
    for where, text in pieces:
        if has_words(text):
            yield where, text
        else:
            tally.drop("no_words", where, text)


def _grouped(
    file: SourceFile, config: DatasetConfig, tally: Tally, advance: Advance
) -> Iterator[Placed]:
    """Yield the texts of `file`; neighbours that agree in every group column become one."""
    rows = read_rows(file, (config.text_column, *config.group_columns), tally, advance)
    parts: list[str] = []
    group: tuple[object, ...] = ()
    start = ""
    for where, (text, *key) in rows:
        if not isinstance(text, str):
            tally.drop("not_text", where, text)
            continue
        if not has_words(text):
            tally.drop("no_words", where, text)
            continue
        if parts and (not config.group_columns or tuple(key) != group):
            yield start, "\n".join(parts)
            parts = []
        if not parts:
            start, group = where, tuple(key)
        parts.append(text.strip())
    if parts:
        yield start, "\n".join(parts)


def write_documents(path: Path, texts: Iterable[str]) -> int:
    """Write `texts` to a new file and return how many there were."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for text in texts:
            handle.write(text)
            handle.write("\n" + _END_LINE)
            count += 1
    return count


def read_documents(path: Path) -> Iterator[str]:
    """Yield the texts that `write_documents` wrote."""
    lines: list[str] = []
    with path.open(encoding="utf-8", newline="\n") as handle:
        for line in handle:
            if line == _END_LINE:
                yield "".join(lines)[:-1]
                lines = []
            else:
                lines.append(line)
