"""Spoiled rounds: how far a job goes back once some of its work was convicted.

What    `convicted_round` is the first round of which a unit was convicted; `doubtful` are the units
        before it that may be false too.
Why     A false unit spoils every state after it. And whoever lied once may have lied in units
        that were not drawn.
Rule    Every unit of anybody convicted is doubtful, as far back as epochs were open beside the
        first convicted one. That far a stake answers; what was final before stays final.
Pure    Values in, values out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from skerry.roles.statement import EpochHistory, UnitLine
from skerry.settle import Job
from skerry.settle.books import RING


def convicted_of(job: Job) -> frozenset[bytes]:
    """Return the addresses of a job's convicted solvers."""
    leases = enumerate(job.leases)
    return frozenset(lease.node for at, lease in leases if job.convicted >> at & 1)


def convicted_round(job: Job, epochs: Iterable[EpochHistory]) -> int | None:
    """Return the first round of which a segment was convicted, or None."""
    each = job.terms.lanes * job.terms.segments
    return min((it.rounds.start + at // each for it in epochs for at in it.lies), default=None)


def doubtful(
    first: int,
    epochs: Mapping[int, EpochHistory],
    units: Iterable[UnitLine],
    convicted: Collection[bytes],
) -> tuple[tuple[int, int], ...]:
    """Return the round and lane of each unit that may be false, in order.

    Args:
        first: the first round of which a unit was convicted.
        epochs: the job's epochs.
        units: its units.
        convicted: addresses of its convicted solvers.
    """
    number = next(it.number for it in epochs.values() if first in it.rounds)
    rounds = range(epochs[max(0, number + 1 - RING)].rounds.start, first)
    return tuple((it.round, it.lane) for it in units if it.node in convicted and it.round in rounds)
