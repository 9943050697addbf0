"""Rewrite the gas snapshot from receipts of a real node, on purpose.

What    tests/golden/gas.json: what each part of a job without a dispute costs, to the unit.
Why     A change of a contract that costs users money must be seen in review.
Run     python -m scripts.bless_gas [--bless]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.happy import run
from scripts.tree import ROOT

FILE = ROOT / "tests" / "golden" / "gas.json"


def measured() -> dict[str, Any]:
    """Return the parts of the snapshot, from a node that makes the same blocks each time."""
    found = run(quick=True, note=lambda text: None)
    kept = ("gas_happy", "gas_by_part", "gas_by_lanes", "gas_by_epochs", "gas_apart")
    text: dict[str, Any] = json.loads(json.dumps({name: found[name] for name in kept}))
    return text


def main(arguments: list[str]) -> int:
    """Write the snapshot if told `--bless`; else say what would change."""
    page = json.dumps(measured(), indent=1) + "\n"
    same = FILE.exists() and FILE.read_text() == page
    if not same and arguments == ["--bless"]:
        FILE.write_text(page)
    said = "unchanged" if same else "wrote" if arguments == ["--bless"] else "would change"
    sys.stdout.write(f"{said} {FILE.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
