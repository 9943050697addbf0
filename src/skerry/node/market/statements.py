"""What a node earned and what a job cost, from the chain's log and the node's copy of the runs.

What    `earnings_of` is one node's account, job by job; `invoice_of` is one job, unit by unit.
Why     Money is believed when every line has a reason and the sums are the vault's own integers.
Rule    Both are computed from the log alone and then held to the vault: where they differ by one,
        nothing is shown but that. Nothing is sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from skerry.base.errors import JobError, NodeError
from skerry.chain.bookkeeping import Bookkeeper, Entry
from skerry.chain.deploy import Manifest, connect
from skerry.chain.moves import Site
from skerry.chain.rpc import Rpc
from skerry.messages.market import MarketClaim, MarketWord
from skerry.node.clocks import wall_seconds
from skerry.node.keys import read_seed
from skerry.node.market.board import FolderBoard
from skerry.node.market.desk import (
    KEY_NAME,
    Following,
    blank_lane,
    chain_key,
    joined_orders,
    read_config,
    read_place,
    signers_of,
)
from skerry.node.market.engagement import Engagement
from skerry.node.market.orders import Order, Place
from skerry.roles.course import Course
from skerry.roles.statement import EpochHistory, Statement, UnitLine, statement
from skerry.settle import Job
from skerry.settle.payment import Shares
from skerry.storage import RunFolder
from skerry.verify.audits import POT_BYTES, first_pot

EVENTS_NAME = "statement.events"
_FAULTS = ("AuditorFell", "CoordinatorFell", "Convicted", "Misplaced")


class NoMarket(NodeError):
    """A node's folder has no part in any market."""

    code = "node.market"

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"the node in {home} has never taken part in a market",
            next_step="give the node's folder with --home, or take part with `skerry join`",
        )


class JobUnknown(JobError):
    """A node has no part in a job of that name."""

    code = "job.unknown"

    def __init__(self, text: str, known: Sequence[str]) -> None:
        there = ", ".join(it[:16] for it in known[:4]) or "none"
        super().__init__(
            f"this node has no part in a job {text!r}; it has: {there}",
            next_step="give the first letters of a job's name, as `skerry earnings` shows it",
        )


@dataclass(frozen=True, slots=True)
class JobEarnings:
    """One job in one node's account.

    Attributes:
        job: the job's name.
        roles: what the node is in it.
        units: its units.
        pay: what it was paid for units, audits and records.
        spent: what it paid others, as a submitter.
        found: what it got for finding a fault, or for being harmed by one.
        slashed: what it lost.
        closed: whether the job is over.
        lacking: committed rounds that the node's copy of the run lacks, as one that was killed
            does; its units are not listed then, and all sums are the chain's nonetheless.
    """

    job: bytes
    roles: tuple[str, ...]
    units: tuple[UnitLine, ...]
    pay: int
    spent: int
    found: int
    slashed: int
    closed: bool
    lacking: int = 0

    @property
    def net(self) -> int:
        """What it has more by this job."""
        return self.pay + self.found - self.spent - self.slashed


@dataclass(frozen=True, slots=True)
class Earnings:
    """One node's account.

    Attributes:
        address: whose.
        jobs: job by job.
        other: won or lost outside of these jobs, as the bonds of disputes are.
        deposited: what was put into the vault.
        withdrawn: what was taken out.
        free: what is free now.
        locked: what is locked now.
        exiting: what is set aside now.
    """

    address: bytes
    jobs: tuple[JobEarnings, ...]
    other: int
    deposited: int
    withdrawn: int
    free: int
    locked: int
    exiting: int

    @property
    def earned(self) -> int:
        """What the address has more than it brought, all losses counted."""
        return sum(it.net for it in self.jobs) + self.other

    @property
    def adds_up(self) -> bool:
        """Whether what came in and was earned is what the vault holds and what was taken out."""
        held = self.free + self.locked + self.exiting
        return self.deposited + self.earned == held + self.withdrawn


@dataclass
class Ledgers:
    """The log of one chain as one node reads it, without its keys' outbox.

    Attributes:
        keeper: reads the log.
        address: the node's address.
        place: where chain and board are.
        orders: how it joined each of its jobs.
    """

    keeper: Bookkeeper
    address: bytes
    place: Place
    orders: dict[bytes, Order]

    def close(self) -> None:
        """Let go of the file and the connection."""
        self.keeper.close()
        self.keeper.rpc.close()

    # -- one job

    def statement(self, name: bytes) -> Statement:
        """Return what became of a job's money."""
        job = self.keeper.books.jobs[name]
        it = self._engagement(name, job)
        epochs, settled = history(self.keeper, name)
        altered = frozenset(
            (at, lane)
            for at, work in enumerate(it.course.rounds)
            for lane, done in enumerate(work.lanes)
            if done is None and (at, lane) not in it.dropped and it.lane_receipts(at, lane)
        )
        return statement(
            job,
            it.course,
            epochs,
            settled,
            altered=altered,
            claimed=it.claimed_rounds(),
            dropped=frozenset(it.dropped),
        )

    def _engagement(self, name: bytes, job: Job) -> Engagement:
        order, site = self.orders[name], self._site()
        run = Path(order.run)
        owners = tuple(lease.node for lease in job.leases)
        signers = signers_of(order, job.leases)
        course, blank = Course(job.terms, kept=order.kept), blank_lane(run)
        made = Engagement(course, read_config(run), signers, site, _no_run, owners, blank)
        for record, receipts in Following(name, RunFolder(run)).rounds():
            made.on_round(record, receipts)
        board = FolderBoard(Path(self.place.board))
        for message in (*board.hear(), *board.set_aside_of(name)):
            if isinstance(message, MarketClaim) and message.job == name:
                made.on_claim(message)
            elif isinstance(message, MarketWord) and message.job == name:
                made.on_word(message)
        return made

    def _site(self) -> Site:
        manifest = self.keeper.manifest
        return Site(manifest.chain, manifest.at("market"))

    # -- one node

    def earnings(self) -> Earnings:
        """Return the node's account."""
        me, entries = self.address, self.keeper.entries
        by_job, other = slashes(entries, me)
        jobs = tuple(
            self._job_earnings(job, by_job.get(name, (0, 0)))
            for name, job in self.keeper.books.jobs.items()
            if self._roles(job) or name in by_job
        )
        account = self.keeper.books.account(me)

        def total(what: str) -> int:
            return sum(
                it.said["amount"] for it in entries if it.what == what and it.said["who"] == me
            )

        return Earnings(
            me,
            jobs,
            other,
            total("Deposited"),
            total("Withdrawn"),
            account.free,
            account.locked,
            account.exiting,
        )

    def _roles(self, job: Job) -> tuple[str, ...]:
        terms, me = job.terms, self.address
        parts = (
            ("client", terms.submitter == me),
            ("solver", any(it.node == me for it in job.leases)),
            ("auditor", me in terms.auditors),
            ("coordinator", terms.coordinator == me),
        )
        return tuple(name for name, holds in parts if holds)

    def _job_earnings(self, job: Job, moved: tuple[int, int]) -> JobEarnings:
        me, terms = self.address, job.terms
        _, settled = history(self.keeper, terms.job)
        pay = spent = 0
        for it in settled:
            pay += sum(it.solvers[at] for at, lease in enumerate(job.leases) if lease.node == me)
            pay += sum(it.auditors[at] for at, who in enumerate(terms.auditors) if who == me)
            pay += it.coordinator if terms.coordinator == me else 0
            every = sum(it.solvers) + sum(it.auditors) + it.coordinator
            spent += every if terms.submitter == me else 0
        units: tuple[UnitLine, ...] = ()
        lacking = self.lacking(terms.job) if terms.job in self.orders else 0
        if terms.job in self.orders and not lacking:
            listed = self.statement(terms.job)
            units = tuple(it for it in listed.units if it.node == me)
            if listed.unlisted:  # this copy went its own way
                units, lacking = (), len(listed.units) // terms.lanes
        found, slashed = moved
        return JobEarnings(
            terms.job, self._roles(job), units, pay, spent, found, slashed, job.closed, lacking
        )

    def lacking(self, name: bytes) -> int:
        """Return how many committed rounds of a job this node's copy of the run lacks."""
        epochs, _ = history(self.keeper, name)
        committed = max((it.rounds.stop for it in epochs.values()), default=0)
        folder = RunFolder(Path(self.orders[name].run))
        here = next(at for at in itertools.count() if at >= committed or not folder.read_round(at))
        if here < committed:
            job = self.keeper.books.jobs[name]
            it = self._engagement(name, job)
            it.end_at(max(job.ring.values(), key=lambda epoch: epoch.number))
            here = committed if it.ran is not None else here
        return committed - here


def _no_run() -> NoReturn:
    raise AssertionError("a statement replays nothing")


def history(keeper: Bookkeeper, name: bytes) -> tuple[dict[int, EpochHistory], tuple[Shares, ...]]:
    """Return a job's epochs and settlements as the log tells them."""
    epochs: dict[int, EpochHistory] = {}
    settled = []
    for it in keeper.entries:
        if it.job != name:
            continue
        number = it.said.get("epoch", -1)
        before = epochs.get(number)
        match it.what:
            case "EpochCommitted":
                rounds = range(it.said["round_from"], it.said["round_to"])
                epochs[number] = EpochHistory(number, rounds)
            case "Settled" if "shares" in it.said:
                settled.append(it.said["shares"])
            case "DrawLocked" if before is not None:
                pot = first_pot(name, number, it.said["randomness"])
                epochs[number] = replace(before, pot=pot)
            case "SecretsRevealed" if before is not None:
                pot = it.said["pot"].to_bytes(POT_BYTES, "big")
                epochs[number] = replace(before, pot=pot)
            case "VerdictShown" if before is not None:
                said = it.said["accept"], it.said["trace"]
                verdicts = {**before.verdicts, it.said["seat"]: said}
                epochs[number] = replace(before, verdicts=verdicts)
            case "Convicted" | "Misplaced" if it.said["receipt"] in keeper.claimed:
                there = epochs[keeper.claimed[it.said["receipt"]].epoch]
                lies = there.lies | {it.said["segment"]}
                epochs[there.number] = replace(there, lies=lies)
            case _:
                pass
    return epochs, tuple(settled)


def slashes(entries: Sequence[Entry], me: bytes) -> tuple[dict[bytes, tuple[int, int]], int]:
    """Return what an address found and lost by job, and what it won or lost outside of any."""
    jobs = {it.transaction: it.job for it in entries if it.what in _FAULTS}
    by_job: dict[bytes, tuple[int, int]] = {}
    other = 0
    for it in entries:
        change = it.moved.get(me, 0)
        if it.what != "Slashed" or not change:
            continue
        job = jobs.get(it.transaction)
        if job is None or it.said["amount"] == 0:
            other += change
            continue
        found, lost = by_job.get(job, (0, 0))
        by_job[job] = (found + max(change, 0), lost + max(-change, 0))
    return by_job, other


# ---- from a node's folder ------------------------------------------------------------------------


def open_ledgers(home: Path, rpc_url: str = "") -> Ledgers:
    """Return the log as the node in a folder reads it, compared with the vault.

    Args:
        home: the node's folder.
        rpc_url: another node of the chain than the one that it uses.

    Raises:
        NoMarket: the node never took part in a market.
        ChainError: the chain cannot be used, or the vault holds something else.
    """
    folder = home / "market"
    if not (folder / "place.json").is_file():
        raise NoMarket(home)
    place = read_place(folder)
    manifest = Manifest.read(Path(place.manifest))
    with ExitStack() as opened:
        rpc = Rpc(rpc_url or place.url)
        opened.callback(rpc.close)
        connect(rpc, manifest, now=wall_seconds() if place.clock else None)
        address = chain_key(read_seed(folder / KEY_NAME)).address
        keeper = Bookkeeper(folder / EVENTS_NAME, rpc, manifest)
        opened.callback(keeper.close)
        keeper.catch_up()
        keeper.check([address])
        opened.pop_all()
    return Ledgers(keeper, address, place, joined_orders(folder))


def earnings_of(home: Path, rpc_url: str = "") -> Earnings:
    """Return a node's account."""
    ledgers = open_ledgers(home, rpc_url)
    try:
        return ledgers.earnings()
    finally:
        ledgers.close()


def invoice_of(home: Path, text: str, rpc_url: str = "") -> Statement:
    """Return what became of the money of a job, named by the first letters of its name.

    Raises:
        JobUnknown: the node has no part in such a job, or in several.
    """
    ledgers = open_ledgers(home, rpc_url)
    try:
        known = [name for name in ledgers.orders if name in ledgers.keeper.books.jobs]
        found = [name for name in known if name.hex().startswith(text.removeprefix("0x"))]
        if len(found) != 1:
            raise JobUnknown(text, [it.hex() for it in known])
        ledgers.keeper.check(parties_of(ledgers.keeper.books.jobs[found[0]]))
        return ledgers.statement(found[0])
    finally:
        ledgers.close()


def parties_of(job: Job) -> list[bytes]:
    """Return everyone who has a part in a job."""
    terms = job.terms
    there = [terms.submitter, terms.coordinator, *terms.auditors[: terms.seats]]
    return list(dict.fromkeys([*there, *(it.node for it in job.leases)]))
