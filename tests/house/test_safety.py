"""Nothing from outside is ever run, and no test looks away."""

from __future__ import annotations

import ast
from pathlib import Path

from scripts import tree

CODE_FROM_BYTES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CODE_FROM_TEXT = {"eval", "exec", "compile", "__import__", "torch.load", "os.system", "os.popen"}
LOOKING_AWAY = {
    "time.sleep", "asyncio.sleep", "pytest.skip", "pytest.importorskip", "pytest.mark.skip",
    "pytest.mark.skipif", "unittest.skip",
}  # fmt: skip


def runs_bytes_or_text(file: Path) -> list[str]:
    """Return the places of a file that could turn bytes or text into running code."""
    module = tree.parsed(file)
    found = [
        f"{tree.place(file, line)} imports {name}"
        for name, line in tree.imported_modules(module)
        if name.partition(".")[0] in CODE_FROM_BYTES
    ]
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = tree.dotted(node.func)
        shell = any(
            word.arg == "shell"
            and not (isinstance(word.value, ast.Constant) and not word.value.value)
            for word in node.keywords
        )
        if called in CODE_FROM_TEXT or shell:
            found.append(f"{tree.place(file, node.lineno)} calls {called}")
    return found


def looks_away(file: Path) -> list[str]:
    """Return the places of a test file that sleep, skip, or put a mock where a thing should be."""
    module = tree.parsed(file)
    found = [
        f"{tree.place(file, line)} imports {name}"
        for name, line in tree.imported_modules(module)
        if name in ("mock", "unittest.mock", "pytest_mock")
    ]
    return found + [
        f"{tree.place(file, node.lineno)} {name}"
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and (name := tree.dotted(node)) in LOOKING_AWAY
    ]


def test_nothing_runs_bytes_or_text() -> None:
    files = tree.python_files("src", "benchmarks", "examples", "scripts")
    found = [place for file in files for place in runs_bytes_or_text(file)]
    assert not found, "\n".join(found)


def test_no_test_sleeps_skips_or_mocks() -> None:
    found = [place for file in tree.python_files("tests") for place in looks_away(file)]
    assert not found, "\n".join(found)


def test_no_assertion_is_switched_off() -> None:
    """Python's -O drops asserts; ours guard against our own mistakes in production too."""
    files = [tree.ROOT / "Makefile", tree.ROOT / ".ci" / "run", *tree.ROOT.glob(".github/**/*.yml")]
    switched = [str(file) for file in files if "PYTHONOPTIMIZE" in file.read_text()]
    assert not switched
