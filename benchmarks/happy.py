"""Gas of a job without a dispute: 6 nodes, 10 rounds, one award, on a real node.

What    A submitter, six solvers, two auditors and a coordinator take a job from the award to the
        last payment on anvil with Prague's prices and the bound on one transaction's gas. Every
        figure is a receipt's. `gas_happy` is all of it but deposits and withdrawals, which are
        listed apart, as is what deploying costs. The rules make every move beside the contracts,
        and in the end every account must hold what they say.
Units   gas. `slope_per_lane` is the difference between the largest and the smallest job, per lane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from eth_account import Account

from skerry.base.digests import EMPTY, digest, merkle_root, word
from skerry.chain.abi import contract
from skerry.chain.anvil import CHAIN, Anvil
from skerry.chain.deploy import made_address, money
from skerry.chain.keyfiles import ChainKey
from skerry.chain.moves import Call, Site, call_of
from skerry.chain.rpc import Json, Rpc, hexed, unhexed
from skerry.market.offers import NOBODY, Offer, Role, TypedData
from skerry.market.terms import Lease, Terms, lease_hash
from skerry.settle import Books, Epoch, Limits, actions, apply
from skerry.settle.records import RoundEntry, lane_leaf
from skerry.verify.audits import seal, secret_of, verdict_commitment

NODES, ROUNDS, AUDITORS = 6, 10, 2
LIMITS = Limits(unbonding=14 * 86_400, phase_min=60, window_max=7 * 86_400, lease_max=366 * 86_400)
PHASE, WINDOW = 3_600, 6 * 3_600
FUNDS, PRICE, STAKE = 10**12, 2 * 10**6, 10**9
COURT = bytes(19) + b"\x01"


def party(number: int) -> ChainKey:
    """Return the key of one party; its bytes are fixed, so that gas is too."""
    return ChainKey(bytes(Account.from_key(sha256(b"party" + word(number)).digest()).key))


@dataclass
class Ground:
    """A node with token, vault and market on it, and the rules' books beside them."""

    rpc: Rpc
    at: dict[str, bytes] = field(default_factory=dict)
    gas: Counter[str] = field(default_factory=Counter)
    books: Books = field(default_factory=lambda: Books(court=COURT, limits=LIMITS))
    now: int = 1_800_000_000

    def __post_init__(self) -> None:
        self.rpc.ask("anvil_autoImpersonateAccount", True)
        deployer = party(99).address
        self.rpc.ask("anvil_setBalance", hexed(deployer), hex(10**24))
        plan = money(LIMITS, court=COURT)
        self.at = {step.name: made_address(deployer, at) for at, step in enumerate(plan)}
        for step in plan:
            code = contract(step.name).creation(*step.arguments(self.at))
            receipt = self._transact(deployer, None, code)
            self.gas[f"deploy {step.name}"] = int(receipt["gasUsed"], 16)
        self.now += 60

    @property
    def site(self) -> Site:
        """Where signatures are good."""
        return Site(CHAIN, self.at["market"])

    def _transact(self, sender: bytes, to: bytes | None, data: bytes) -> Json:
        fields = {"from": hexed(sender), "data": hexed(data), "gas": hex(1 << 24)}
        if to is not None:
            fields["to"] = hexed(to)
        name = self.rpc.ask("eth_sendTransaction", fields)
        # The node answers before it has mined.
        asked = (self.rpc.receipt(unhexed(name)) for _ in range(10_000))
        receipt = next(it for it in asked if it is not None)
        assert receipt["status"] == "0x1", self.rpc.ask("debug_traceTransaction", name)[
            "returnValue"
        ]
        return receipt

    def send(self, sender: bytes, call: Call, label: str) -> Json:
        """Make a call at the present second and note its gas."""
        self.rpc.ask("evm_setNextBlockTimestamp", self.now)
        data = contract(call.contract).call(call.function, *call.arguments)
        receipt = self._transact(sender, self.at[call.contract], data)
        self.gas[label] += int(receipt["gasUsed"], 16)
        return receipt

    def make(self, action: actions.Action, label: str) -> None:
        """Make a move by the contracts and by the rules."""
        self.now += 1
        receipt = self.send(action.sender, call_of(action, self.site, sign), label)
        if isinstance(action, actions.LockDraw):
            block = self.rpc.block(int(receipt["blockNumber"], 16))
            assert block is not None
            action = actions.LockDraw(
                action.sender, action.terms, action.epoch, unhexed(block["mixHash"])
            )
        after = apply(self.books, action, self.now)
        assert isinstance(after, Books), (action, after)
        self.books = after

    def check(self) -> None:
        """Hold every account on the chain to the rules' books."""
        vault = contract("vault")
        for who, account in self.books.accounts.items():
            found = self.rpc.call(self.at["vault"], vault.call("account", who))
            named = (account.free, account.locked, account.leases)
            assert vault.result("account", found) == named, who.hex()


_KEYS: dict[bytes, ChainKey] = {}


def key_of(number: int) -> bytes:
    """Return the address of a party, and remember its key."""
    key = party(number)
    _KEYS[key.address] = key
    return key.address


def sign(signer: bytes, message: TypedData) -> bytes:
    """Return the signature that one of the parties makes."""
    return _KEYS[signer].sign(message)


@dataclass
class HappyJob:
    """One job from the award to the end."""

    ground: Ground
    lanes: int
    epochs: int = 1

    def __post_init__(self) -> None:
        self.submitter, self.coordinator = key_of(0), key_of(1)
        self.solvers = [key_of(10 + it) for it in range(NODES)]
        self.auditors = [key_of(20 + it) for it in range(AUDITORS)]
        self.roots = [sha256(b"secret" + word(it)).digest() for it in range(AUDITORS)]
        each, more = divmod(self.lanes, NODES)
        self.leases = tuple(
            Lease(node, each + (at < more), PRICE, STAKE) for at, node in enumerate(self.solvers)
        )
        sealed = [seal(root, self.epochs) for root in self.roots]
        self.terms = Terms(
            spec=digest("spec", word(self.lanes), word(self.epochs)),
            leases=lease_hash(self.leases),
            submitter=self.submitter,
            coordinator=self.coordinator,
            auditors=(self.auditors[0], self.auditors[1], NOBODY, NOBODY),
            secrets=(sealed[0], sealed[1], EMPTY, EMPTY),
            price_max=PRICE,
            price_audit=PRICE,
            price_record=PRICE,
            stake_solver=STAKE,
            stake_auditor=STAKE,
            stake_coordinator=STAKE,
            capability=1,
            nodes=NODES,
            lanes=self.lanes,
            rounds=ROUNDS,
            epochs=self.epochs,
            segments=8,
            draws=9,
            delay=60,
            phase=PHASE,
            window=WINDOW,
            ends=self.ground.now + 30 * 86_400,
            clock=6 * 3_600,
        )

    def everyone(self) -> list[bytes]:
        """Return all parties."""
        return [self.submitter, self.coordinator, *self.solvers, *self.auditors]

    def fund(self) -> None:
        """Give everyone coins and tokens, and let the vault have the tokens."""
        ground = self.ground
        for who in self.everyone():
            ground.rpc.ask("anvil_setBalance", hexed(who), hex(10**24))
            ground.send(who, Call("token", "mint", (who, FUNDS)), "test tokens")
            ground.now += 1
            limit = Call("token", "approve", (ground.at["vault"], FUNDS))
            ground.send(who, limit, "deposits")
            ground.make(actions.Deposit(who, FUNDS), "deposits")
            ground.now += 1

    def award(self) -> None:
        """Award the job from everyone's signed offers."""
        job = self.ground.books

        def offer(node: bytes, role: Role, secret: bytes = EMPTY) -> actions.SignedOffer:
            expires = self.terms.ends
            lanes = self.lanes if role == Role.SOLVER else 0
            terms = (1, lanes, PRICE, STAKE, expires, 31 * 86_400, job.account(node).leases)
            return actions.SignedOffer(Offer(node, role, *terms, secret), node)

        offers = [offer(it, Role.SOLVER) for it in self.solvers]
        offers += [
            offer(it, Role.AUDITOR, self.terms.secrets[at]) for at, it in enumerate(self.auditors)
        ]
        offers.append(offer(self.coordinator, Role.COORDINATOR))
        award = actions.Award(self.submitter, self.terms, self.leases, tuple(offers))
        self.ground.make(award, "award")

    def commit(self) -> None:
        """Commit the next epoch's rounds."""
        job = self.ground.books.jobs[self.terms.job]
        rounds = ROUNDS // self.epochs
        span = range(job.rounds, job.rounds + rounds)
        owners = [at for at, lease in enumerate(self.leases) for _ in range(lease.lanes)]
        records = []
        for at in span:
            leaves = [
                lane_leaf(digest("receipt", word(at), word(lane)), node, at + 1)
                for lane, node in enumerate(owners)
            ]
            entry = RoundEntry(
                digest("s", word(at)), merkle_root(leaves), digest("s", word(at + 1))
            )
            records.append(entry.digest(self.terms.job, job.epochs, at))
        tally = tuple(lease.lanes * span.stop for lease in self.leases)
        root = merkle_root(records)
        move = actions.CommitEpoch(self.coordinator, self.terms, root, rounds, tally)
        self.ground.make(move, "epoch")

    def audit(self, epoch: Epoch) -> None:
        """Play the audit of one epoch."""
        ground, terms, number = self.ground, self.terms, epoch.number
        ground.now = max(ground.now, epoch.committed + 60)
        first = self.auditors[0]
        ground.make(actions.LockDraw(first, terms, number, EMPTY), "audit: lock draw")
        secrets = tuple(
            (at, secret_of(root, self.epochs, number)) for at, root in enumerate(self.roots)
        )
        ground.make(actions.RevealSecrets(first, terms, number, secrets), "audit: open secrets")
        ground.now = epoch.committed + 2 * PHASE
        trace = digest("trace", word(number))
        heard = []
        for seat, who in enumerate(self.auditors):
            salt = digest("salt", word(seat), word(number))
            commitment = verdict_commitment(
                terms.job, number, who, accept=True, trace=trace, salt=salt
            )
            heard.append((seat, commitment))
            move = actions.CommitVerdict(who, terms, number, seat, commitment)
            ground.make(move, "audit: commit verdicts")
        ground.now = epoch.committed + 3 * PHASE
        for seat, who in enumerate(self.auditors):
            salt = digest("salt", word(seat), word(number))
            said = (True, trace, salt, digest("tag", word(seat)))
            show = actions.ShowVerdict(who, terms, number, seat, *said, tuple(heard))
            ground.make(show, "audit: show verdicts")

    def run(self) -> dict[str, int]:
        """Take the job to its end and return its gas by what it went into."""
        ground = self.ground
        before = Counter(ground.gas)
        self.award()
        for _ in range(self.epochs):
            ground.now += 3_600
            self.commit()
            job = ground.books.jobs[self.terms.job]
            self.audit(job.ring[job.epochs - 1])
        job = ground.books.jobs[self.terms.job]
        last = job.ring[job.epochs - 1]
        ground.now = last.committed + WINDOW
        settle = actions.Settle(self.submitter, self.terms, self.leases, last, job.paid)
        ground.make(settle, "settle")
        ground.check()
        assert ground.books.jobs[self.terms.job].closed
        return dict(ground.gas - before)

    def leave(self) -> None:
        """Let everyone take everything out."""
        ground = self.ground
        for who in self.everyone():
            ground.make(actions.RequestWithdraw(who, ground.books.account(who).free), "withdrawals")
        ground.now += LIMITS.unbonding
        for who in self.everyone():
            ground.make(actions.Withdraw(who), "withdrawals")


def run(*, quick: bool, note: Callable[[str], None]) -> dict[str, Any]:
    """Run the job at several numbers of lanes, and with its rounds in more epochs."""
    sizes = (6, 96) if quick else (6, 24, 96, 1_536)
    totals: dict[int, int] = {}
    parts: dict[str, int] = {}
    with Anvil(repeatable=True) as anvil:
        rpc = Rpc(anvil.url)
        ground = Ground(rpc)
        deployed = dict(ground.gas)
        HappyJob(ground, 6).fund()
        for lanes in sizes:
            found = HappyJob(ground, lanes).run()
            totals[lanes] = sum(found.values())
            parts = parts or found
            note(f"{lanes:5} lanes  {totals[lanes]:9} gas")
        batches = {}
        for epochs in (2,) if quick else (2, 5, 10):
            batches[epochs] = sum(HappyJob(ground, 12, epochs).run().values())
            note(f"{epochs:5} epochs {batches[epochs]:9} gas")
        HappyJob(ground, 6).leave()
        rpc.close()
    for name, gas in parts.items():
        note(f"{name:24} {gas:9}")
    span = max(sizes) - min(sizes)
    return {
        "gas_happy": totals[min(sizes)],
        "gas_by_part": parts,
        "gas_by_lanes": totals,
        "slope_per_lane": (totals[max(sizes)] - totals[min(sizes)]) / span,
        "gas_by_epochs": {1: totals[min(sizes)], **batches},
        "gas_apart": {
            "deposits": ground.gas["deposits"],
            "withdrawals": ground.gas["withdrawals"],
            **deployed,
        },
        "nodes": NODES,
        "rounds": ROUNDS,
        "pricing": "prague, transaction gas limit on, anvil 1.7.1",
    }
