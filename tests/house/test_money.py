"""Money is whole numbers: where it is counted, nothing is ever rounded or split into fractions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts import tree

FILES = tree.python_files("src/skerry/market", "src/skerry/settle")


def fractions(file: Path) -> list[str]:
    """Return the places of a file that hold a float or divide into one."""
    return [
        tree.place(file, node.lineno)
        for node in ast.walk(tree.parsed(file))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        or (isinstance(node, ast.Name) and node.id in ("float", "Fraction", "Decimal"))
    ]


@pytest.mark.parametrize("file", FILES, ids=tree.place)
def test_money_is_counted_in_whole_numbers(file: Path) -> None:
    assert fractions(file) == []
