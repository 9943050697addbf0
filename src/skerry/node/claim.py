"""A unit's receipt as a claim on a chain: a job with one lease, its award, and the epoch in it.

What    `ChainJob` makes the moves of submitter and coordinator for one past run: `award` binds the
        solver, `commit` commits the records of all rounds up to the doubted one, `docket` is then
        what the court admits the receipt by.
Why     A court judges what a market knows; a run that was played at home is known to none.
Rule    The records are the run's own. Only the doubted receipt is the solver's, and the lease is
        his alone, since nobody else of the run has an address.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from skerry.base.digests import EMPTY, merkle_root
from skerry.chain.moves import Site, call_of, docket_bytes
from skerry.market.offers import NOBODY, Offer, TypedData
from skerry.market.stakes import solver_stake
from skerry.market.terms import PHASES, Lease, Terms, lease_hash
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.messages.signing import signed_digest
from skerry.messages.wire import decode_as
from skerry.node.court_party import ChainParty
from skerry.node.past import NotOfThisRun, PastRun
from skerry.settle import Epoch, Limits, actions
from skerry.settle.records import Evidence, RoundEntry, lane_leaf, path_in

DAY = 86_400
LIMITS = Limits(unbonding=14 * DAY, phase_min=60, window_max=7 * DAY, lease_max=366 * DAY)
PRICE, PRICE_RECORD = 2_000, 100
BUDGET = 6 * 3_600
PHASE = 3_600
LASTS = 30 * DAY


def records_of(past: PastRun, last: int) -> list[RoundRecord]:
    """Return the records of a run's rounds up to round `last`.

    Raises:
        NotOfThisRun: the run has not come so far.
    """
    found = []
    for number in range(last + 1):
        data = past.folder.read_round(number)
        if data is None:
            raise NotOfThisRun(f"the run has no record of round {number}")
        found.append(decode_as(RoundRecord, data))
    return found


def stake_of(config: RunConfig) -> int:
    """Return the least stake that pays for everything one lie of a run can spoil; odd, to be fair.

    An odd amount shows that halves and quarters lose nothing by rounding.
    """
    least = solver_stake(
        lanes=config.lanes,
        price=PRICE,
        record=PRICE_RECORD,
        rounds_open=config.rounds,
        replay=PRICE * config.local_steps,
    )
    return least | 1


@dataclass
class ChainJob:
    """The job of one run on a chain.

    Attributes:
        past: the run.
        party: its submitter, who coordinates too.
        solver: the solver's address.
        true: the receipt of the unit as the run has it.
        claimed: the receipt that the solver answers for.
        now: the chain's time.
    """

    past: PastRun
    party: ChainParty
    solver: bytes
    true: Receipt
    claimed: Receipt
    now: int
    signatures: dict[bytes, bytes] = field(default_factory=dict)
    epoch: Epoch | None = None

    def __post_init__(self) -> None:
        config = self.past.config
        self.lease = Lease(self.solver, config.lanes, PRICE, stake_of(config))
        self.records = records_of(self.past, self.true.unit.id.round)
        self.terms = Terms(
            spec=self.past.lanes.job,
            leases=lease_hash((self.lease,)),
            submitter=self.party.address,
            coordinator=self.party.address,
            auditors=(NOBODY, NOBODY, NOBODY, NOBODY),
            secrets=(EMPTY, EMPTY, EMPTY, EMPTY),
            price_max=PRICE,
            price_audit=0,
            price_record=PRICE_RECORD,
            stake_solver=self.lease.stake,
            stake_auditor=0,
            stake_coordinator=self.lease.stake // 4,
            capability=0,
            nodes=1,
            lanes=config.lanes,
            rounds=config.rounds,
            epochs=1,
            segments=self.true.unit.segments,
            draws=1,
            delay=60,
            phase=PHASE,
            window=PHASES * PHASE,
            ends=self.now + LASTS,
            clock=BUDGET,
        )

    @property
    def site(self) -> Site:
        """Where signatures are good."""
        manifest = self.party.manifest
        assert manifest is not None, "no contracts yet"
        return Site(manifest.chain, manifest.at("market"))

    def _sign(self, signer: bytes, message: TypedData) -> bytes:
        return self.signatures[message["primaryType"].encode()]

    def award(self, offer: Offer, signature: bytes) -> None:
        """Bind the solver and lock everyone's money."""
        self.signatures[b"Offer"] = signature
        offers = (actions.SignedOffer(offer, self.solver),)
        made = actions.Award(self.party.address, self.terms, (self.lease,), offers)
        due = self.terms.budget + self.terms.stake_coordinator
        self.party.lock(
            call_of(made, self.site, self._sign),
            ("solver", self.solver, self.lease.stake),
            ("submitter", self.party.address, due),
        )

    def _receipts(self, record: RoundRecord, lane: int) -> list[bytes]:
        """Return the receipts of a lane, the doubted one as the solver claims it."""
        unit, names = self.true.unit, list(record.lanes[lane].receipts)
        if (record.round, lane) == (unit.id.round, unit.id.lane):
            true = signed_digest(self.true)
            if true not in names:
                names.append(true)  # a coordinator's unit, which no lane recorded
            names[names.index(true)] = signed_digest(self.claimed)
        return names

    def _lanes(self, record: RoundRecord) -> list[bytes]:
        lanes = self.past.config.lanes
        return [
            lane_leaf(merkle_root(self._receipts(record, lane)), 0, record.round * lanes + lane + 1)
            for lane in range(lanes)
        ]

    def _entry(self, record: RoundRecord) -> RoundEntry:
        lanes = merkle_root(self._lanes(record))
        return RoundEntry(record.state_before, lanes, record.state_after)

    def _names(self) -> list[bytes]:
        return [self._entry(it).digest(self.terms.job, 0, it.round) for it in self.records]

    def commit(self) -> None:
        """Commit the records of all rounds up to the doubted one, as one epoch."""
        rounds, root = len(self.records), merkle_root(self._names())
        tally = (rounds * self.past.config.lanes,)
        address = self.party.address
        sent_at = actions.CommitEpoch(address, self.terms, root, rounds, tally)
        sent = self.party.send(call_of(sent_at, self.site, self._sign))
        assert sent.block is not None, "mined"
        head = self.party.rpc.block(sent.block)
        assert head is not None, "its block is there"
        self.epoch = Epoch(0, root, 0, rounds, int(head["timestamp"], 16), tally)

    def docket(self, claim: bytes) -> bytes:
        """Return what the court admits the receipt by, with the solver's signature of his claim."""
        assert self.epoch is not None, "nothing was committed"
        self.signatures[b"Claim"] = claim
        record, unit = self.records[-1], self.true.unit
        receipts = self._receipts(record, unit.id.lane)
        place = receipts.index(signed_digest(self.claimed))
        evidence = Evidence(
            round=unit.id.round,
            entry=self._entry(record),
            path=path_in(self._names(), unit.id.round),
            lane=unit.id.lane,
            receipts=merkle_root(receipts),
            node=0,
            units=unit.id.round * self.past.config.lanes + unit.id.lane + 1,
            lane_path=path_in(self._lanes(record), unit.id.lane),
            receipt=receipts[place],
            place=place,
            receipt_path=path_in(receipts, place),
        )
        made = actions.Docket(self.terms, (self.lease,), self.epoch, evidence, self.solver)
        return docket_bytes(made, self.site, self._sign)


__all__ = ["LIMITS", "ChainJob", "records_of", "stake_of"]
