"""One word for one thing, and the glossary holds it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import msgspec

import skerry.messages
from scripts import tree


def message_types() -> set[str]:
    """Return the names of the public message types, wherever in the room they stand."""
    names = [module.name for module in pkgutil.iter_modules(skerry.messages.__path__)]
    modules = [importlib.import_module(f"skerry.messages.{name}") for name in names]
    return {
        name
        for module in [skerry.messages, *modules]
        for name, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, msgspec.Struct)
        and value.__module__.startswith("skerry.messages")
        and value.__name__ == name  # else it is an alias
        and not name.startswith("_")
    }


def test_every_public_message_type_stands_in_the_glossary() -> None:
    glossary = (tree.ROOT / "docs" / "glossary.md").read_text()
    missing = sorted(name for name in message_types() if not re.search(rf"\b{name}\b", glossary))
    assert not missing, f"docs/glossary.md does not say what these are: {missing}"


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    glossary = (tree.ROOT / "docs" / "glossary.md").read_text()
    entries = [entry.lower() for entry in re.findall(r"^\*\*(.+?)\*\*", glossary, re.MULTILINE)]
    assert entries
    assert entries == sorted(set(entries))
