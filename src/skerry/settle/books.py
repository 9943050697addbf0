"""The state of the money: accounts in the vault, and jobs in the market.

What    `Books` is everything that the two contracts store. `Refused` is a move that is not made.
Why     One frozen value can be compared with a contract, printed, and tried from again.
Rule    An account holds free, locked and exiting money. A job holds its escrow within the locked
        money of its submitter; stakes are within the locked money of their owners.
Pure    Frozen values; the maps inside are never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique

from skerry.base.digests import EMPTY
from skerry.market.terms import AUDITORS_MAX, Lease, Terms

RING = 8  # epochs of a job that the chain remembers, hence how many can be open at once


@unique
class Reason(StrEnum):
    """Why a move is refused: the same word that the contract reverts with."""

    AMOUNT = "amount"
    BEFORE = "before"
    CAPABILITY = "capability"
    CLOSED = "closed"
    CONVICTED = "convicted"
    EARLY = "early"
    EPOCH = "epoch"
    EXPIRED = "expired"
    FALLEN = "fallen"
    FOLD = "fold"
    FUNDS = "funds"
    GAMES = "games"
    LANES = "lanes"
    LATE = "late"
    LEASES = "leases"
    LIE = "lie"
    NONCE = "nonce"
    OPEN = "open"
    PATH = "path"
    PRICE = "price"
    ROUNDS = "rounds"
    SAME = "same"
    SEAT = "seat"
    SECONDS = "seconds"
    SECRET = "secret"
    SENDER = "sender"
    SIGNATURE = "signature"
    STAKE = "stake"
    TALLY = "tally"
    TERMS = "terms"
    TWICE = "twice"
    UNDRAWN = "undrawn"
    UNKNOWN = "unknown"
    VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Refused:
    """A move that was not made, and why; the books are as before."""

    reason: Reason


class NotAllowed(Exception):
    """Carry a reason from the rule that found it up to `apply`."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason)


def require(holds: bool, reason: Reason) -> None:
    """Refuse the move under way unless `holds`."""
    if not holds:
        raise NotAllowed(reason)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the contracts are deployed with, for good.

    Attributes:
        unbonding: seconds between asking for one's money and getting it.
        phase_min: shortest phase of an audit, so that nobody is slashed for sleeping.
        window_max: longest window, so that nobody waits for ever.
        lease_max: longest time from an award to a job's end.
    """

    unbonding: int = 14 * 86_400
    phase_min: int = 60
    window_max: int = 7 * 86_400
    lease_max: int = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Account:
    """One party's money; `leases` counts what it has taken, which makes offers stale."""

    free: int = 0
    locked: int = 0
    leases: int = 0
    exiting: int = 0
    ready: int = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """Some rounds, committed at once.

    Attributes:
        number: the epochs before it.
        root: Merkle root over the digests of its rounds' records.
        round_from: its first round.
        round_to: the round after its last.
        committed: when it was committed.
        tally: units of each lease that were accepted since the job began.
    """

    number: int
    root: bytes
    round_from: int
    round_to: int
    committed: int
    tally: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of one epoch; the masks have one bit for each seat.

    Attributes:
        committed: when the epoch was committed.
        pot: what the seed is made of; None before the draw.
        revealed: who opened its secret.
        sealed: who committed to a verdict.
        shown: who showed it.
        accepts: who found every drawn segment true.
        split: whether two auditors computed different traces.
        trace: the first four bytes of the first trace that was shown.
        fold: running hash of the commitments.
        tags: the first byte of the tag that each seat showed.
        counted: who is paid for rejecting what a dispute convicted.
    """

    committed: int
    pot: bytes | None = None
    revealed: int = 0
    sealed: int = 0
    shown: int = 0
    accepts: int = 0
    split: bool = False
    trace: bytes = b""
    fold: bytes = EMPTY
    tags: tuple[int, ...] = (0,) * AUDITORS_MAX
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One job on the chain.

    Attributes:
        terms: what it was awarded on.
        leases: its solvers.
        escrow: what is left of the submitter's money.
        epochs: epochs committed.
        rounds: rounds committed.
        games: disputes that are being played.
        fallen: auditors that were slashed, by seat.
        coordinator_fallen: whether the coordinator was slashed.
        closed: whether everything was paid and given back.
        audited: audits that each seat is paid for.
        convicted: solvers that were slashed, by lease.
        raised: leases whose units were raised by proof.
        quiet: nothing is settled before this moment has passed.
        ring: the epochs that are remembered, by number.
        audits: their audits, by number.
        paid: units of each lease that were paid; empty before the first settlement.
        units: what was raised, by lease.
        lies: segments that a lost dispute convicted: (epoch, index of the segment in it).
    """

    terms: Terms
    leases: tuple[Lease, ...]
    escrow: int
    epochs: int = 0
    rounds: int = 0
    games: int = 0
    fallen: int = 0
    coordinator_fallen: bool = False
    closed: bool = False
    audited: tuple[int, ...] = (0,) * AUDITORS_MAX
    convicted: int = 0
    raised: int = 0
    quiet: int = 0
    ring: Mapping[int, Epoch] = field(default_factory=dict)
    audits: Mapping[int, Audit] = field(default_factory=dict)
    paid: tuple[int, ...] = ()
    units: Mapping[int, int] = field(default_factory=dict)
    lies: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Books:
    """Everything: accounts by address, jobs by name, and what was burned.

    Attributes:
        court: the address of the one contract that may convict.
        limits: what the contracts were deployed with.
        accounts: money by owner.
        jobs: jobs by name.
        burned: money that is nobody's any more and waits to be sent to nobody.
        gone: money that was sent there.
    """

    court: bytes
    limits: Limits = Limits()
    accounts: Mapping[bytes, Account] = field(default_factory=dict)
    jobs: Mapping[bytes, Job] = field(default_factory=dict)
    burned: int = 0
    gone: int = 0

    def account(self, who: bytes) -> Account:
        """Return the account of `who`, which everyone has."""
        return self.accounts.get(who, Account())

    def with_account(self, who: bytes, account: Account) -> Books:
        """Return the books with one account changed."""
        return replace(self, accounts={**self.accounts, who: account})

    def with_job(self, job: Job) -> Books:
        """Return the books with one job changed."""
        return replace(self, jobs={**self.jobs, job.terms.job: job})

    def open_job(self, terms: Terms) -> Job:
        """Return the job on these terms, which must be under way."""
        job = self.jobs.get(terms.job)
        require(job is not None, Reason.UNKNOWN)
        assert job is not None
        require(not job.closed, Reason.CLOSED)
        return job
