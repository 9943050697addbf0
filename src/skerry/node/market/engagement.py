"""One job in which a node has a part: what it knows of the run, and what was signed about it.

What    `Engagement` takes rounds as they are recorded, and claims and words as they are told, and
        keeps the job's `Course`. It hands out receipts, dockets and evidence.
Why     Every part in a job needs the same knowledge, and each node has its own copy of it.
Rule    A lane counts for the lease whose node signed its receipts, if they are about the units that
        the job asks for; else for nobody. Signatures are checked when they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from skerry.chain.keyfiles import signer_of
from skerry.chain.moves import Site, docket_bytes
from skerry.market.offers import SignedRecord, TypedData, claim_message, record_message
from skerry.messages.market import MarketClaim, MarketWord
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.messages.signing import signed_digest
from skerry.roles.course import Course, LaneWork, RoundWork
from skerry.roles.sight import Sight
from skerry.roles.units import LaneWord, altered
from skerry.settle import Epoch, actions

if TYPE_CHECKING:  # loads torch
    from skerry.node.past import PastRun

CLAIM_SECONDS = 10

LaneReceipts = Sequence[Sequence[Receipt]]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a receipt stands."""

    round: int
    lane: int
    place: int


@dataclass
class Engagement:
    """One job and one run.

    Attributes:
        course: what its rounds came to.
        config: the run.
        signers: the lease of each node, by the public key that signs its receipts.
        site: where signatures are good.
        open: opens the run, to replay units of it.
        owners: the address of each lease's node.
        blank: tensor digests of a lane's state before its first round; empty where it has none.
        vacant: rounds, from the first on, of which the chain shows that they count for nobody.
        ran: rounds that took place, where the chain shows that those after them never did.
    """

    course: Course
    config: RunConfig
    signers: Mapping[bytes, int]
    site: Site
    open: Callable[[], PastRun]
    owners: tuple[bytes, ...] = ()
    blank: Mapping[str, bytes] = field(default_factory=dict)
    left: dict[tuple[int, int], Mapping[str, bytes]] = field(default_factory=dict)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    spots: dict[bytes, Spot] = field(default_factory=dict)
    names: dict[tuple[int, int], tuple[bytes, ...]] = field(default_factory=dict)
    claims: dict[bytes, bytes] = field(default_factory=dict)
    words: dict[tuple[int, int], SignedRecord] = field(default_factory=dict)
    signatures: dict[tuple[int, int], bytes] = field(default_factory=dict)
    second: tuple[SignedRecord, bytes] | None = None
    drops: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    dropped: set[tuple[int, int]] = field(default_factory=set)
    spoken: int = 0
    over: bool = False
    vacant: int = 0
    ran: int | None = None
    _past: PastRun | None = None
    _waiting: list[MarketClaim] = field(default_factory=list)

    @property
    def job(self) -> bytes:
        """The job's name on the chain."""
        return self.course.terms.job

    @property
    def past(self) -> PastRun:
        """The run, opened when it is first needed."""
        if self._past is None:
            self._past = self.open()
        return self._past

    # -- rounds

    def on_round(self, record: RoundRecord, receipts: LaneReceipts) -> None:
        """Take the next round."""
        if record.round != len(self.course.rounds):
            return
        lanes = []
        for lane, entry in enumerate(record.lanes):
            there = {signed_digest(it): it for it in receipts[lane]}
            for place, name in enumerate(entry.receipts):
                self.spots[name] = Spot(record.round, lane, place)
            self.receipts |= there
            self.names[record.round, lane] = entry.receipts
            ordered = [there[name] for name in entry.receipts if name in there]
            lanes.append(self._lane(record, lane, entry.receipts, ordered))
        work = RoundWork(record.state_before, tuple(lanes), record.state_after)
        self.course = self.course.more(work)
        waiting, self._waiting = self._waiting, []
        for claim in waiting:
            self.on_claim(claim)
        self._drop()

    def _lane(
        self, record: RoundRecord, lane: int, names: tuple[bytes, ...], receipts: Sequence[Receipt]
    ) -> LaneWork | None:
        left = record.lanes[lane].left
        self.left[record.round + 1, lane] = dict(left)
        if len(receipts) < len(names):
            return None
        before, start = self.left.get((record.round, lane), self.blank), record.lanes[lane].start
        said = LaneWord(receipts, left, before, start)
        if self.blank and not left:
            return None  # it does not show what it leaves, so nobody could join it
        if altered(self.config, record.round, lane, said, record.state_before) is not None:
            return None
        lease = self.signers.get(receipts[0].signer)
        return None if lease is None else LaneWork(names, lease)

    def lane_receipts(self, at: int, lane: int) -> list[Receipt]:
        """Return the receipts of a lane that are at hand, in order."""
        names = self.names.get((at, lane), ())
        return [self.receipts[name] for name in names if name in self.receipts]

    def hold_to(self, epoch: Epoch) -> None:
        """Take note of an epoch on the chain: rounds in it that are kept may be nobody's."""
        if epoch.round_to <= self.course.kept and self.course.agrees(epoch):
            self.vacant = max(self.vacant, epoch.round_to)

    def end_at(self, epoch: Epoch) -> None:
        """Take note of an epoch on the chain, which may hold rounds that never took place."""
        here, self.course = len(self.course.rounds), self.course.ended_by(epoch)
        if len(self.course.rounds) > here:
            self.ran = here

    @property
    def took_place(self) -> int:
        """The rounds that are here and took place."""
        return len(self.course.rounds) if self.ran is None else self.ran

    def audited(self, at: int, lane: int) -> tuple[bytes, ...]:
        """Return the names of the receipts that an auditor looks at, if the lane is drawn.

        Of a round that is kept there are none once the chain shows that it counts for nobody: who
        else told an auditor what is kept could make it accept what it never ran.
        """
        return () if at < self.vacant else self.names.get((at, lane), ())

    # -- what is signed

    def on_claim(self, claim: MarketClaim) -> None:
        """Take a solver's claim, if it is that of the lease which ran the lane."""
        if claim.round >= len(self.course.rounds):
            self._waiting.append(claim)
            return
        spot = self.spots.get(claim.receipt)
        if (
            claim.job != self.job
            or spot is None
            or (claim.round, claim.lane) != (spot.round, spot.lane)
        ):
            return
        work = self.course.rounds[spot.round].lanes[spot.lane]
        if work is None:
            return
        where = {"chain": self.site.chain, "market": self.site.market}
        message = claim_message(self.job, spot.round, spot.lane, claim.receipt, **where)  # type: ignore[arg-type]
        if signer_of(message, claim.signature) == self.owner(work.lease):
            self.claims[claim.receipt] = claim.signature

    def owner(self, lease: int) -> bytes:
        """Return the address of a lease's node."""
        return self.owners[lease]

    def on_word(self, word: MarketWord) -> None:
        """Take a coordinator's word; two about one round are a proof against it."""
        said = SignedRecord(word.job, word.epoch, word.round, word.record)
        message = record_message(said, chain=self.site.chain, market=self.site.market)
        if (
            word.job != self.job
            or signer_of(message, word.signature) != self.course.terms.coordinator
        ):
            return
        key = word.epoch, word.round
        if key in self.words and self.words[key] != said:
            self.second = said, word.signature
            return
        self.words[key] = said
        self.signatures[key] = word.signature
        self.drops.setdefault(word.round, []).append(word.dropped)
        self._drop()

    def _drop(self) -> None:
        """Let lanes count for nobody that the coordinator's words leave out, in order of rounds."""
        while self.spoken < len(self.course.rounds):
            at = self.spoken
            epoch = self.course.epoch_of(at)
            word = self.words.get((epoch, at))
            if word is None:
                return
            for lanes in self.drops.get(at, []):
                tried = self.course.without(at, lanes)
                if lanes and tried.record(epoch, at) == word.record:
                    self.course = tried
                    self.dropped |= {(at, lane) for lane in lanes}
                    break
            self.spoken += 1

    @property
    def patience(self) -> int:
        """The seconds for which the coordinator waits for a claim."""
        return max(CLAIM_SECONDS, self.course.terms.phase)

    def unclaimed(self, at: int) -> tuple[int, ...]:
        """Return the lanes of a round that count for a lease which has not claimed them."""
        return tuple(
            lane
            for lane, work in enumerate(self.course.rounds[at].lanes)
            if work is not None and not all(name in self.claims for name in work.receipts)
        )

    def claimed_rounds(self) -> int:
        """Return how many rounds, from the first on, have a claim for each receipt that counts."""
        every = range(len(self.course.rounds))
        return next((at for at in every if self.unclaimed(at)), len(every))

    def claimed_course(self) -> Course:
        """Return the course as far as every receipt in it is claimed."""
        return replace(self.course, rounds=self.course.rounds[: self.claimed_rounds()])

    # -- court

    def docket(self, sight: Sight, receipt: bytes) -> tuple[bytes, bytes] | None:
        """Return what the court admits a receipt by and who answers for it, where it can."""
        spot, claim = self.spots.get(receipt), self.claims.get(receipt)
        if spot is None or claim is None:
            return None
        work = self.course.rounds[spot.round].lanes[spot.lane]
        epoch = self._epoch_of(sight, spot.round)
        if work is None or epoch is None or sight.state.convicted >> work.lease & 1:
            return None
        if sight.now > epoch.committed + sight.terms.window:
            return None
        evidence = self.course.evidence(epoch, spot.round, spot.lane, spot.place)
        signer = self.owner(work.lease)
        made = actions.Docket(sight.terms, sight.state.leases, epoch, evidence, signer)

        def signed(who: bytes, message: TypedData) -> bytes:
            return claim

        return docket_bytes(made, self.site, signed), signer

    def _epoch_of(self, sight: Sight, at: int) -> Epoch | None:
        epochs = (it for it in sight.state.ring.values() if it.round_from <= at < it.round_to)
        epoch = next(epochs, None)
        return epoch if epoch is not None and self.course.agrees(epoch) else None
