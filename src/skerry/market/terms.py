"""What an award fixes for good: the terms of a job on the chain, and its leases.

What    `Terms` is everything that later moves are judged by; `Lease` is one solver's share.
Why     The chain keeps one hash of it; whoever moves supplies the terms again. So a move's cost
        depends neither on the number of lanes nor on how much there was to agree on.
Rule    A job's name is the SHA-256 of its terms as 32-byte words, in the order of the fields.
Source  contracts/market.vy, struct Terms; the order is the contract's.
Pure    Plain values.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cached_property
from hashlib import sha256

from skerry.base.digests import word
from skerry.market.offers import NOBODY

AUDITORS_MAX = 4
LEASES_MAX = 64
EPOCHS_MAX = 1024
DRAWS_MAX = 256
SEGMENTS_MAX = 4096
PHASES = 5  # a window holds the four phases of an audit and one more to open a dispute


@dataclass(frozen=True, slots=True)
class Lease:
    """One solver's share of a job.

    Attributes:
        node: the solver.
        lanes: how many lanes it runs.
        price: its pay for one unit.
        stake: what it loses if one of its units was a lie.
    """

    node: bytes
    lanes: int
    price: int
    stake: int


def lease_digest(lease: Lease) -> bytes:
    """Return the digest of one lease."""
    return sha256(b"".join(map(word, astuple(lease)))).digest()


def lease_hash(leases: tuple[Lease, ...]) -> bytes:
    """Return the hash of all leases in award order, as the contract makes it."""
    return sha256(b"".join((word(32), word(len(leases)), *map(lease_digest, leases)))).digest()


@dataclass(frozen=True)
class Terms:
    """The terms of one job.

    Attributes:
        spec: digest of the run; what is to be computed.
        leases: the hash of its leases.
        submitter: who pays, and takes what is left.
        coordinator: who records rounds.
        auditors: who audits, in order; NOBODY in the seats that stay empty.
        secrets: the auditors' sealed chains of secrets.
        price_max: most that any solver is paid for a unit.
        price_audit: each auditor's pay for an epoch.
        price_record: the coordinator's pay for a round.
        stake_solver: least stake of a solver.
        stake_auditor: stake of each auditor.
        stake_coordinator: stake of the coordinator.
        capability: the class that solvers must reach.
        nodes: number of leases.
        lanes: lanes of a round.
        rounds: rounds of the run.
        epochs: most epochs that the rounds are committed in.
        segments: segments of a unit.
        draws: segments that are drawn from each epoch.
        delay: seconds from an epoch to the first block that may seed its draw.
        phase: seconds of one phase of an audit.
        window: seconds from an epoch until it is final.
        ends: last second at which an epoch may be committed.
        clock: seconds of thought that each party to a dispute has, beside a grace for each move.
    """

    spec: bytes
    leases: bytes
    submitter: bytes
    coordinator: bytes
    auditors: tuple[bytes, bytes, bytes, bytes]
    secrets: tuple[bytes, bytes, bytes, bytes]
    price_max: int
    price_audit: int
    price_record: int
    stake_solver: int
    stake_auditor: int
    stake_coordinator: int
    capability: int
    nodes: int
    lanes: int
    rounds: int
    epochs: int
    segments: int
    draws: int
    delay: int
    phase: int
    window: int
    ends: int
    clock: int

    @cached_property
    def job(self) -> bytes:
        """The job's name on the chain."""
        flat: list[int | bytes] = []
        for value in astuple(self):
            flat.extend(value if isinstance(value, tuple) else (value,))
        return sha256(b"".join(word(it) for it in flat)).digest()

    @property
    def seats(self) -> int:
        """How many auditors there are."""
        return sum(it != NOBODY for it in self.auditors)

    @property
    def budget(self) -> int:
        """What the submitter locks: the most that the job can cost."""
        units = self.lanes * self.rounds
        audits = self.seats * self.epochs * self.price_audit
        return units * self.price_max + audits + self.rounds * self.price_record
