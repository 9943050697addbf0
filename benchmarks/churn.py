"""Nodes that die: a job over four nodes of which one is killed, at any moment, disk and all.

What    The digits' CNN with local steps and sparse updates runs over four daemons. After an
        undisturbed run, one node of each further run is killed with `kill -9` at a moment drawn
        uniformly over the undisturbed duration; which one is drawn too, the coordinator included.
        In every other run its folder goes as well. Each run has a network of its own.
Units   `finished_equal_share` is the share of runs that end with the undisturbed state's root;
        `silence_seconds_max` the longest time between two rounds that the submitter was told of.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Note
from benchmarks.networked import LiveNetwork, ready_job
from skerry.base.chance import Chance
from skerry.base.errors import SkerryError
from skerry.node.events import RoundFinished, RunEvent, RunStarted
from skerry.node.life import run_job
from skerry.node.network.networks import run_on_network
from skerry.node.processes import CrewTerms
from skerry.node.submission import TracedJob

NODES = 4
CHANGES = (
    "train.max_steps=300",
    "rounds.local_steps=6",
    "rounds.codec=topk",
    "checkpoint.save_steps=72",
    "checkpoint.eval_steps=0",
)


@dataclass
class Told:
    """When the submitter heard of what."""

    began: float = 0.0
    rounds: list[float] = field(default_factory=list)
    starts: int = 0
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: RunEvent) -> None:
        """Take note of an event."""
        now = time.perf_counter()
        if isinstance(event, RunStarted):
            self.starts += 1
            self.began = self.began or now
            self.begun.set()
        elif isinstance(event, RoundFinished):
            self.rounds.append(now)

    @property
    def silence(self) -> float:
        """The longest time between two rounds."""
        pairs = itertools.pairwise(self.rounds)
        return max((after - before for before, after in pairs), default=0.0)


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Return the keys of the benchmark."""
    runs = 3 if quick else 20
    chance = Chance.from_int(11)  # its first runs hit the coordinator too
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        traced, data = ready_job("digits", root, CHANGES)
        crew = CrewTerms(2, threads=1, data=data)
        undisturbed = run_job(traced.run, root / "local", crew).root
        calm = Told()
        with LiveNetwork(root / "calm", NODES) as network:
            result = run_on_network(
                traced.run, root / "calm-run", data, str(network.folder), watch=calm
            )
        seconds = calm.rounds[-1] - calm.began
        note(f"undisturbed: {seconds:.1f} s, equal {result.root == undisturbed}")
        equal, coordinators, silences = 0, 0, []
        for number in range(runs):
            told, first, ended = _disturbed(root, traced, data, number, seconds, chance)
            equal += ended == undisturbed
            coordinators += first
            silences.append(told.silence)
            note(
                f"run {number}: coordinator killed {first}, equal {ended == undisturbed}, "
                f"{told.starts} coordinators, longest silence {told.silence:.1f} s"
            )
    return {
        "finished_equal_share": equal / runs,
        "runs": runs,
        "coordinators_killed": coordinators,
        "disks_lost": runs - runs // 2,
        "network_equals_local": int(result.root == undisturbed),
        "undisturbed_seconds": round(seconds, 1),
        "silence_seconds_max": round(max(silences), 1),
    }


def _disturbed(
    root: Path, traced: TracedJob, data: Path, number: int, seconds: float, chance: Chance
) -> tuple[Told, bool, bytes]:
    """Run once with one death; return what was told, whether it was the coordinator, the root."""
    draw = chance.fork("run", number)
    told = Told()
    with LiveNetwork(root / f"network-{number}", NODES) as network:
        place = draw.fork("who").below(NODES)
        moment = draw.fork("when").below(1000) / 1000 * seconds

        def kill() -> None:
            told.begun.wait(60)
            threading.Event().wait(max(0.0, told.began + moment - time.perf_counter()))
            network.kill(network.solvers[place], disk=number % 2 == 0)

        killing = threading.Thread(target=kill)
        killing.start()
        try:
            result = run_on_network(
                traced.run, root / f"run-{number}", data, str(network.folder), watch=told
            )
            ended = result.root
        except SkerryError as error:
            ended = str(error).encode()
        killing.join()
    return told, place == 0, ended
