"""Run one benchmark by name, or list them."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys

NAMES = (
    "exact",
    "identity",
    "quality",
    "commit",
    "trace",
    "fuzz",
    "happy",
    "audit",
    "dispute",
    "adjudicate",
    "leaf_gas",
    "attack",
    "network",
    "churn",
)


def summary(name: str) -> str:
    """Return the first line of a benchmark's docstring."""
    return (importlib.import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="which one; without it, a list")
    parser.add_argument(
        "--quick", action="store_true", help="end within 50 s, those of networks within 300 s"
    )
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    arguments = parser.parse_args()
    if arguments.name is None:
        for name in NAMES:
            print(f"{name:10} {summary(name)}")
        return 0
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    module = importlib.import_module(f"benchmarks.{arguments.name}")
    note = (lambda text: None) if arguments.json else (lambda text: print(text, file=sys.stderr))
    result = module.run(quick=arguments.quick, note=note)
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
