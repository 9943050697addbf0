"""A process that answers for a receipt: serves the roots of its own run until a walk ends.

What    `python -m skerry.node.reveal --run FOLDER RECEIPT [--lie STEP:NODE:ELEMENT]` prints its
        address when it is ready.
Why     The other side of `skerry verify --against` must be a process of its own, honest or not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from skerry.base.errors import SkerryError
from skerry.messages.receipts import Receipt
from skerry.node.dispute import answer_for, read_receipt
from skerry.node.party import Lie
from skerry.node.past import PastRun


def _announce(address: str, receipt: Receipt) -> None:
    print(address, flush=True)


def main() -> None:
    """Parse the command line and answer."""
    parser = argparse.ArgumentParser(prog="python -m skerry.node.reveal", description=__doc__)
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--lie", default="", metavar="STEP:NODE:ELEMENT")
    given = parser.parse_args()
    try:
        past = PastRun.open(given.run, given.data, given.backend)
        lie = Lie.parse(given.lie) if given.lie else None
        asyncio.run(answer_for(past, read_receipt(given.receipt), lie, _announce))
    except SkerryError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
