"""An error code is a promise: one meaning, on one page, for good."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts import reference


def test_every_error_has_a_code_of_its_own() -> None:
    counted = Counter(error.code for error in reference.all_errors())
    shared = [code for code, count in counted.items() if count > 1]
    assert not shared, f"two errors share these codes: {shared}"


def test_every_error_says_what_it_means() -> None:
    silent = [error.__name__ for error in reference.all_errors() if not error.__dict__["__doc__"]]
    assert not silent


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    page = (reference.FOLDER / name).read_text()
    assert page == reference.PAGES[name](), "call `make reference` and commit the page"
