"""Telling: what a run sent and came to, counted and told as events.

What    `Telling` counts bytes by kind, gathers losses and evaluations, writes each event to the log
        and hands it to whoever watches.
Why     Numbers that people judge a run by must come from one place, and from what really happened.
Units   Bytes are counted at the coordinator, both ways, as `transport` counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from skerry.messages.rounds import Evaluated, LaneDone, Merge, RunConfig, Supply
from skerry.messages.wire import Message, encode
from skerry.node.bits import bits_float
from skerry.node.clocks import RealClock
from skerry.node.events import (
    CheckpointWritten,
    EvaluationFinished,
    LaneFinished,
    RoundFinished,
    RunEvent,
    ring_bytes,
)
from skerry.storage import append_line
from skerry.transport import Link

Watch: TypeAlias = Callable[[RunEvent], None]
KINDS = ("updates", "receipts", "programs", "control")


class Telling:
    """Counts and tells.

    Args:
        config: the run's terms.
        parameters: how many parameters are trained.
        workers: how many workers a plain all-reduce would have had.
        log: where events are written.
        watch: is told each event.
        clock: seconds since the start are told by it.
        sent_before: bytes by kind of earlier sessions of the same run.
    """

    def __init__(
        self,
        config: RunConfig,
        parameters: int,
        workers: int,
        log: Path,
        watch: Watch,
        clock: RealClock,
        sent_before: Mapping[str, int] | None = None,
    ) -> None:
        self._config = config
        self._parameters = parameters
        self._workers = workers
        self._log = log
        self._watch = watch
        self._clock = clock
        self._started = clock.now()
        self._links: list[Link] = []
        self._sent = dict.fromkeys(KINDS, 0) | dict(sent_before or {})
        self._before = sum(self._sent.values())
        self._losses: dict[int, float] = {}
        self._evaluations: dict[int, dict[int, dict[str, float]]] = {}
        self.evaluations: dict[int, dict[str, float]] = {}
        self.losses: dict[int, float] = {}
        self.restarts = 0

    def tell(self, event: RunEvent) -> None:
        """Write an event to the log and show it."""
        append_line(self._log, event)
        self._watch(event)

    # -- bytes

    def watch(self, link: Link) -> None:
        """Count a link's bytes."""
        self._links.append(link)

    def said(self, message: Message, size: int) -> None:
        """Count a message to a worker by what it carries."""
        if isinstance(message, Merge):
            self._sent["updates"] += sum(map(len, message.updates))
        elif isinstance(message, Supply):
            self._sent["programs"] += size

    def heard(self, message: Message) -> None:
        """Count a message from a worker by what it carries."""
        if isinstance(message, LaneDone):
            self._sent["updates"] += len(message.update)
            self._sent["receipts"] += sum(len(encode(it)) for it in message.receipts)

    @property
    def bytes_sent(self) -> dict[str, int]:
        """The bytes so far, by kind; "control" is all that is nothing else."""
        total = self._before + sum(it.counts.sent + it.counts.received for it in self._links)
        sent = {kind: self._sent[kind] for kind in KINDS if kind != "control"}
        return {**sent, "control": total - sum(sent.values())}

    # -- what a run came to

    def lane_finished(self, worker: str, done: LaneDone) -> None:
        """Tell that a lane counts."""
        self._losses[done.lane] = bits_float(done.loss)
        spent = done.spent
        self.tell(
            LaneFinished(
                done.round,
                done.lane,
                worker,
                bits_float(done.loss),
                spent.compute / 1e6,
                spent.commit / 1e6,
                spent.storage / 1e6,
            )
        )

    def round_finished(self, number: int, root: bytes) -> None:
        """Tell that a round was merged."""
        losses = [self._losses[lane] for lane in sorted(self._losses)]
        self._losses.clear()
        self.losses[number] = sum(losses) / len(losses) if losses else 0.0
        steps = (number + 1) * self._config.local_steps
        self.tell(
            RoundFinished(
                number,
                steps,
                self.losses[number],
                root.hex(),
                self._clock.now() - self._started,
                self.bytes_sent,
                ring_bytes(self._parameters, self._workers, steps),
            )
        )

    def checkpoint_written(self, number: int, root: bytes) -> None:
        """Tell that a state is safe."""
        self.tell(CheckpointWritten(number, root.hex()))

    def evaluated(self, part: Evaluated, parts: int) -> None:
        """Add a part of an evaluation; tell the sums when it was the last one."""
        found = self._evaluations.setdefault(part.round, {})
        floats = {name: bits_float(bits) for name, bits in part.floats}
        found[part.part] = floats | {name: float(count) for name, count in part.counts}
        if len(found) == parts:
            sums: dict[str, float] = {}
            for at in sorted(found):
                for name, value in found[at].items():
                    sums[name] = sums.get(name, 0.0) + value
            self.evaluations[part.round] = sums
            del self._evaluations[part.round]
            steps = part.round * self._config.local_steps
            self.tell(EvaluationFinished(part.round, steps, sums))
