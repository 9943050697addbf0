"""A real node with Prague pricing, a court on it, and a job one receipt of which is doubted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.happy import FUNDS, LIMITS, PRICE, ROUNDS, Ground, HappyJob, key_of, party, sign
from skerry.base.digests import digest, merkle_root, word
from skerry.chain.abi import contract
from skerry.chain.courthouse import CourtTerms, court_event, court_steps, sent_name
from skerry.chain.deploy import made_address
from skerry.chain.disputes import CourtEvent
from skerry.chain.moves import Call, docket_bytes
from skerry.chain.rpc import hexed, unhexed
from skerry.settle import Books, Epoch, actions
from skerry.settle.records import Evidence, RoundEntry, lane_leaf, path_in
from skerry.verify.terms import Arities

GRACE, BOND = 1_800, 10**7
ROUND, LANE = 4, 2
CHALLENGER = 40


@dataclass
class CourtGround(Ground):
    """A node with a whole court on it; `heard` and `spent` say what went on there."""

    arities: Arities = field(default_factory=lambda: Arities.all(8))
    heard: list[CourtEvent] = field(default_factory=list)
    spent: list[tuple[str, str, int, int]] = field(default_factory=list)
    who: dict[bytes, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rpc.ask("anvil_autoImpersonateAccount", True)
        deployer = party(98).address
        self.rpc.ask("anvil_setBalance", hexed(deployer), hex(10**24))
        self.terms = CourtTerms(BOND, GRACE, self.arities)
        plan = court_steps(LIMITS, self.terms)
        self.at = {step.name: made_address(deployer, at) for at, step in enumerate(plan)}
        for step in plan:
            code = contract(step.name).creation(*step.arguments(self.at))
            receipt = self._transact(deployer, None, code)
            self.gas[f"deploy {step.name}"] = int(receipt["gasUsed"], 16)
        self.books = Books(court=self.at["court"], limits=LIMITS)
        self.now += 60
        challenger = key_of(CHALLENGER)
        self.rpc.ask("anvil_setBalance", hexed(challenger), hex(10**24))
        for call in (
            Call("token", "mint", (challenger, FUNDS)),
            Call("token", "approve", (self.at["vault"], FUNDS)),
            Call("vault", "deposit", (FUNDS,)),
        ):
            self.now += 1
            self.send(challenger, call, "deposits")

    def play(self, sender: bytes, call: Call) -> int:
        """Make a call to the court and return its gas."""
        self.now += 1
        receipt = self.send(sender, call, "dispute")
        gas = int(receipt["gasUsed"], 16)
        data = contract(call.contract).call(call.function, *call.arguments)
        self.spent.append((self.who.get(sender, ""), sent_name(data), len(data), gas))
        for log in receipt["logs"]:
            if unhexed(log["address"]) == self.at["court"]:
                topics = [unhexed(it) for it in log["topics"]]
                _, event = court_event(contract("court"), topics, unhexed(log["data"]))
                self.heard += [event] if event else []
        return gas

    def events(self, since: int) -> Sequence[CourtEvent]:
        """Return the court's events from number `since` on."""
        return self.heard[since:]


@dataclass
class DoubtedJob(HappyJob):
    """A job in which one lane of one round stands for a receipt that somebody doubts."""

    receipt: bytes = bytes(32)

    @property
    def solver(self) -> bytes:
        """Whose receipt it is."""
        return self.solvers[LANE]

    def _leaves(self, at: int) -> list[bytes]:
        owners = [it for it, lease in enumerate(self.leases) for _ in range(lease.lanes)]
        return [
            lane_leaf(
                self.receipt if (at, lane) == (ROUND, LANE)
                else digest("receipt", word(at), word(lane)),
                node,
                at + 1,
            )
            for lane, node in enumerate(owners)
        ]  # fmt: skip

    def _entry(self, at: int) -> RoundEntry:
        root = merkle_root(self._leaves(at))
        return RoundEntry(digest("s", word(at)), root, digest("s", word(at + 1)))

    def commit(self) -> None:
        """Commit all rounds as one epoch."""
        records = [self._entry(at).digest(self.terms.job, 0, at) for at in range(ROUNDS)]
        tally = tuple(lease.lanes * ROUNDS for lease in self.leases)
        root = merkle_root(records)
        move = actions.CommitEpoch(self.coordinator, self.terms, root, ROUNDS, tally)
        self.ground.make(move, "epoch")

    def docket(self) -> bytes:
        """Return what the market admits the receipt by."""
        epoch: Epoch = self.ground.books.jobs[self.terms.job].ring[0]
        records = [self._entry(at).digest(self.terms.job, 0, at) for at in range(ROUNDS)]
        evidence = Evidence(
            round=ROUND,
            entry=self._entry(ROUND),
            path=path_in(records, ROUND),
            lane=LANE,
            receipts=self.receipt,
            node=LANE,
            units=ROUND + 1,
            lane_path=path_in(self._leaves(ROUND), LANE),
            receipt=self.receipt,
            place=0,
            receipt_path=(),
        )
        docket = actions.Docket(self.terms, self.leases, epoch, evidence, self.solver)
        return docket_bytes(docket, self.ground.site, sign)


__all__ = ["BOND", "CHALLENGER", "GRACE", "PRICE", "CourtGround", "DoubtedJob"]
