"""A party on a chain: its key, its outbox, and the course of a game.

What    `ChainParty` sends one key's calls and waits for them. `play` lets a side of a game hear the
        court and make the moves that are due, until the game has ended.
Why     A party may die between any two moves and must then go on where it was: another's clock
        would cost it the game.
Rule    A call is known by what it says, so making it again after a restart finds the one that was
        sent. A side is made again from the court's log. A side whose opponent's clock ran out ends
        the game. Keys are made for one dispute and kept with it, readable by their owner alone.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from skerry.base.digests import digest
from skerry.base.errors import ChainError
from skerry.chain.abi import contract
from skerry.chain.courthouse import CourtLog, Heard, MovesTakenBack
from skerry.chain.deploy import Manifest
from skerry.chain.disputes import Answerer, Doubter
from skerry.chain.errors import (
    ChainRefused,
    KeyfileUnsafe,
    MoveReverted,
    StakeShort,
    TransactionStuck,
)
from skerry.chain.keyfiles import ChainKey
from skerry.chain.moves import Call
from skerry.chain.outbox import GWEI, OVERTAKEN, Fees, Outbox, Sent
from skerry.chain.rpc import Rpc, hexed, unhexed
from skerry.chain.views import view
from skerry.node.clocks import RealClock
from skerry.storage import read_file, write_file

POLL_SECONDS = 0.03
COINS = 10**20
LOOK_SECONDS = 1.0
REFUSALS_MAX = 200
NOT_NOW = ("early", "state")
DEPTH = 32  # blocks that may be taken back before a move is no longer looked after
Side = TypeVar("Side", bound=Doubter | Answerer)


class CourtUnfunded(ChainError):
    """The chain gives nobody here coins for gas."""

    code = "chain.coins"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the node at {url} lends nobody coins for gas",
            next_step="give the URL of a development node (anvil, hardhat, geth --dev), or none",
        )


def kept_key(path: Path) -> ChainKey:
    """Return the key of a party to one dispute, kept in `path`; make it when absent.

    Raises:
        KeyfileUnsafe: the file is damaged, or others can read it.
    """
    if not path.exists():
        write_file(path, os.urandom(31).rjust(32, b"\1"), mode=0o600)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyfileUnsafe(path, "can be read by others")
    private = read_file(path)
    if len(private) != 32:
        raise KeyfileUnsafe(path, "is damaged")
    return ChainKey(private)


def chain_now(rpc: Rpc) -> int:
    """Return the second that the chain's next block would have, or its last one had."""
    latest = rpc.block()
    assert latest is not None, "a chain has a latest block"
    try:
        pending = rpc.block("pending")
    except ChainRefused:
        pending = None  # not every node tells
    return max(int(it["timestamp"], 16) for it in (latest, pending) if it)


def lend_coins(rpc: Rpc, who: bytes) -> None:
    """Have a development node give an address coins for gas, if it has none.

    Raises:
        CourtUnfunded: it gives nobody any.
    """
    if rpc.number("eth_getBalance", hexed(who), "latest") > 0:
        return
    try:
        rpc.ask("anvil_setBalance", hexed(who), hexed(COINS))
        return
    except ChainRefused:
        pass
    try:
        lenders = rpc.ask("eth_accounts")
        fields = {"from": lenders[0], "to": hexed(who), "value": hexed(COINS // 100)}
        name = rpc.ask("eth_sendTransaction", fields)
    except (ChainRefused, IndexError):
        raise CourtUnfunded(rpc.url) from None
    while rpc.receipt(unhexed(name)) is None:
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Paying:
    """How a party pays for its transactions.

    Attributes:
        fee_max: the most that it pays for a unit of gas, in gwei.
        patience: seconds after which what is not mined gets a higher fee.
    """

    fee_max: int = 500
    patience: float = 30.0


@dataclass
class ChainParty:
    """One party: its key, its outbox, and what it has sent.

    Attributes:
        rpc: the node.
        key: the party's key.
        folder: where its outbox is kept.
        manifest: where the contracts are; None before they are anywhere.
        paying: what fees it pays.
        stubborn: whether it goes on when no higher fee is allowed, instead of giving up.
        tell: told, in words, of what is not mined in time.
        sent: how many calls it sent.
        gas: what they used.
    """

    rpc: Rpc
    key: ChainKey
    folder: Path
    manifest: Manifest | None = None
    paying: Paying = field(default_factory=Paying)
    stubborn: bool = False
    tell: Callable[[str], None] = lambda words: None
    sent: int = 0
    gas: int = 0
    outbox: Outbox = field(init=False)
    _clock: RealClock = field(default_factory=RealClock)
    _looked: float = 0.0

    def __post_init__(self) -> None:
        name = f"{self.key.address.hex()[:16]}.outbox"
        chain = self.rpc.chain_id()
        clock = self._clock
        most = self.paying.fee_max * GWEI
        self.outbox = Outbox(
            self.folder / name,
            self.rpc,
            self.key,
            clock,
            chain=chain,
            depth=DEPTH,
            patience=self.paying.patience,
            fees=Fees(tip=min(GWEI, most), fee_max=most),
        )

    @property
    def address(self) -> bytes:
        """The party's address."""
        return self.key.address

    def send(self, call: Call) -> Sent:
        """Make a call, or find the same one made, and wait until it is mined.

        Raises:
            MoveReverted: the contract refuses it.
            TransactionStuck: it is not mined at the highest fee that is allowed.
            TransactionReplaced: another program used this key; the next attempt has a new nonce.
        """
        assert self.manifest is not None, "no contracts yet"
        data = contract(call.contract).call(call.function, *call.arguments)
        name = f"{call.function} {digest('call', data).hex()[:24]}"
        failed = 0
        while (found := self.outbox.find(name)) is not None and _lost(found):
            failed += 1  # overtaken on the chain, and due again
            name = f"{name.partition('#')[0]}#{failed}"
        sent = self.outbox.send(name, self.manifest.at(call.contract), data, move=call.function)
        self.sent += 1
        while sent.state == "sent":
            time.sleep(POLL_SECONDS)
            self.look_after()
            found = self.outbox.find(name)
            assert found is not None
            if found.fee != sent.fee:
                fee = f"{found.fee / GWEI:.3g} gwei"
                self.tell(f"{call.function} is not mined yet: its fee is raised to {fee}")
            sent = self.outbox.check(found, call.function)
        self.gas += sent.gas_used or 0
        return sent

    def look_after(self) -> None:
        """Send again what the chain forgot."""
        try:
            self.outbox.look_after()
        except TransactionStuck:
            if not self.stubborn:
                raise

    def lock(self, call: Call, *owed: tuple[str, bytes, int]) -> Sent:
        """Make a call that locks money of some accounts: each its owner's part, address, amount.

        Raises:
            StakeShort: one of them has too little in the vault.
            MoveReverted: the contract refuses it for another reason.
        """
        try:
            return self.send(call)
        except MoveReverted as refused:
            if refused.reason != "funds":
                raise
            for who, address, needed in owed:
                held = self.free(address)
                if held < needed:
                    raise StakeShort(who, hexed(address), needed=needed, held=held) from None
            raise

    def free(self, who: bytes) -> int:
        """Return what an account of the vault can lock."""
        assert self.manifest is not None, "no contracts yet"
        return int(view(self.rpc, self.manifest, "vault", "account", who)[0])

    def deposit(self, amount: int) -> None:
        """Make tokens for oneself and put them into the vault."""
        assert self.manifest is not None, "no contracts yet"
        self.send(Call("token", "mint", (self.address, amount)))
        self.send(Call("token", "approve", (self.manifest.at("vault"), amount)))
        self.send(Call("vault", "deposit", (amount,)))

    def now(self) -> int:
        """Return the second that the chain's next block would have, or its last one had."""
        return chain_now(self.rpc)

    def idle(self) -> bool:
        """Return whether it is time to see that nothing sent was forgotten by the chain."""
        now = self._clock.now()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        return True

    def close(self) -> None:
        """Let go of the outbox."""
        self.outbox.close()


def play(
    party: ChainParty,
    made: Callable[[], Side],
    log: CourtLog,
    watch: Callable[[list[Heard], Side], None] = lambda heard, side: None,
) -> Side:
    """Hear the court and make every move that is due, until the game has ended.

    Args:
        party: who sends.
        made: makes the side that decides, before it has heard anything.
        log: the court's events.
        watch: told what is new, and told nothing from time to time; may raise to stop.
    """
    side, due, refusals = made(), None, 0
    while True:
        try:
            heard = log.new()
        except MovesTakenBack:
            # go on from what the chain says now; what it forgot of ours is sent again
            side, due = made(), None
            party.look_after()
            continue
        for it in heard:
            if it.event is None:
                continue
            call = side.hear(it.event)
            if side.stand is not None and it.event.game == side.stand.game:
                due, refusals = call, 0  # what was due before was done before
        watch(heard, side)
        if side.ended is not None:
            return side
        late = side.timeout(party.now()) if due is None else None
        call = due or late
        if call is not None and _sent(party, call, refusals):
            due = None
            continue
        refusals += call is not None
        if party.idle():
            party.look_after()
        time.sleep(POLL_SECONDS)


def _lost(sent: Sent) -> bool:
    """Return whether a move can never count: a contract refused it, or its nonce was taken."""
    return sent.succeeded is False or sent.state == "replaced"


def _sent(party: ChainParty, call: Call, refusals: int) -> bool:
    """Make a move; False where the chain is not where it was a moment ago, or its second is not.

    Raises:
        MoveReverted: the contract refuses it for another reason, or again and again.
    """
    try:
        party.send(call)
    except MoveReverted as refused:
        if refused.reason not in (*NOT_NOW, OVERTAKEN) or refusals > REFUSALS_MAX:
            raise
        return False
    return True
