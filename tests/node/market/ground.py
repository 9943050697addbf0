"""A market for tests: a real chain whose time stands still, a run of a tiny job, its parties."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from skerry.base.chance import Chance
from skerry.chain.abi import contract
from skerry.chain.anvil import Anvil
from skerry.chain.bookkeeping import Bookkeeper, Entry
from skerry.chain.courthouse import CourtTerms, court_steps
from skerry.chain.deploy import Manifest, deploy
from skerry.chain.keyfiles import ChainKey
from skerry.chain.outbox import Outbox
from skerry.chain.rpc import Rpc, hexed
from skerry.market.offers import Role
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RoundRecord
from skerry.messages.signing import sign, signed_digest
from skerry.messages.wire import decode_as, encode
from skerry.node.clocks import RealClock
from skerry.node.dispute import draw_lie, party_of, read_receipt, receipt_of_party
from skerry.node.keys import load_key
from skerry.node.market.desk import Desk, obey, open_desk
from skerry.node.market.orders import Order, Place, Said
from skerry.node.past import PastRun
from skerry.roles.client import Asking
from skerry.settle import Job, Limits
from skerry.storage import RunFolder
from tests.node.small import local_job
from tests.node.within import Within

LIMITS = Limits(unbonding=1_000, phase_min=60, window_max=100_000, lease_max=1_000_000)
COINS = 10**24
TOKENS = 10**9
ASKING = Asking(
    price_max=2_000, price_audit=1_500, price_record=100, auditors=2, epoch_rounds=2, draws=8,
    delay=60, phase=600, seconds=100_000, clock=600,
)  # fmt: skip
ROUNDS, LANES, SOLVERS = 4, 4, 4


def small_run(folder: Path, **changes: Any) -> Path:
    """Run a tiny job with one worker for each solver."""
    job = local_job(rounds=ROUNDS, lanes=LANES, segments=3, **changes)
    Within(job, folder, workers=SOLVERS).run()
    return folder


def signer_keys(run: Path) -> list[bytes]:
    """Return the public keys of the run's workers."""
    paths = sorted((run / "keys").glob("worker-*.key"))
    return [load_key(path)[0] for path in paths]


def plant_lie(run: Path, at: int, lane: int, seed: int = 1) -> tuple[bytes, str, bytes]:
    """Let the worker of a lane have lied; return the false receipt's name, the lie, and its key."""
    past = PastRun.open(run, backend="torch")
    path = past.folder.receipt_path(at, lane, "step")
    true = read_receipt(path)
    own = next(it for it in (run / "keys").glob("worker-*.key") if load_key(it)[0] == true.signer)
    key, by = load_key(own)
    for turn in range(seed, seed + 40):
        lie = draw_lie(past, true, Chance.from_int(turn))
        false = receipt_of_party(past, party_of(past, true.unit, lie), key, by)
        if false.state_after != true.state_after:
            break
    else:
        raise AssertionError("every lie vanished on the way to the end of its unit")
    # What it sends on starts where it says that it ended, or everybody would see it.
    exchange = read_receipt(past.folder.receipt_path(at, lane, "encode"))
    unit = msgspec.structs.replace(exchange.unit, state=false.state_after)
    linked = sign(msgspec.structs.replace(exchange, unit=unit), by)
    write_receipt(run, at, lane, true, false)
    write_receipt(run, at, lane, exchange, linked)
    return signed_digest(false), str(lie), true.signer


def write_receipt(run: Path, at: int, lane: int, true: Receipt, false: Receipt) -> None:
    """Put another receipt in the place of one, and into the round's record."""
    folder = RunFolder(run)
    data = folder.read_round(at)
    assert data is not None
    record = decode_as(RoundRecord, data)
    names = [signed_digest(false) if it == signed_digest(true) else it
             for it in record.lanes[lane].receipts]  # fmt: skip
    lanes = list(record.lanes)
    lanes[lane] = msgspec.structs.replace(lanes[lane], receipts=tuple(names))
    changed = msgspec.structs.replace(record, lanes=tuple(lanes))
    folder.write_round(at, encode(changed))
    kind = "step" if true.unit.segments > 1 else "encode"
    folder.receipt_path(at, lane, kind).write_bytes(encode(false))


class InProcess:
    """A party within this process."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder, self.place = folder, place
        self.desk: Desk = open_desk(folder, place)

    def ask(self, order: Order) -> Said:
        return obey(self.desk, order)

    def restart(self) -> None:
        self.close()
        self.desk = open_desk(self.folder, self.place)

    def close(self) -> None:
        self.desk.close()


class OutOfProcess:
    """A party that is a process of its own."""

    def __init__(self, folder: Path, place: Place) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "place.json").write_bytes(msgspec.json.encode(place))
        self.folder = folder
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "skerry.node.market.desk", str(self.folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert not self.hear().error

    def ask(self, order: Order) -> Said:
        self.say(order)
        return self.hear()

    def say(self, order: Order) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self.process.stdin.flush()

    def hear(self) -> Said:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the party's process ended"
        return msgspec.json.decode(line, type=Said)

    def kill(self) -> None:
        self.process.kill()
        self._gather()

    def close(self) -> None:
        self._gather()

    def _gather(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


Party = InProcess | OutOfProcess


@dataclass
class Market:
    """A chain, a run and all parties of one job."""

    folder: Path
    run: Path
    asking: Asking = ASKING
    auditors: int = 2
    kind: Callable[[Path, Place], Party] = InProcess
    lies: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    parties: dict[str, Party] = field(default_factory=dict)
    addresses: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    job: bytes = b""

    def open(self) -> None:
        """Start the chain, deploy, start and fund everyone, sign offers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.anvil = Anvil(repeatable=True)
        self.rpc = Rpc(self.anvil.url)
        path = self.folder / "manifest.json"
        self.manifest = self._deploy()
        self.manifest.write(path)
        self.place = Place(
            self.anvil.url, str(path), str(self.folder / "board"), backend="torch", clock=False
        )
        for name in self.names:
            party = self.kind(self.folder / name / "market", self.place)
            self.parties[name] = party
            self.addresses[name] = bytes.fromhex(party.ask(Order("hello")).address)
            self.rpc.ask("anvil_setBalance", hexed(self.addresses[name]), hexed(COINS))
            self._mint(self.addresses[name])
            self.must(name, Order("fund", amount=TOKENS))
        for name in self.names:
            for role in (Role.SOLVER, Role.AUDITOR, Role.COORDINATOR):
                if name.startswith(role.name.lower()):
                    order = Order("offer", role=int(role), price=100, stake=TOKENS, lanes=1)
                    self.must(name, order)

    @property
    def names(self) -> list[str]:
        solvers = [f"solver-{at}" for at in range(SOLVERS)]
        auditors = [f"auditor-{at}" for at in range(self.auditors)]
        return ["client", *solvers, *auditors, "coordinator"]

    def _deploy(self) -> Manifest:
        key = ChainKey(b"\x07" * 32)
        self.minter = key
        self.rpc.ask("anvil_setBalance", hexed(key.address), hexed(COINS))
        outbox = Outbox(self.folder / "deployer", self.rpc, key, RealClock(), chain=31337)
        plan = court_steps(LIMITS, CourtTerms(bond=30_001, grace=60))
        made = deploy(outbox, plan, mine=lambda: None)
        self._sender = outbox
        return made

    def _mint(self, who: bytes) -> None:
        data = contract("token").call("mint", who, TOKENS)
        self._sender.send(f"mint {who.hex()}", self.manifest.at("token"), data)
        while self._sender.find(f"mint {who.hex()}").state == "sent":  # type: ignore[union-attr]
            self._sender.look_after()

    def must(self, name: str, order: Order) -> Said:
        said = self.parties[name].ask(order)
        assert not said.error, (name, said.error)
        return said

    def award(self) -> None:
        """Award the run, and let everyone join."""
        said = self.must("client", Order("award", run=str(self.run), asking=self.asking))
        self.job = bytes.fromhex(said.job)
        for name in self.names:
            self.join(name)

    def join(self, name: str) -> None:
        keys = signer_keys(self.run)
        signers = {key.hex(): self.addresses[f"solver-{at}"].hex() for at, key in enumerate(keys)}
        mine = {
            it.hex(): lie
            for it, (lie, key) in self.lies.items()
            if signers[key.hex()] == self.addresses[name].hex()
        }
        self.must(
            name,
            Order("join", job=self.job.hex(), run=str(self.run), signers=signers, lies=mine),
        )

    # -- time

    def turn(self) -> int | None:
        """Let everyone move until nobody does; return when something may be due."""
        for _ in range(200):
            wakes, moved = [], False
            for name in self.names:
                if name in self.gone:
                    continue
                said = self.must(name, Order("tick"))
                self.told.setdefault(name, []).extend(said.moves)
                moved |= bool([it for it in said.moves if "refused" not in it])
                wakes += [] if said.wake is None else [said.wake]
            if not moved:
                return min(wakes, default=None)
        raise AssertionError("they never come to rest")

    def pass_to(self, second: int) -> None:
        """Move the chain's time."""
        self.rpc.ask("evm_setNextBlockTimestamp", second)
        self.rpc.ask("evm_mine")

    def play(self) -> None:
        """Let time pass until the job is closed."""
        for _ in range(200):
            wake = self.turn()
            if self.state().closed:
                return
            assert wake is not None
            self.pass_to(wake)
        raise AssertionError("the job never ends")

    def leave(self) -> None:
        """Let everyone take everything out."""
        for name in self.names:
            if name not in self.gone:
                self.must(name, Order("leave"))
        while (wake := self.turn()) is not None:
            self.pass_to(wake)

    # -- looking

    def keeper(self) -> Bookkeeper:
        made = Bookkeeper(self.folder / f"look-{len(list(self.folder.iterdir()))}", self.rpc,
                          self.manifest)  # fmt: skip
        made.catch_up()
        made.check(list(self.addresses.values()))
        return made

    def state(self) -> Job:
        keeper = self.keeper()
        keeper.close()
        return keeper.books.jobs[self.job]

    def gains(self) -> dict[str, int]:
        """Return what each party has more in the vault than it brought."""
        keeper = self.keeper()
        keeper.close()
        found = {}
        for name, who in self.addresses.items():
            it = keeper.books.account(who)
            found[name] = it.free + it.locked + it.exiting - TOKENS
        found["burned"] = keeper.books.burned
        return found

    def entries(self) -> list[Entry]:
        """Return everything that happened."""
        keeper = self.keeper()
        keeper.close()
        return keeper.entries

    def units_of(self, name: str) -> int:
        """Return how many of the run's lanes a solver ran in the rounds that were committed."""
        key = signer_keys(self.run)[int(name.removeprefix("solver-"))]
        folder, count = RunFolder(self.run), 0
        for path in folder.receipts():
            receipt = read_receipt(path)
            block = receipt.unit.segments > 1
            count += block and receipt.signer == key and receipt.unit.id.round < self.state().rounds
        return count

    def close(self) -> None:
        for party in self.parties.values():
            party.close()
        self._sender.close()
        self.rpc.close()
        self.anvil.close()


def opened(markets: list[Market], market: Market) -> Market:
    """Return a market after its award; it is closed with those of `markets`."""
    markets.append(market)
    market.open()
    market.award()
    return market
