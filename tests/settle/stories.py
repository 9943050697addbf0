"""A job with three solvers, two auditors and a coordinator, and every move that it can need."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256, shake_256
from typing import Any

from skerry.base.digests import EMPTY, digest, merkle_root, word
from skerry.commit.tensors import (
    ITEM_BYTES,
    leaf_bytes,
    leaf_count,
    leaf_digest,
    seal_tensor,
)
from skerry.commit.transcript import trace_root
from skerry.market.offers import NOBODY, Offer, Role, SignedRecord
from skerry.market.terms import Lease, Terms, lease_hash
from skerry.settle import Books, Epoch, Job, Limits, Reason, Refused, actions, apply
from skerry.settle.actions import Action
from skerry.settle.records import Evidence, RoundEntry, lane_leaf, path_in
from skerry.verify.audits import (
    Traced,
    audit_trace,
    draw_seed,
    place_of,
    recomputed_tag,
    seal,
    secret_of,
    verdict_commitment,
)

START = 1_700_000_000
DEAD = bytes.fromhex("000000000000000000000000000000000000dead")
FUNDS = 1_000_000
TOTAL = 8 * FUNDS
LIMITS = Limits(unbonding=1_000, phase_min=60, window_max=10_000, lease_max=100_000)
SUBMITTER, SOLVERS, AUDITORS, COORDINATOR, STRANGER, COURT = 0, (1, 2, 3), (4, 5), 6, 7, 15


SHAPES = (("f32", (2, 700)), ("i64", ()), ("bool", (5,)))


@dataclass(frozen=True)
class Work:
    """What an auditor computed: a few steps of three values, of which any leaf can be shown."""

    name: str = "true"
    steps: int = 3

    def leaves(self, step: int, node: int) -> list[bytes]:
        dtype, shape = SHAPES[node]
        data = shake_256(f"{self.name} {step} {node}".encode())
        size = math.prod(shape) * ITEM_BYTES[dtype]
        return [leaf_bytes(dtype, shape, data.digest(size), at) for at in range(leaf_count(shape))]

    def values(self, step: int) -> list[bytes]:
        found = []
        for node, (dtype, shape) in enumerate(SHAPES):
            root = merkle_root([leaf_digest(it) for it in self.leaves(step, node)])
            found.append(seal_tensor(dtype, shape, root))
        return found

    def traces(self) -> list[bytes]:
        return [trace_root(self.values(step)) for step in range(self.steps)]

    @property
    def trace(self) -> bytes:
        return audit_trace(self.traces())

    def traced(self, seed: bytes, fold: bytes) -> Traced:
        """Return the leaf that is drawn."""
        counts = [leaf_count(shape) for _, shape in SHAPES]
        place = place_of(seed, fold, steps=self.steps, leaves=counts)
        leaves, (dtype, shape) = self.leaves(place.step, place.node), SHAPES[place.node]
        return Traced(
            steps=self.steps,
            step_path=path_in(self.traces(), place.step),
            values=len(SHAPES),
            value_path=path_in(self.values(place.step), place.node),
            dtype=dtype,
            shape=shape,
            leaf_path=path_in([leaf_digest(it) for it in leaves], place.leaf),
            data=leaves[place.leaf],
        )


WORK = Work()
TRACE = WORK.trace


def plain(number: int) -> bytes:
    """Return an address that nobody needs a key for."""
    return bytes([number + 1]) * 20


@dataclass
class Story:
    """A job to be told; `party` turns numbers into addresses."""

    party: Callable[[int], bytes] = field(default_factory=lambda: TELLER[0].party)
    own_coordinator: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        party = self.party
        self.leases = tuple(
            Lease(party(it), lanes, price, 1_000 + it)
            for it, lanes, price in zip(SOLVERS, (2, 1, 1), (5, 6, 7), strict=True)
        )
        coordinator = party(SUBMITTER if self.own_coordinator else COORDINATOR)
        fields: dict[str, Any] = {
            "spec": digest("spec"),
            "leases": lease_hash(self.leases),
            "submitter": party(SUBMITTER),
            "coordinator": coordinator,
            "auditors": (party(AUDITORS[0]), party(AUDITORS[1]), NOBODY, NOBODY),
            "secrets": (self.sealed(0), self.sealed(1), EMPTY, EMPTY),
            "price_max": 8,
            "price_audit": 11,
            "price_record": 3,
            "stake_solver": 1_000,
            "stake_auditor": 703,
            "stake_coordinator": 501,
            "capability": 2,
            "nodes": 3,
            "lanes": 4,
            "rounds": 20,
            "epochs": 12,
            "segments": 4,
            "draws": 6,
            "delay": 10,
            "phase": 100,
            "window": 500,
            "ends": START + 20_000,
            "clock": 600,
        }
        self.terms = Terms(**{**fields, **self.changes})

    # -- what is off the chain

    def sealed(self, seat: int) -> bytes:
        return seal(self.root(seat), int(self.changes.get("epochs", 12)))

    def root(self, seat: int) -> bytes:
        return sha256(b"root" + word(seat)).digest()

    def secret(self, seat: int, epoch: int) -> bytes:
        return secret_of(self.root(seat), self.terms.epochs, epoch)

    def offer(self, node: bytes, role: Role, nonce: int = 0, **changes: Any) -> Offer:
        seat = self.terms.auditors.index(node) if role == Role.AUDITOR else -1
        return replace(
            Offer(
                node=node,
                role=role,
                capability=2,
                lanes=2,
                price=3,
                stake=5_000,
                expires=START + 50_000,
                seconds=90_000,
                nonce=nonce,
                secret=self.terms.secrets[seat] if role == Role.AUDITOR else EMPTY,
            ),
            **changes,
        )

    def offers(self, books: Books) -> tuple[Offer, ...]:
        """Return fresh offers in the order that an award takes them."""
        parties = [(it.node, Role.SOLVER) for it in self.leases]
        parties += [(it, Role.AUDITOR) for it in self.terms.auditors if it != NOBODY]
        if self.terms.coordinator != self.terms.submitter:
            parties.append((self.terms.coordinator, Role.COORDINATOR))
        return tuple(self.offer(it, role, books.account(it).leases) for it, role in parties)

    def lane_root(self, at: int, lane: int) -> bytes:
        return merkle_root(self.receipts(at, lane))

    def receipts(self, at: int, lane: int) -> list[bytes]:
        return [digest("receipt", word(at), word(lane), word(it)) for it in range(2)]

    def node_of(self, lane: int) -> int:
        return (0, 0, 1, 2)[lane]

    def units_of(self, at: int, lane: int) -> int:
        """Return the units of the lane's node up to and with this one, in lane order."""
        lanes = [it for it in range(4) if self.node_of(it) == self.node_of(lane)]
        return at * len(lanes) + lanes.index(lane) + 1

    def tally(self, rounds: int) -> tuple[int, ...]:
        return (2 * rounds, rounds, rounds)

    def lane_leaves(self, at: int) -> list[bytes]:
        return [
            lane_leaf(self.lane_root(at, lane), self.node_of(lane), self.units_of(at, lane))
            for lane in range(self.terms.lanes)
        ]

    def entry(self, at: int) -> RoundEntry:
        before, after = digest("state", word(at)), digest("state", word(at + 1))
        return RoundEntry(before, merkle_root(self.lane_leaves(at)), after)

    def records(self, epoch: int, rounds: range) -> list[bytes]:
        return [self.entry(at).digest(self.terms.job, epoch, at) for at in rounds]

    def evidence(self, epoch: Epoch, at: int, lane: int) -> Evidence:
        rounds = range(epoch.round_from, epoch.round_to)
        receipts = self.receipts(at, lane)
        return Evidence(
            round=at,
            entry=self.entry(at),
            path=path_in(self.records(epoch.number, rounds), at - epoch.round_from),
            lane=lane,
            receipts=merkle_root(receipts),
            node=self.node_of(lane),
            units=self.units_of(at, lane),
            lane_path=path_in(self.lane_leaves(at), lane),
            receipt=receipts[1],
            place=1,
            receipt_path=path_in(receipts, 1),
        )

    # -- moves

    def award(self, books: Books, **changes: Any) -> actions.Award:
        offers = tuple(actions.SignedOffer(it, it.node) for it in self.offers(books))
        award = actions.Award(self.terms.submitter, self.terms, self.leases, offers)
        return replace(award, **changes)

    def epoch(self, job: Job, rounds: int = 2, **changes: Any) -> actions.CommitEpoch:
        first = job.rounds
        root = merkle_root(self.records(job.epochs, range(first, first + rounds)))
        terms, tally = self.terms, self.tally(first + rounds)
        made = actions.CommitEpoch(terms.coordinator, terms, root, rounds, tally)
        return replace(made, **changes)

    def draw(self, epoch: int) -> actions.LockDraw:
        return actions.LockDraw(self.party(STRANGER), self.terms, epoch, sha256(b"chain").digest())

    def reveal(self, epoch: int, *seats: int) -> actions.RevealSecrets:
        secrets = tuple((seat, self.secret(seat, epoch)) for seat in seats)
        return actions.RevealSecrets(self.party(STRANGER), self.terms, epoch, secrets)

    def commitment(
        self, epoch: int, seat: int, *, accept: bool = True, trace: bytes = TRACE
    ) -> bytes:
        who = self.terms.auditors[seat]
        return verdict_commitment(
            self.terms.job, epoch, who, accept=accept, trace=trace, salt=word(seat)
        )

    def verdict(self, epoch: int, seat: int, **said: Any) -> actions.CommitVerdict:
        who = self.terms.auditors[seat]
        commitment = self.commitment(epoch, seat, **said)
        return actions.CommitVerdict(who, self.terms, epoch, seat, commitment)

    def show(
        self,
        epoch: int,
        seat: int,
        commitments: tuple[tuple[int, bytes], ...],
        *,
        accept: bool = True,
        trace: bytes = TRACE,
        tag: bytes = digest("tag"),
    ) -> actions.ShowVerdict:
        who, terms = self.terms.auditors[seat], self.terms
        said = (accept, trace, word(seat), tag)
        return actions.ShowVerdict(who, terms, epoch, seat, *said, commitments)

    def drawn(self, job: Job, epoch: int) -> tuple[bytes, bytes]:
        """Return the seed of an epoch's draw, and the fold of its verdicts."""
        audit = job.audits[epoch]
        return draw_seed(self.terms.job, epoch, audit.pot or b""), audit.fold

    def tag(self, job: Job, epoch: int, seat: int, work: Work = WORK) -> bytes:
        """Return the tag that an auditor has to show."""
        leaf = work.traced(*self.drawn(job, epoch)).data
        return recomputed_tag(self.terms.auditors[seat], leaf)

    def disprove(
        self,
        job: Job,
        epoch: int,
        seat: int,
        commitments: tuple[tuple[int, bytes], ...],
        *,
        accept: bool = True,
        trace: bytes = TRACE,
        work: Work = WORK,
    ) -> actions.DisproveTag:
        traced = work.traced(*self.drawn(job, epoch))
        said = (accept, trace, word(seat), commitments, traced)
        return actions.DisproveTag(self.party(STRANGER), self.terms, epoch, seat, *said)

    def docket(self, epoch: Epoch, at: int, lane: int) -> actions.Docket:
        evidence = self.evidence(epoch, at, lane)
        signer = self.leases[evidence.node].node
        return actions.Docket(self.terms, self.leases, epoch, evidence, signer)

    def signed_record(self, epoch: int, at: int, record: bytes) -> SignedRecord:
        return SignedRecord(self.terms.job, epoch, at, record)

    def settle(self, job: Job, epoch: Epoch | None, **changes: Any) -> actions.Settle:
        paid = job.paid
        move = actions.Settle(self.party(STRANGER), self.terms, job.leases, epoch, paid)
        return replace(move, **changes)


class Teller:
    """Who hears the story besides the rules: nobody, or the contracts as well."""

    party: Callable[[int], bytes] = staticmethod(plain)

    def open(self, court: bytes) -> Books:
        """Return empty books."""
        return Books(court=court, limits=LIMITS)

    def hear(
        self, books: Books, action: Action, now: int, outcome: Books | Refused
    ) -> Books | Refused:
        """Take what the rules made of a move; return it."""
        return outcome


TELLER: list[Teller] = [Teller()]


def funded(story: Story) -> Books:
    """Return books in which everyone has money in the vault."""
    books = TELLER[0].open(story.party(COURT))
    for number in range(8):
        books = done(books, actions.Deposit(story.party(number), FUNDS), START)
    return books


def told(books: Books, action: Action, now: int) -> Books | Refused:
    """Return what comes of a move, by the rules and by whoever else hears it."""
    return TELLER[0].hear(books, action, now, apply(books, action, now))


def done(books: Books, action: Action, now: int) -> Books:
    """Return the books after a move that must be allowed."""
    after = told(books, action, now)
    assert isinstance(after, Books), (action, after)
    return after


def refused(books: Books, action: Action, now: int) -> Reason:
    """Return why a move is refused, which it must be."""
    found = told(books, action, now)
    assert isinstance(found, Refused), action
    return found.reason


def job_of(books: Books, story: Story) -> Job:
    return books.jobs[story.terms.job]


def epoch_of(books: Books, story: Story, number: int) -> Epoch:
    return job_of(books, story).ring[number]


def awarded(story: Story) -> Books:
    books = funded(story)
    return done(books, story.award(books), START)


def with_epoch(story: Story, books: Books, now: int, rounds: int = 2) -> Books:
    return done(books, story.epoch(job_of(books, story), rounds), now)


def shown(
    story: Story,
    books: Books,
    c: int,
    epoch: int = 0,
    order: tuple[int, int] = (0, 1),
    **odd: Any,
) -> Books:
    """Play a whole audit of an epoch committed at `c`; `odd` is what seat 1 says otherwise."""
    said: list[dict[str, Any]] = [{}, odd]
    books = done(books, story.draw(epoch), c + 11)
    books = done(books, story.reveal(epoch, 0, 1), c + 150)
    commitments = tuple((seat, story.commitment(epoch, seat, **said[seat])) for seat in (1, 0))
    for seat in (1, 0):
        books = done(books, story.verdict(epoch, seat, **said[seat]), c + 201)
    for seat in order:
        books = done(books, story.show(epoch, seat, commitments, **said[seat]), c + 400)
    return books
