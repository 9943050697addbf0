"""The same job over four nodes and over four workers of one process: seconds, bytes and bits.

What    Local and networked runs of the demo's model take turns; each starts its own workers, and is
        timed from the call to the final state. Data and Programs are ready before. Nodes are
        daemons of `skerry up`, each a process with a folder of its own; nobody is audited.
Units   `time_ratio` is the median over turns; bytes of control are everything that is neither
        update nor blob: tasks, receipts, heartbeats, and committed rounds to all who follow.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Note
from benchmarks.networked import LiveNetwork, ready_job
from skerry.node.life import RunResult, run_job
from skerry.node.network.networks import run_on_network
from skerry.node.processes import CrewTerms

NODES = 4


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Return the keys of the benchmark."""
    steps, turns = (80, 2) if quick else (160, 4)
    changes = [f"train.max_steps={steps}", "checkpoint.eval_steps=0"]
    ratios, taken, control, updates = [], [], [], []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        with LiveNetwork(root / "network", NODES) as network:
            for turn in range(turns):  # another seed each: a job that is done stays done
                traced, data = ready_job("kjv", root, [*changes, f"train.seed={turn}"])
                crew = CrewTerms(NODES, threads=1, data=data)
                began = time.perf_counter()
                local = run_job(traced.run, root / f"local-{turn}", crew)
                between = time.perf_counter()
                far = root / f"far-{turn}"
                apart = run_on_network(traced.run, far, data, str(network.folder))
                ended = time.perf_counter()
                ratios.append((ended - between) / (between - began))
                taken.append((between - began, ended - between))
                note(f"turn {turn}: local {between - began:.1f} s, network {ended - between:.1f} s")
                control.append(control_bytes(apart, NODES) // apart.round)
                updates.append(apart.bytes_sent["updates"] // apart.round)
                if local.root != apart.root:
                    return {"time_equal": 0}
    return {
        "time_equal": 1,
        "time_ratio": round(statistics.median(ratios), 3),
        "time_ratios": [round(it, 3) for it in ratios],
        "local_seconds": round(statistics.median(it[0] for it in taken), 1),
        "network_seconds": round(statistics.median(it[1] for it in taken), 1),
        "nodes": NODES,
        "rounds": steps // 10,
        "turns": turns,
        "cores": os.cpu_count(),
        "control_bytes_per_round": control[-1],
        "update_bytes_per_round": updates[-1],
    }


def control_bytes(result: RunResult, nodes: int) -> int:
    """Return the bytes of a run that were neither updates nor blobs."""
    said = sum(path.stat().st_size for path in (result.folder / "committed").iterdir())
    sent = result.bytes_sent
    return said * nodes + sent["control"] + sent["receipts"] + sent["programs"]
