"""The coordinator's units: what a run computes once and not for each lane.

What    `Duty.parse("merge:3")` names one: the initial state, the merge of a round, the evaluation
        of the state after it. `duty_unit` says it as a unit, as any party would.
Why     A merge that is not true costs more than a lane's lie, so it is signed and judged alike.
Rule    "init" draws from the job's seed alone. "merge" (or "apply") is one run on the global
        state, given what all lanes sent. "evaluate" runs once for each held-out batch, in their
        order, and leaves the state as it was. All of them stand at lane 0 of their round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from skerry.base.errors import JobError
from skerry.messages.receipts import Unit
from skerry.node.lane import Lanes
from skerry.node.states import State, StateDigests, digest_tensor

KINDS = ("init", "merge", "evaluate")


class NoSuchDuty(JobError):
    """A name is no unit of a coordinator, or the run has none of that kind and round."""

    code = "job.duty"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, next_step="give init:0, merge:ROUND or evaluate:ROUND")


@dataclass(frozen=True, slots=True)
class Duty:
    """One unit of a coordinator: its kind and its round."""

    kind: str
    round: int

    @classmethod
    def parse(cls, text: str) -> Duty:
        """Return the duty that "KIND:ROUND" names.

        Raises:
            NoSuchDuty: it is spelled otherwise.
        """
        kind, _, number = text.partition(":")
        if kind not in KINDS or not (number.isascii() and number.isdigit()):
            raise NoSuchDuty(f"{text!r} is not KIND:ROUND of {', '.join(KINDS)}")
        if kind == "init" and int(number):
            raise NoSuchDuty("the initial state is made before round 0")
        return cls(kind, int(number))

    def __str__(self) -> str:
        """Return KIND:ROUND."""
        return f"{self.kind}:{self.round}"


def program_name(lanes: Lanes, duty: Duty) -> str:
    """Return the name of the Program that a duty runs.

    Raises:
        NoSuchDuty: the run has none.
    """
    name = "apply" if duty.kind == "merge" and not lanes.local else duty.kind
    if name not in lanes.programs:
        raise NoSuchDuty(f"the run has no Program {name!r}")
    if name == "evaluate" and not lanes.config.eval_batches:
        raise NoSuchDuty("the run holds no samples out, so it evaluates nothing")
    if duty.kind == "merge" and not lanes.config.merges(duty.round):
        raise NoSuchDuty(f"round {duty.round} ends with no merge")
    return name


def duty_unit(lanes: Lanes, duty: Duty, state: State, given: Mapping[str, Tensor]) -> Unit:
    """Return a duty as a unit.

    Args:
        lanes: the run.
        duty: what is to be done.
        state: the state that it starts from.
        given: what the lanes sent, where it is a merge.
    """
    name, root = program_name(lanes, duty), StateDigests().root(state)
    if duty.kind == "evaluate":
        data = lanes.slice_of("heldout", [0])
        batches = lanes.config.eval_batches
        return lanes.unit(name, duty.round, 0, root, data=data, step_from=0, steps=batches)
    named = tuple(sorted((port, digest_tensor(x)) for port, x in given.items()))
    return lanes.unit(name, duty.round, 0, root, given=named)
