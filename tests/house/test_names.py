"""Names say what a thing is."""

from __future__ import annotations

from pathlib import Path

from scripts import tree

# Words that fit anything, and so say nothing.
EMPTY_WORDS = {
    "manager", "managers", "helper", "helpers", "util", "utils", "utility", "utilities",
    "handler", "handlers", "info",
}  # fmt: skip


def empty_names(file: Path) -> list[str]:
    """Return the places of a file where something got a name that says nothing."""
    named = [*tree.defined_names(tree.parsed(file)), (file.stem, 1), (file.parent.name, 1)]
    return [
        f"{tree.place(file, line)} {name}"
        for name, line in named
        if EMPTY_WORDS.intersection(tree.words(name))
    ]


def test_no_name_holds_a_word_that_fits_anything() -> None:
    found = [name for file in tree.python_files() for name in empty_names(file)]
    assert not found, "say what these do or hold:\n" + "\n".join(found)


def test_words_of_a_name_are_found_in_every_case_style() -> None:
    assert tree.words("HTTPHandler_two") == ["http", "handler", "two"]
    assert tree.words("drift_WP") == ["drift", "wp"]
    assert tree.words("_loadManager9") == ["load", "manager"]
