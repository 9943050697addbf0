"""The repository as its own tests see it: files, rooms, floors and definitions.

What    Small questions about the tree, answered from the files, not from memory.
Why     The house tests and the reference pages must look at the same tree in the same way.
Pure    Reads files; imports nothing of the package.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "skerry"
CODE_FOLDERS = ("src", "tests", "scripts", "benchmarks", "examples")
PURE_FLOORS = 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Return the Python files under `folders`, by default under every folder that holds code."""
    names = folders or CODE_FOLDERS
    return sorted(file for name in names for file in (ROOT / name).rglob("*.py"))


def parsed(file: Path) -> ast.Module:
    """Return the syntax tree of one file."""
    return ast.parse(file.read_text(), filename=str(file))


def place(file: Path, line: int = 1) -> str:
    """Return where something stands, in a form that an editor opens."""
    return f"{file.relative_to(ROOT)}:{line}"


def rooms() -> list[str]:
    """Return the names of the rooms: the packages directly under `skerry`."""
    return sorted(file.parent.name for file in PACKAGE.glob("*/__init__.py"))


def floors() -> list[list[str]]:
    """Return the rooms by floor, the ground floor first, as the import contract declares them."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = tables["tool"]["importlinter"]["contracts"]
    layers = next(entry["layers"] for entry in contracts if entry["id"] == "floors")
    return [re.split(r"\s*\|\s*", layer) for layer in reversed(layers)]


def pure_rooms() -> list[str]:
    """Return the rooms of floors 0 to 4: no IO, no clock, no tensors."""
    return sorted(room for floor in floors()[:PURE_FLOORS] for room in floor)


def functions(tree: ast.Module) -> Iterator[Function]:
    """Yield every function of a module, nested ones and methods included."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each name that a module gives to something, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def words(name: str) -> list[str]:
    """Return the words of a name, for example "HTTPHandler_two" as http, handler, two."""
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+", name)
    return [piece.lower() for piece in pieces]


def dotted(node: ast.AST) -> str:
    """Return "a.b.c" for a chain of attributes, and "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted(node.value)
        return f"{front}.{node.attr}" if front else ""
    return ""


def imported_modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each module that a file imports, with the line of the import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
