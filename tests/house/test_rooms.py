"""The plan of the house: rooms, floors, cards, and what may be loaded on the way in."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from scripts import tree

BASE = {"__init__", "chance", "clock", "digests", "errors", "ids", "units"}
CARD = ("In", "Does", "Out", "Never", "Start")
HEAVY = {"torch", "numpy", "transformers", "pyarrow", "typer", "rich"}


def loaded_after(*modules: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after importing `modules`."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return HEAVY.intersection(done.stdout.split())


def test_every_room_has_a_floor_and_every_floor_has_its_rooms() -> None:
    declared = sorted(room for floor in tree.floors() for room in floor)
    assert declared == tree.rooms()


def test_base_is_a_closed_list() -> None:
    assert {file.stem for file in (tree.PACKAGE / "base").glob("*.py")} == BASE


@pytest.mark.parametrize("room", tree.rooms())
def test_a_room_has_a_card(room: str) -> None:
    file = tree.PACKAGE / room / "__init__.py"
    card = ast.get_docstring(tree.parsed(file)) or ""
    if card == "Placeholder.":
        return
    starts = [line.split(maxsplit=1)[0] for line in card.splitlines() if line[:1].isalpha()]
    found = tuple(word for word in starts if word in CARD)
    assert found == CARD, f"{tree.place(file)} says {found} where a card says {CARD}"


def test_importing_skerry_loads_nothing_heavy() -> None:
    assert loaded_after("skerry") == set()


def test_importing_the_pure_floors_loads_nothing_heavy() -> None:
    assert loaded_after(*(f"skerry.{room}" for room in tree.pure_rooms())) == set()
