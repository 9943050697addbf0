"""What anyone can do to the books; one class for each function of the contracts.

What    Frozen values: who sends it, and what it says.
Why     A sequence of actions is a test case, a log and a replay.
Rule    `signer` is the address whose key made a signature that the action carries; the contract
        recovers it, the rules are told. Evidence is data and is checked by both.
Pure    Plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from skerry.market.offers import Offer, SignedRecord
from skerry.market.terms import Lease, Terms
from skerry.settle.books import Epoch
from skerry.settle.records import Evidence
from skerry.verify.audits import Traced

# -- the vault


@dataclass(frozen=True, slots=True)
class Deposit:
    """Put tokens in."""

    sender: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class RequestWithdraw:
    """Ask for free money; it is ready after the unbonding time, counted anew for all of it."""

    sender: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take out what is ready."""

    sender: bytes


@dataclass(frozen=True, slots=True)
class RecallOffers:
    """Make every standing offer of the sender stale."""

    sender: bytes


@dataclass(frozen=True, slots=True)
class Burn:
    """Send what was burned to the address that nobody holds."""

    sender: bytes


# -- a job's course


@dataclass(frozen=True, slots=True)
class SignedOffer:
    """An offer and whose key signed it."""

    offer: Offer
    signer: bytes


@dataclass(frozen=True, slots=True)
class Award:
    """Lock the budget and all stakes: one offer per lease, auditor, and absent coordinator."""

    sender: bytes
    terms: Terms
    leases: tuple[Lease, ...]
    offers: tuple[SignedOffer, ...]


@dataclass(frozen=True, slots=True)
class CommitEpoch:
    """Commit the records of the next rounds."""

    sender: bytes
    terms: Terms
    root: bytes
    rounds: int
    tally: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Equivocate:
    """Show two records that the coordinator signed for one round of one epoch."""

    sender: bytes
    terms: Terms
    first: SignedRecord
    first_signer: bytes
    second: SignedRecord
    second_signer: bytes


@dataclass(frozen=True, slots=True)
class Misrecord:
    """Show a record that the coordinator signed and committed otherwise."""

    sender: bytes
    terms: Terms
    epoch: Epoch
    signed: SignedRecord
    signer: bytes
    committed: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RaiseTally:
    """Show a lane that counts more units of a lease than the epoch's tally does."""

    sender: bytes
    terms: Terms
    epoch: Epoch
    evidence: Evidence


# -- an audit


@dataclass(frozen=True, slots=True)
class LockDraw:
    """Take the chain's randomness for an epoch's draw; `randomness` is the block's."""

    sender: bytes
    terms: Terms
    epoch: int
    randomness: bytes


@dataclass(frozen=True, slots=True)
class RevealSecrets:
    """Open secrets of auditors; whoever knows one may send it."""

    sender: bytes
    terms: Terms
    epoch: int
    secrets: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class CommitVerdict:
    """Bind one's verdict."""

    sender: bytes
    terms: Terms
    epoch: int
    seat: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class ShowVerdict:
    """Open one's verdict, with the tag of the value that was drawn after all commitments."""

    sender: bytes
    terms: Terms
    epoch: int
    seat: int
    accept: bool
    trace: bytes
    salt: bytes
    tag: bytes
    commitments: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class PunishSilence:
    """Slash an auditor that missed its phase."""

    sender: bytes
    terms: Terms
    epoch: int
    seat: int


@dataclass(frozen=True, slots=True)
class Blame:
    """Of a drawn segment that a dispute convicted: slash who had accepted it, pay who had not."""

    sender: bytes
    terms: Terms
    epoch: Epoch
    seat: int
    draw: int


@dataclass(frozen=True, slots=True)
class DisproveTag:
    """Slash an auditor whose tag is not that of the leaf which was drawn, under its own trace.

    Attributes:
        sender: anyone.
        terms: the job.
        epoch: the epoch.
        seat: whose tag it is.
        accept: what its verdict said, as are `trace` and `salt`.
        trace: likewise.
        salt: likewise.
        commitments: who bound what, in the order in which they did.
        traced: the leaf that was drawn.
    """

    sender: bytes
    terms: Terms
    epoch: int
    seat: int
    accept: bool
    trace: bytes
    salt: bytes
    commitments: tuple[tuple[int, bytes], ...]
    traced: Traced


# -- the court's port


@dataclass(frozen=True, slots=True)
class Docket:
    """What the market needs to find a receipt and its solver; the court only hands it on.

    Attributes:
        terms: the job.
        leases: its leases.
        epoch: the epoch that the receipt stands in.
        evidence: the receipt, and that it stands there.
        signer: who signed the claim that this is the lane's receipt.
    """

    terms: Terms
    leases: tuple[Lease, ...]
    epoch: Epoch
    evidence: Evidence
    signer: bytes


@dataclass(frozen=True, slots=True)
class Admit:
    """Open a dispute about one receipt; only the court."""

    sender: bytes
    docket: Docket
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Dismiss:
    """End a dispute that the solver won; only the court."""

    sender: bytes
    docket: Docket
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Convict:
    """End a dispute that the solver lost; only the court.

    Attributes:
        sender: the court.
        docket: as it was admitted.
        receipt: likewise.
        segment: the lying segment of the unit.
        finder: who found the lie.
    """

    sender: bytes
    docket: Docket
    receipt: bytes
    segment: int
    finder: bytes


@dataclass(frozen=True, slots=True)
class Misplace:
    """Convict a solver of a receipt about another unit than the job asks for there.

    Attributes:
        sender: anyone.
        docket: the receipt's.
        receipt: its bytes, with a signature of zeros.
        config: the run's terms, of which the job's spec is the digest.
        segment: the segment of the lane that is convicted.
    """

    sender: bytes
    docket: Docket
    receipt: bytes
    config: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class LockBond:
    """Lock a party's free money for a dispute; only the court."""

    sender: bytes
    who: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class FreeBond:
    """Give a bond back to its owner; only the court."""

    sender: bytes
    who: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class SlashBond:
    """Take a bond: half is burned, a quarter each goes to two others; only the court."""

    sender: bytes
    who: bytes
    amount: int
    finder: bytes
    other: bytes


# -- the end


@dataclass(frozen=True, slots=True)
class Settle:
    """Pay for a final epoch; with the last one, give everything back and close.

    Attributes:
        sender: anyone.
        terms: the job.
        leases: its leases.
        epoch: the epoch, or None where none was ever committed.
        paid: what was paid before, as the last settlement left it.
    """

    sender: bytes
    terms: Terms
    leases: tuple[Lease, ...]
    epoch: Epoch | None
    paid: tuple[int, ...]


VaultAction: TypeAlias = (
    Deposit | RequestWithdraw | Withdraw | RecallOffers | Burn | LockBond | FreeBond | SlashBond
)
MarketAction: TypeAlias = (
    Award
    | CommitEpoch
    | Equivocate
    | Misrecord
    | RaiseTally
    | LockDraw
    | RevealSecrets
    | CommitVerdict
    | ShowVerdict
    | PunishSilence
    | Blame
    | DisproveTag
    | Admit
    | Dismiss
    | Convict
    | Misplace
    | Settle
)
Action: TypeAlias = VaultAction | MarketAction
