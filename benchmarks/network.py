"""The network: bytes on the wire for bulk state moved, and speed beside TCP.

Each part is a module whose `run` returns some of the keys; `PARTS` lists them. `bytes` moves blobs
between two processes by the exchange that nodes use; `time` runs one job both ways.
"""

from __future__ import annotations

from typing import Any

from benchmarks import network_bytes, network_time
from benchmarks.measure import Note

PARTS = (network_bytes.run, network_time.run)


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Run every part and join what they return."""
    result: dict[str, Any] = {}
    for part in PARTS:
        result |= part(quick=quick, note=note)
    return result
