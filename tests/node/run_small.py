"""A coordinator that a test can kill: python run_small.py KIND FOLDER WORKERS CHANGES-AS-JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from skerry.node.life import run_job
from skerry.node.processes import CrewTerms

small = importlib.import_module("small")  # beside this file, which is where Python looks first


def main() -> None:
    kind, folder, workers, changes = sys.argv[1:]
    job = {"local": small.local_job, "every-step": small.every_step_job}[kind](
        **json.loads(changes)
    )
    result = run_job(job, Path(folder), CrewTerms(int(workers), threads=1, backend="torch"))
    print(result.root.hex())


if __name__ == "__main__":
    main()
