"""Write requirements.lock: the exact versions that ran together.

What    Installs what pyproject.toml declares, with every extra, into a fresh environment and
        writes down the version of each package that came.
Why     Two people with the same lock have the same tools, and a failing test is about our code.
Limits  Versions only, no hashes: wheels differ by platform, and torch by build. The suffix of a
        local build such as `+cpu` is dropped, so that the lock names what any index serves.
Run     python -m scripts.lock
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
# Packages that the resolver leaves out on some machines, and the machines that get them.
ELSEWHERE_ABSENT = {
    "hf-xet": "platform_machine in 'x86_64 amd64 arm64 aarch64'",
}
HEADER = """\
# Exact versions of everything that Skerry, its tests and its demo need, and of what those need.
# Written by `python -m scripts.lock`; do not edit. Python 3.11 to 3.13, Linux and macOS.
# A CUDA build of torch brings its own pinned libraries, which are not listed here.
"""


def declared() -> list[str]:
    """Return every requirement that pyproject.toml declares, build tools included."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = tables["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *tables["build-system"]["requires"]]
    return wanted + [requirement for extra in extras for requirement in extra]


def frozen(lines: list[str]) -> list[str]:
    """Return `name==version` lines without local builds, paths, or pip itself."""
    kept = []
    for line in lines:
        name, equals, version = line.partition("==")
        if equals and name != "pip":
            marker = f" ; {ELSEWHERE_ABSENT[name]}" if name in ELSEWHERE_ABSENT else ""
            kept.append(f"{name}=={version.partition('+')[0]}{marker}")
    return sorted(kept, key=str.lower)


def main() -> None:
    """Resolve in a throw-away environment and write the lock."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "--quiet", *declared()], check=True)
        listed = subprocess.run(
            [python, "-m", "pip", "freeze", "--all"], check=True, capture_output=True, text=True
        )
    LOCK.write_text(HEADER + "\n".join(frozen(listed.stdout.splitlines())) + "\n")
    sys.stdout.write(f"wrote {LOCK.name}\n")


if __name__ == "__main__":
    main()
