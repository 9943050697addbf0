"""The books as a chain tells them: its log, played again by the rules.

What    `Bookkeeper.catch_up` reads new events of vault, market and court and returns an `Entry` for
        each; `books` is then what the contracts hold. `check` compares accounts with the vault's.
Why     Whoever decides needs the whole state, of which the chain keeps hashes only; and a bill
        that was computed by the same rules as the payment adds up to the last unit.
Rule    What an event does not say is taken from the transaction that made it, which therefore has
        to be a plain call of the contract: terms, leases, offers, tallies, verdicts, dockets. Jobs
        awarded in another way are not followed. If the chain takes anything back, all of its log
        is played again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from skerry.chain.abi import contract
from skerry.chain.court_words import Core
from skerry.chain.deploy import Manifest
from skerry.chain.errors import BooksDiffer
from skerry.chain.events import ChainEvent, EventCursor
from skerry.chain.moves import DOCKET, evidence_place
from skerry.chain.reading import award_of, bytes_of, terms_of
from skerry.chain.rpc import Rpc, hexed, unhexed
from skerry.chain.views import view
from skerry.settle import Books, Epoch, Job, Limits, Refused, actions, apply, vault
from skerry.settle.actions import Action
from skerry.settle.books import Audit
from skerry.settle.payment import shares
from skerry.verify.audits import POT_BYTES

WATCHED = ("vault", "market", "court")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event and what it changed.

    Attributes:
        id: the event's number in the cursor.
        time: the second of its block.
        what: its name, as the contract calls it.
        job: the job that it is about; empty for none.
        said: the event's values by name; of a settlement also its `shares`.
        moved: what each party's money changed by: free, locked and set aside together.
        transaction: what made it.
    """

    id: int
    time: int
    what: str
    job: bytes
    said: Mapping[str, Any]
    moved: Mapping[bytes, int]
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """A receipt that the court admitted: the docket, and what it says about the place."""

    docket: bytes
    epoch: int
    round: int
    lane: int


@dataclass
class Bookkeeper:
    """Reads one chain's log into books.

    Attributes:
        rpc: the node.
        manifest: where the contracts are.
        books: the books as of the last `catch_up`.
        entries: everything that happened, in order.
        heard: commitments to verdicts by job and epoch, in the order of their events.
        shown: verdicts that were shown, by job and epoch.
        claimed: what was admitted to court, by receipt.
        bonds: whose bond is locked in each game, and how much.
        fallen: receipts that were convicted.
    """

    path: Path
    rpc: Rpc
    manifest: Manifest
    books: Books = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    heard: dict[tuple[bytes, int], tuple[tuple[int, bytes], ...]] = field(default_factory=dict)
    shown: dict[tuple[bytes, int], tuple[actions.ShowVerdict, ...]] = field(default_factory=dict)
    claimed: dict[bytes, Claimed] = field(default_factory=dict)
    bonds: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    fallen: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        at = {self.manifest.at(name): name for name in WATCHED}
        self._names = at
        self._cursor = EventCursor(self.path, self.rpc, list(at), start=self.manifest.block)
        self._limits = self._read_limits()
        self._times: dict[int, int] = {}
        self._calls: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._start()

    def close(self) -> None:
        """Let go of the file."""
        self._cursor.close()

    def _start(self) -> None:
        self.books = Books(court=self.manifest.at("court"), limits=self._limits)
        self.entries.clear()
        self.heard.clear()
        self.shown.clear()
        self.claimed.clear()
        self.bonds.clear()
        self.fallen.clear()
        self._last = 0

    def _read_limits(self) -> Limits:
        def ask(name: str, function: str) -> int:
            return int(view(self.rpc, self.manifest, name, function)[0])

        return Limits(
            ask("vault", "UNBONDING"),
            ask("market", "PHASE_MIN"),
            ask("market", "WINDOW_MAX"),
            ask("market", "LEASE_MAX"),
        )

    # -- reading

    def catch_up(self) -> list[Entry]:
        """Read what is new and return it; after a reorganisation, return everything again."""
        self._cursor.read()
        new = self._cursor.after(self._last)
        if any(it.takes_back is not None for it in new):
            self._start()
            every = self._cursor.after(0)
            gone = {it.takes_back for it in every}
            new = [it for it in every if it.takes_back is None and it.id not in gone]
            self._last = every[-1].id
        first = len(self.entries)
        for event in new:
            self._last = max(self._last, event.id)
            self._tell(event)
        return self.entries[first:]

    def _time(self, block: int) -> int:
        if block not in self._times:
            head = self.rpc.block(block)
            assert head is not None, "a block with an event is there"
            self._times[block] = int(head["timestamp"], 16)
        return self._times[block]

    def _call(self, transaction: bytes) -> tuple[bytes, bytes, bytes]:
        """Return sender, receiver and calldata of a transaction."""
        if transaction not in self._calls:
            found = self.rpc.ask("eth_getTransactionByHash", hexed(transaction))
            to = unhexed(found["to"]) if found["to"] else b""
            self._calls[transaction] = unhexed(found["from"]), to, unhexed(found["input"])
        return self._calls[transaction]

    def arguments(self, transaction: bytes, name: str, function: str) -> tuple[Any, ...] | None:
        """Return the arguments of a transaction that is a plain call of a contract's function."""
        _, to, data = self._call(transaction)
        found = contract(name).read_call(data) if self._names.get(to) == name else None
        return found[1] if found is not None and found[0] == function else None

    def _tell(self, event: ChainEvent) -> None:
        name = self._names[event.address]
        kind = contract(name).events[event.topics[0]]
        said = {key: bytes_of(value) for key, value in kind.read(event.topics, event.data).items()}
        before = self.books
        told = _Told(self, event, self._time(event.block), said)
        step = _STEPS.get((name, kind.name))
        if step is not None:
            after = step(told)
            self.books = self.books if after is None else after
        job = said.get("job", b"")
        moved = _moved(before, self.books)
        self.entries.append(
            Entry(event.id, told.time, kind.name, job, said, moved, event.transaction)
        )

    # -- checking

    def account_on_chain(self, who: bytes) -> tuple[int, int, int]:
        """Return what the vault says of an account: free, locked and set aside."""
        free, locked, _ = view(self.rpc, self.manifest, "vault", "account", who)
        exiting, _ = view(self.rpc, self.manifest, "vault", "exiting", who)
        return free, locked, exiting

    def check(self, parties: Sequence[bytes]) -> None:
        """Hold the books to what the vault says, for some parties and for what was burned.

        Raises:
            BooksDiffer: they are not the same to the last unit.
        """
        for who in parties:
            account = self.books.account(who)
            ours = (account.free, account.locked, account.exiting)
            theirs = self.account_on_chain(who)
            if ours != theirs:
                raise BooksDiffer(hexed(who), ours, theirs)
        (burned,) = view(self.rpc, self.manifest, "vault", "burned")
        if burned != self.books.burned:
            raise BooksDiffer("what was burned", (self.books.burned,), (burned,))


def _moved(before: Books, after: Books) -> dict[bytes, int]:
    if before.accounts is after.accounts:
        return {}
    found = {}
    for who in {**before.accounts, **after.accounts}:
        old, new = before.account(who), after.account(who)
        if old is not new:
            change = new.free + new.locked + new.exiting - old.free - old.locked - old.exiting
            if change:
                found[who] = change
    return found


# ---- what each event does ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """One event while it is taken into the books."""

    keeper: Bookkeeper
    event: ChainEvent
    time: int
    said: dict[str, Any]

    @property
    def books(self) -> Books:
        return self.keeper.books

    @property
    def job(self) -> Job | None:
        return self.books.jobs.get(self.said["job"])

    @property
    def sender(self) -> bytes:
        return self.keeper._call(self.event.transaction)[0]

    def arguments(self, name: str, function: str) -> tuple[Any, ...] | None:
        return self.keeper.arguments(self.event.transaction, name, function)

    def play(self, action: Action) -> Books | None:
        after = apply(self.books, action, self.time)
        return None if isinstance(after, Refused) else after

    def changed(self, **fields: Any) -> Books | None:
        return None if self.job is None else self.books.with_job(replace(self.job, **fields))

    def with_audit(self, number: int, audit: Audit) -> Books | None:
        if self.job is None:
            return None
        return self.changed(audits={**self.job.audits, number: audit})


def _deposited(it: _Told) -> Books | None:
    return it.play(actions.Deposit(it.said["who"], it.said["amount"]))


def _exiting(it: _Told) -> Books | None:
    return it.play(actions.RequestWithdraw(it.said["who"], it.said["amount"]))


def _withdrawn(it: _Told) -> Books | None:
    return it.play(actions.Withdraw(it.said["who"]))


def _recalled(it: _Told) -> Books | None:
    return it.play(actions.RecallOffers(it.said["who"]))


def _burned(it: _Told) -> Books | None:
    return it.play(actions.Burn(it.sender))


def _slashed(it: _Told) -> Books | None:
    who, amount = it.said["who"], it.said["amount"]
    if it.books.account(who).locked < amount:
        return None  # of a job that is not followed
    return vault.slash(it.books, who, amount, it.said["finder"], it.said["other"])


def _opened(it: _Told) -> Books | None:
    who, bond = it.said["challenger"], Core(*it.said["core"]).bond
    if it.books.account(who).free < bond:
        return None
    it.keeper.bonds[it.said["game"]] = who, bond
    return vault.lock(it.books, who, bond)


def _ended(it: _Told) -> Books | None:
    bond = it.keeper.bonds.pop(it.said["game"], None)
    fell = it.said["receipt"] in it.keeper.fallen
    if it.said["challenger_won"]:
        it.keeper.fallen.add(it.said["receipt"])
    elif not fell:
        return None  # the bond was slashed
    return None if bond is None else vault.settle(it.books, [(bond[0], bond[1], bond[1])])


def _awarded(it: _Told) -> Books | None:
    words = it.arguments("market", "award")
    return None if words is None else it.play(award_of(words, it.sender))


def _epoch(it: _Told) -> Books | None:
    words = it.arguments("market", "commit_epoch")
    if words is None or it.job is None:
        return None
    _, root, rounds, tally = words
    move = actions.CommitEpoch(it.sender, terms_of(words[0]), root, rounds, tuple(tally))
    return it.play(move)


def _locked(it: _Told) -> Books | None:
    if it.job is None:
        return None
    said = it.said
    return it.play(actions.LockDraw(it.sender, it.job.terms, said["epoch"], said["randomness"]))


def _revealed(it: _Told) -> Books | None:
    number = it.said["epoch"]
    audit = it.job.audits.get(number) if it.job else None
    if audit is None:
        return None
    pot = it.said["pot"].to_bytes(POT_BYTES, "big")
    return it.with_audit(number, replace(audit, pot=pot, revealed=it.said["revealed"]))


def _bound(it: _Told) -> Books | None:
    if it.job is None:
        return None
    seat, number, commitment = it.said["seat"], it.said["epoch"], it.said["commitment"]
    key = it.said["job"], number
    it.keeper.heard[key] = (*it.keeper.heard.get(key, ()), (seat, commitment))
    terms = it.job.terms
    return it.play(actions.CommitVerdict(terms.auditors[seat], terms, number, seat, commitment))


def _shown(it: _Told) -> Books | None:
    words = it.arguments("market", "show_verdict")
    if words is None or it.job is None:
        return None
    _, epoch, seat, accept, trace, salt, tag, seats, commitments = words
    heard = tuple(zip(seats, commitments, strict=True))
    said = (epoch, seat, accept, trace, salt, tag, heard)
    move, key = actions.ShowVerdict(it.sender, it.job.terms, *said), (it.said["job"], epoch)
    it.keeper.shown[key] = (*it.keeper.shown.get(key, ()), move)
    return it.play(move)


def _auditor_fell(it: _Told) -> Books | None:
    return it.changed(fallen=it.job.fallen | 1 << it.said["seat"]) if it.job else None


def _rejection(it: _Told) -> Books | None:
    number, seat = it.said["epoch"], it.said["seat"]
    audit = it.job.audits.get(number) if it.job else None
    if it.job is None or audit is None:
        return None
    audited = tuple(count + (at == seat) for at, count in enumerate(it.job.audited))
    audit = replace(audit, counted=audit.counted | 1 << seat)
    return it.changed(audited=audited, audits={**it.job.audits, number: audit})


def _coordinator_fell(it: _Told) -> Books | None:
    return it.changed(coordinator_fallen=True)


def _raised(it: _Told) -> Books | None:
    if it.job is None:
        return None
    node = it.said["node"]
    units = {**it.job.units, node: it.said["units"]}
    return it.changed(units=units, raised=it.job.raised | 1 << node)


def _admitted(it: _Told) -> Books | None:
    words = it.arguments("court", "open")
    if words is not None:
        try:
            (docket,) = decode([DOCKET], words[1])
        except DecodingError:
            docket = None
        if docket is not None:
            epoch, place = docket[3], evidence_place(docket[4])
            it.keeper.claimed[it.said["receipt"]] = Claimed(words[1], epoch[0], *place)
    return it.changed(games=it.job.games + 1) if it.job else None


def _dismissed(it: _Told) -> Books | None:
    return it.changed(games=it.job.games - 1) if it.job else None


def _convicted(it: _Told) -> Books | None:
    if it.job is None:
        return None
    job, claimed = it.job, it.keeper.claimed.get(it.said["receipt"])
    lies = job.lies | {(claimed.epoch, it.said["segment"])} if claimed else job.lies
    return it.changed(
        games=job.games - 1,
        convicted=job.convicted | 1 << it.said["node"],
        lies=lies,
        quiet=it.time + job.terms.phase,
    )


def _misplaced(it: _Told) -> Books | None:
    words = it.arguments("market", "misplace")
    if it.job is None or words is None:
        return None
    (docket,) = decode([DOCKET], words[0])
    claimed = Claimed(words[0], docket[3][0], *evidence_place(docket[4]))
    it.keeper.claimed[it.said["receipt"]] = claimed
    return it.changed(
        convicted=it.job.convicted | 1 << it.said["node"],
        lies=it.job.lies | {(claimed.epoch, it.said["segment"])},
        quiet=it.time + it.job.terms.phase,
    )


def _settled(it: _Told) -> Books | None:
    if it.job is None:
        return None
    epoch: Epoch | None = it.job.ring.get(it.said["epoch"])
    move = actions.Settle(it.sender, it.job.terms, it.job.leases, epoch, it.job.paid)
    it.said["shares"] = shares(it.job, move, it.time)
    return it.play(move)


_STEPS: dict[tuple[str, str], Callable[[_Told], Books | None]] = {
    ("vault", "Deposited"): _deposited,
    ("vault", "Exiting"): _exiting,
    ("vault", "Withdrawn"): _withdrawn,
    ("vault", "Recalled"): _recalled,
    ("vault", "Burned"): _burned,
    ("vault", "Slashed"): _slashed,
    ("court", "Opened"): _opened,
    ("court", "Ended"): _ended,
    ("market", "Awarded"): _awarded,
    ("market", "EpochCommitted"): _epoch,
    ("market", "DrawLocked"): _locked,
    ("market", "SecretsRevealed"): _revealed,
    ("market", "VerdictCommitted"): _bound,
    ("market", "VerdictShown"): _shown,
    ("market", "AuditorFell"): _auditor_fell,
    ("market", "RejectionCounted"): _rejection,
    ("market", "CoordinatorFell"): _coordinator_fell,
    ("market", "TallyRaised"): _raised,
    ("market", "Admitted"): _admitted,
    ("market", "Dismissed"): _dismissed,
    ("market", "Convicted"): _convicted,
    ("market", "Misplaced"): _misplaced,
    ("market", "Settled"): _settled,
}
