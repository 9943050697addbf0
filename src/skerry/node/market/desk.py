"""A market actor over a run's folder, and the process in which it runs.

What    `open_desk` makes an actor of a folder, a chain and a board. `python -m
        skerry.node.market.desk FOLDER` runs one that is told what to do by lines of JSON.
Why     Parties of a job must share nothing but the chain, the board and what a run publishes.
Rule    Its folder holds one secret, made silently and readable by its owner alone: the chain key
        and all audit secrets come from it. It answers each line with one line. Killed and started
        again in the same folder, it goes on.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from skerry.base.digests import digest
from skerry.base.errors import SkerryError
from skerry.chain.bookkeeping import Bookkeeper
from skerry.chain.courthouse import CourtLog
from skerry.chain.deploy import Manifest, clock_skew, connect, recognise
from skerry.chain.errors import ChainFileUnwritable, ClockSkew
from skerry.chain.keyfiles import ChainKey
from skerry.chain.localnet import give
from skerry.chain.origin import check_origin
from skerry.chain.outbox import Outbox
from skerry.chain.rpc import Rpc
from skerry.commit.tensors import tensor_digest
from skerry.market import Lease
from skerry.market.offers import Offer, Role
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.messages.wire import decode_as
from skerry.node.clocks import RealClock, wall_seconds
from skerry.node.keys import read_seed
from skerry.node.market.actor import MarketActor, Ticked
from skerry.node.market.awarding import award, confirm
from skerry.node.market.board import FolderBoard
from skerry.node.market.orders import JOINED, PLACE_NAME, Asked, Order, Place, Said
from skerry.node.market.wallet import Wallet
from skerry.program import from_bytes
from skerry.storage import RunFolder, make_folder, read_file, write_file

if TYPE_CHECKING:
    from skerry.node.past import PastRun

KEY_NAME = "market.key"
OUTBOX_NAME, EVENTS_NAME, COURT_NAME = "market.outbox", "market.events", "court.events"
ACCOUNTS_MAX = 4096


@dataclass
class Following:
    """A run that a desk follows."""

    job: bytes
    folder: RunFolder
    next: int = 0

    def rounds(self) -> Iterator[tuple[RoundRecord, list[list[Receipt]]]]:
        """Yield the rounds that were not told yet, each with its lanes' receipts."""
        while data := self.folder.read_round(self.next):
            record = decode_as(RoundRecord, data)
            found = [self._receipts(record.round, lane) for lane in range(len(record.lanes))]
            self.next += 1
            yield record, found

    def _receipts(self, at: int, lane: int) -> list[Receipt]:
        paths = sorted((self.folder.root / "receipts").glob(f"{at:08d}-{lane:04d}-*.receipt"))
        return [decode_as(Receipt, read_file(path)) for path in paths]


@dataclass
class Desk:
    """An actor, and the runs that it follows."""

    folder: Path
    actor: MarketActor
    backend: str
    clock: bool
    followed: list[Following] = field(default_factory=list)
    standing: dict[Role, Asked] = field(default_factory=dict)
    told: dict[Role, Offer] = field(default_factory=dict)

    def join(self, order: Order) -> None:
        """Take part in a job over a run's folder, now and whenever this desk is opened."""
        self.keep_order(order)
        self._join(order)

    def keep_order(self, order: Order) -> None:
        """Keep how a job was joined, for whoever opens this desk or reads its bills."""
        write_file(self.folder / JOINED / f"{order.job}.json", msgspec.json.encode(order))

    def rejoin(self) -> None:
        """Go on with every job that is not closed."""
        self.actor.keeper.catch_up()
        for job, order in joined_orders(self.folder).items():
            state = self.actor.keeper.books.jobs.get(job)
            if state is not None and not state.closed:
                self._join(order)

    def _join(self, order: Order) -> None:
        if any(it.job.hex() == order.job for it in self.followed):
            return
        job, run = bytes.fromhex(order.job), Path(order.run)
        data = Path(order.data) if order.data else None
        self.actor.keeper.catch_up()
        leases = self.actor.keeper.books.jobs[job].leases
        signers = signers_of(order, leases)
        lies = {bytes.fromhex(name): text for name, text in order.lies.items()}
        self.actor.lies = {**self.actor.lies, **lies}
        config, blank = read_config(run), blank_lane(run)
        opened = partial(self._open, run, data)
        self.actor.on_lease(job, config, signers, opened, blank, order.kept)
        self.followed.append(Following(job, RunFolder(run)))

    def _open(self, run: Path, data: Path | None) -> PastRun:
        from skerry.node.past import PastRun  # loads torch, which few parties need

        return PastRun.open(run, data, self.backend)

    def follow(self) -> None:
        """Tell the actor of rounds that were recorded meanwhile."""
        for it in self.followed:
            for record, receipts in it.rounds():
                self.actor.on_round(it.job, record, receipts)

    def tick(self) -> tuple[Ticked, ClockSkew | None]:
        """Follow the runs, make every move that is due, and keep the standing offers good.

        Where this machine's clock is too far from the chain's, the chain's alone counts.
        """
        self.follow()
        now = wall_seconds() if self.clock else 0
        skew = clock_skew(self.actor.wallet.rpc, now) if now else None
        ticked = self.actor.tick(0 if skew else now)
        self.renew()
        return ticked, skew

    def renew(self) -> None:
        """Sign each standing offer anew once it was used, or half of its time is over."""
        if not self.standing:
            return
        now, leases = self.actor.wallet.now(), self.actor.keeper.books.account(self.actor.me).leases
        for role, asked in self.standing.items():
            last = self.told.get(role)
            if last is None or last.nonce != leases or last.expires - now < asked.lasts // 2:
                self.told[role] = self.actor.offer(asked)

    def stock(self, wanted: int) -> None:
        """Put into the vault what all this node's money in it lacks of an amount."""
        self.actor.keeper.catch_up()
        account = self.actor.keeper.books.account(self.actor.me)
        lacking = wanted - account.free - account.locked - account.exiting
        if lacking > 0:
            self.actor.fund(account.free + lacking)

    def accounts(self) -> tuple[str, ...]:
        """Return who has money in the vault, the richest first, up to a limit."""
        self.actor.keeper.catch_up()
        held = {
            who: it.free + it.locked + it.exiting
            for who, it in self.actor.keeper.books.accounts.items()
        }
        richest = sorted((it for it in held if held[it]), key=lambda it: (-held[it], it))
        return tuple(it.hex() for it in richest[:ACCOUNTS_MAX])

    def closed(self) -> bool:
        """Return whether every job that it takes part in is closed."""
        jobs = self.actor.keeper.books.jobs
        return bool(self.followed) and all(jobs[it.job].closed for it in self.followed)

    def over(self, jobs: Sequence[str]) -> tuple[str, ...]:
        """Return those of some jobs that are closed."""
        known = self.actor.keeper.books.jobs
        return tuple(it for it in jobs if (job := known.get(bytes.fromhex(it))) and job.closed)

    def close(self) -> None:
        """Let go of all files."""
        self.actor.wallet.outbox.close()
        self.actor.keeper.close()
        self.actor.log.close()
        self.actor.wallet.rpc.close()


def read_place(folder: Path) -> Place:
    """Return where the desk in a folder works."""
    return msgspec.json.decode((folder / PLACE_NAME).read_bytes(), type=Place)


def joined_orders(folder: Path) -> dict[bytes, Order]:
    """Return how the desk in a folder joined each of its jobs."""
    paths = sorted((folder / JOINED).glob("*.json"))
    orders = [msgspec.json.decode(path.read_bytes(), type=Order) for path in paths]
    return {bytes.fromhex(order.job): order for order in orders}


def signers_of(order: Order, leases: Sequence[Lease]) -> dict[bytes, int]:
    """Return the lease of each node, by the public key that signs its receipts."""
    at = {lease.node.hex(): number for number, lease in enumerate(leases)}
    return {bytes.fromhex(key): at[who] for key, who in order.signers.items() if who in at}


def read_config(run: Path) -> RunConfig:
    """Return the terms of the run in a folder."""
    return decode_as(RunConfig, read_file(run / "run.config"))


def blank_lane(run: Path) -> dict[str, bytes]:
    """Return the tensor digests of a lane's state before its first round, which is all zeros."""
    config = read_config(run)
    if config.exchange != "local":
        return {}
    found: dict[str, bytes] = {}
    for name in ("step", "encode"):
        for port in from_bytes(read_file(run / "programs" / f"{name}.skp")).inputs:
            if port.role == "state" and port.name not in (*found, "params"):
                zeros = bytes(port.type.size_bytes)
                found[port.name] = tensor_digest(port.type.dtype, port.type.shape, zeros)
    return found


def chain_key(seed: bytes) -> ChainKey:
    """Return the chain key that comes from a node's market secret."""
    return ChainKey(digest("chain-key", seed))


def open_desk(folder: Path, place: Place) -> Desk:
    """Return the desk of a folder.

    Raises:
        ChainError: the chain cannot be used, or its clock is too far from this machine's.
        KeyUnsafe: the secret's file is damaged, or others can read it.
    """
    make_folder(folder / JOINED)
    write_file(folder / PLACE_NAME, msgspec.json.encode(place))
    manifest = Manifest.read(Path(place.manifest))
    with ExitStack() as opened:
        rpc = Rpc(place.url)
        opened.callback(rpc.close)
        connect(rpc, manifest, now=wall_seconds() if place.clock else None)
        check_origin(rpc, manifest)
        seed = read_seed(folder / KEY_NAME)
        key = chain_key(seed)
        outbox = Outbox(folder / OUTBOX_NAME, rpc, key, RealClock(), chain=manifest.chain)
        opened.callback(outbox.close)
        keeper = Bookkeeper(folder / EVENTS_NAME, rpc, manifest)
        opened.callback(keeper.close)
        log = CourtLog(folder / COURT_NAME, rpc, manifest)
        opened.callback(log.close)
        wallet = Wallet(rpc, key, outbox, manifest)
        board = FolderBoard(Path(place.board))
        actor = MarketActor(wallet, keeper, board, seed, log, fetches=place.fetches)
        desk = Desk(folder, actor, place.backend, place.clock)
        desk.rejoin()
        opened.pop_all()
    return desk


def _asked(order: Order) -> Asked:
    return Asked(Role(order.role), order.price, order.stake, order.lanes)


def obey(desk: Desk, order: Order) -> Said:
    """Do what a line asks, if the chain is still the one that has the contracts."""
    actor = desk.actor
    recognise(actor.wallet.rpc, actor.wallet.manifest, ("market",))
    address = actor.me.hex()
    match order.do:
        case "faucet":
            give(actor.wallet.rpc, actor.wallet.manifest, actor.me, order.amount)
        case "stock":
            desk.stock(order.amount)
        case "fund":
            actor.fund(order.amount)
        case "stand":
            desk.standing[Role(order.role)] = _asked(order)
            desk.renew()
        case "offer":
            actor.offer(_asked(order))
        case "accounts":
            return Said(address, accounts=desk.accounts())
        case "over":
            return Said(address, over=desk.over(order.jobs))
        case "list":
            actor.wallet.list_at(order.endpoint)
        case "award":
            assert order.asking is not None, "an award needs terms"
            job = award(actor, read_config(Path(order.run)), order.asking)
            return Said(address, job.hex())
        case "confirm":
            confirm(actor, order)
        case "join":
            desk.join(order)
        case "end":
            actor.on_end(bytes.fromhex(order.job))
        case "leave":
            actor.leaves = True
        case "tick":
            ticked, skew = desk.tick()
            wanted = {job.hex(): tuple(map(bytes.hex, it)) for job, it in ticked.wanted.items()}
            said = Said(address, "", ticked.moves, ticked.wake, desk.closed(), wanted)
            if skew is None:
                return said
            return msgspec.structs.replace(said, warns=skew.message, next_step=skew.next_step)
        case _:
            pass
    return Said(address)


def refused(error: SkerryError) -> Said:
    """Return an error as a desk says it."""
    return Said(error=error.code, why=error.message, next_step=error.next_step)


def main() -> None:
    """Say who this is, or why it cannot be; then obey lines until the end of the input."""
    folder = Path(sys.argv[1])
    place = read_place(folder)
    try:
        desk = open_desk(folder, place)
    except SkerryError as error:
        print(msgspec.json.encode(refused(error)).decode(), flush=True)
        sys.exit(error.exit_code)
    print(msgspec.json.encode(Said(desk.actor.me.hex())).decode(), flush=True)
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        try:
            said = obey(desk, order)
        except SkerryError as error:
            said = refused(error)
        except sqlite3.OperationalError as error:  # a full disk; what is sent was written before
            said = refused(ChainFileUnwritable(folder, str(error)))
        print(msgspec.json.encode(said).decode(), flush=True)
        if order.do == "quit":
            break
    desk.close()


if __name__ == "__main__":
    main()
