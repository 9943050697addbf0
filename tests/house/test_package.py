"""The package that we would publish: built from the sources alone, with and without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import skerry
from scripts import tree

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def built_wheel(folder: Path, **environment: str) -> Path:
    """Build a wheel from a copy of the sources, so that no earlier build can leak into it."""
    for name in SOURCES:
        shutil.copy(tree.ROOT / name, folder)
    leftovers = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__")
    shutil.copytree(tree.ROOT / "src", folder / "src", ignore=leftovers)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    flags = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "dist")]
    subprocess.run([*pip, *flags, str(folder)], check=True, env={**os.environ, **environment})
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_its_types(tmp_path: Path) -> None:
    wheel = built_wheel(tmp_path)
    assert wheel.name.startswith(f"skerry-{skerry.__version__}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = tmp_path / "src"
    modules = {str(file.relative_to(source)) for file in source.rglob("*.py")}
    assert modules | {"skerry/py.typed"} <= names
    # A compiler's error only makes the extension absent, so somebody has to look.
    kernels = [name for name in names if name.startswith("skerry/exact/_native.")]
    assert any(name.endswith(".so") for name in kernels) == any(source.rglob("native/*.c"))


@pytest.mark.slow
def test_the_wheel_builds_without_a_compiler(tmp_path: Path) -> None:
    wheel = built_wheel(tmp_path, CC="false", LDSHARED="false")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
