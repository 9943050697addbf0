"""A function fits on a screen and a module in a head."""

from __future__ import annotations

from scripts import tree

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{tree.place(file, function.lineno)} {function.name}: {lines} lines"
        for file in tree.python_files()
        for function in tree.functions(tree.parsed(file))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not too_long, "split these by what they do:\n" + "\n".join(too_long)


def test_no_module_is_longer_than_five_hundred_lines() -> None:
    too_long = [
        f"{tree.place(file)}: {lines} lines"
        for file in tree.python_files()
        if (lines := len(file.read_text().splitlines())) > MODULE_LINES_MAX
    ]
    assert not too_long, "split these by noun:\n" + "\n".join(too_long)
