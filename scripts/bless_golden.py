"""Rewrite the golden vectors of the ops from the reference, on purpose.

What    Writes one page an op under tests/golden/ops and prints the digest that
        `skerry.exact.bits.GOLDEN_DIGEST` must hold.
Why     A golden vector that rewrites itself guards nothing.
Run     python -m scripts.bless_golden --bless
"""

from __future__ import annotations

import sys

from scripts.tree import ROOT
from skerry.exact.golden import golden_cases, golden_digest, golden_ops, to_json

FOLDER = ROOT / "tests" / "golden" / "ops"


def main(arguments: list[str]) -> int:
    """Write every page if told `--bless`; else say which pages would change."""
    bless = arguments == ["--bless"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for op in golden_ops():
        file, page = FOLDER / f"{op}.json", to_json(golden_cases(op))
        if file.exists() and file.read_bytes() == page:
            continue
        if bless:
            file.write_bytes(page)
        sys.stdout.write(f"{'wrote' if bless else 'would change'} {file.relative_to(ROOT)}\n")
    sys.stdout.write(f"GOLDEN_DIGEST = {golden_digest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
