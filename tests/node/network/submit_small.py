"""A submitter that a test can kill: python submit_small.py NODES FOLDER CHANGES-AS-JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from skerry.node.network.networks import run_on_network

sys.path.insert(0, str(Path(__file__).parents[1]))
small = importlib.import_module("small")


def main() -> None:
    nodes, folder, changes = sys.argv[1:]
    job = small.local_job(**json.loads(changes))
    result = run_on_network(job, Path(folder), None, nodes)
    print(result.root.hex())


if __name__ == "__main__":
    main()
