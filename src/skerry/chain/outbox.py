"""Send each move once, whatever crashes: a queue of signed transactions on the disk.

What    `Outbox.send(key, ...)` gives a move a nonce, signs it, writes it down and only then sends
        it. `look_after` sends again what got lost, raises fees, and notes what was mined.
Why     A process may die between any two steps, and a transaction must then neither be lost nor be
        sent twice under two nonces: both cost money.
Rule    A move has a key, chosen by whoever makes it; the same key is the same transaction for
        good. One key file has one outbox, which a lock on its database ensures. Sent again means
        the same nonce: the same bytes, or after `patience` seconds a fee raised by an eighth.
        Mined is not final: below `depth` blocks a receipt may vanish, and the same bytes go again.
        A move whose nonce another program used is told once, marked "replaced" and left alone.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from skerry.base.clock import Clock
from skerry.chain.errors import (
    ChainFileDamaged,
    ChainFileUnwritable,
    ChainRefused,
    FundsShort,
    MoveReverted,
    OutboxBusy,
    TransactionReplaced,
    TransactionStuck,
)
from skerry.chain.keyfiles import ChainKey
from skerry.chain.rpc import Json, Rpc, hexed, unhexed

GAS_MAX = 1 << 24  # EIP-7825: no transaction may use more
GWEI = 10**9
OVERTAKEN = "it was overtaken by another move"

_TABLES = """
CREATE TABLE IF NOT EXISTS moves (
    key TEXT PRIMARY KEY, nonce INTEGER UNIQUE NOT NULL, receiver BLOB, data BLOB NOT NULL,
    value TEXT NOT NULL, gas INTEGER NOT NULL, state TEXT NOT NULL, sent REAL NOT NULL,
    block INTEGER, block_hash BLOB, succeeded INTEGER, gas_used INTEGER
);
CREATE TABLE IF NOT EXISTS tries (
    name BLOB PRIMARY KEY, key TEXT NOT NULL, raw BLOB NOT NULL, fee TEXT NOT NULL,
    tip TEXT NOT NULL, number INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Fees:
    """What one is ready to pay, in wei for a unit of gas."""

    tip: int = GWEI
    fee_max: int = 500 * GWEI


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a move stands: "sent", "mined", "final" or "replaced"; `fee` is its last one."""

    key: str
    nonce: int
    state: str
    name: bytes
    block: int | None
    succeeded: bool | None
    gas_used: int | None
    fee: int = 0


ADVICE = (
    "stop the node and restore a copy of it; without one, wait until the chain has mined what was"
    " sent, then move it away (mv {0} {0}.bad): the key and the money are not in it"
)


class Outbox:
    """The one sender of one key on one chain."""

    def __init__(
        self,
        path: Path,
        rpc: Rpc,
        key: ChainKey,
        clock: Clock,
        *,
        chain: int,
        depth: int = 1,
        patience: float = 30.0,
        fees: Fees | None = None,
    ) -> None:
        self.rpc, self.address, self.chain = rpc, key.address, chain
        self._key, self._clock, self._depth, self._patience = key, clock, depth, patience
        self._fees = fees or Fees()
        self._guard = RLock()
        self._base = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=0.2
        )
        try:
            self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            self._base.close()
            if "locked" not in str(error):
                raise ChainFileUnwritable(path, str(error)) from None
            raise OutboxBusy(path) from None
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise ChainFileDamaged(path, str(error), ADVICE.format(path)) from None

    def close(self) -> None:
        """Let go of the database."""
        self._base.close()

    # -- send

    def send(
        self,
        key: str,
        to: bytes | None,
        data: bytes,
        *,
        value: int = 0,
        gas: int | None = None,
        move: str = "",
    ) -> Sent:
        """Send a move, or return where the one of this key stands.

        Raises:
            MoveReverted: a contract would refuse it; nothing was written or sent.
            FundsShort: the account cannot pay for its gas; likewise.
        """
        with self._guard:
            known = self.find(key)
            if known is not None:
                return known
            if gas is None:
                needed = self.rpc.gas_of(self.address, to, data, value, move or key)
                gas = min(needed + needed // 4, GAS_MAX)
            fee, tip = self._fee()
            self._check_funds(value + gas * fee)
            nonce = self._next_nonce()
            raw, name = self._signed(nonce, to, data, value, gas, fee, tip)
            self._base.execute("BEGIN IMMEDIATE")
            self._base.execute(
                "INSERT INTO moves VALUES (?,?,?,?,?,?,'sent',?,NULL,NULL,NULL,NULL)",
                (key, nonce, to, data, str(value), gas, self._clock.now()),
            )
            self._base.execute(
                "INSERT INTO tries VALUES (?,?,?,?,?,0)", (name, key, raw, str(fee), str(tip))
            )
            self._base.execute("COMMIT")
            self._broadcast(raw)
            found = self.find(key)
            assert found is not None
            return found

    def _signed(
        self, nonce: int, to: bytes | None, data: bytes, value: int, gas: int, fee: int, tip: int
    ) -> tuple[bytes, bytes]:
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain,
            "nonce": nonce,
            "data": data,
            "value": value,
            "gas": gas,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
        }
        if to is not None:
            fields["to"] = to
        return self._key.sign_transaction(fields)

    def _fee(self) -> tuple[int, int]:
        head = self.rpc.block()
        assert head is not None, "a chain has a latest block"
        base = int(head.get("baseFeePerGas", "0x0"), 16)
        return min(2 * base + self._fees.tip, self._fees.fee_max), self._fees.tip

    def _check_funds(self, needed: int) -> None:
        held = self.rpc.number("eth_getBalance", hexed(self.address), "latest")
        if held < needed:
            raise FundsShort(hexed(self.address), needed=needed, held=held, of="the chain's coin")

    def _next_nonce(self) -> int:
        there = self.rpc.number("eth_getTransactionCount", hexed(self.address), "latest")
        (last,) = self._base.execute("SELECT max(nonce) FROM moves").fetchone()
        return there if last is None else max(there, int(last) + 1)

    def _broadcast(self, raw: bytes) -> None:
        """Send bytes that are on the disk.

        That the node knows them already is no error, nor that they pay too little by now: they are
        raised in time.
        """
        try:
            self.rpc.ask("eth_sendRawTransaction", hexed(raw))
        except ChainRefused as refused:
            text = refused.message_of_node.lower()
            fine = ("already known", "already imported", "nonce too low", "underpriced", "base fee")
            if not any(word in text for word in fine):
                raise

    # -- look after

    def look_after(self) -> list[Sent]:
        """Note what was mined and send again what was not; return what changed its state.

        Raises:
            TransactionReplaced: another program used this key; told once for each move.
            TransactionStuck: a fee cannot be raised any further.
            FundsShort: the account cannot pay a higher fee.
        """
        with self._guard:
            rows = self._base.execute(
                "SELECT key, state FROM moves WHERE state IN ('sent', 'mined') ORDER BY nonce"
            ).fetchall()
            head = self.rpc.block()
            assert head is not None, "a chain has a latest block"
            height = int(head["number"], 16)
            changed = []
            for key, state in rows:
                self._look_after_one(key, height)
                now = self.find(key)
                if now is not None and now.state != state:
                    changed.append(now)
            return changed

    def _tries(self, key: str) -> list[tuple[bytes, bytes, int, int]]:
        rows = self._base.execute(
            "SELECT name, raw, fee, tip FROM tries WHERE key = ? ORDER BY number", (key,)
        )
        return [(name, raw, int(fee), int(tip)) for name, raw, fee, tip in rows]

    def _look_after_one(self, key: str, height: int) -> None:
        tries = self._tries(key)
        for name, *_ in tries:
            receipt = self.rpc.receipt(name)
            if receipt is not None:
                self._note_mined(key, receipt, height)
                return
        self._base.execute(
            "UPDATE moves SET state='sent', block=NULL, block_hash=NULL, succeeded=NULL, "
            "gas_used=NULL WHERE key=?",
            (key,),
        )
        nonce, sent = self._base.execute(
            "SELECT nonce, sent FROM moves WHERE key=?", (key,)
        ).fetchone()
        # Asked at a block that the node has shown whole: of a later one it may count transactions
        # before it tells their receipts.
        try:
            there = self.rpc.number("eth_getTransactionCount", hexed(self.address), hexed(height))
        except ChainRefused:
            return  # that block was taken back meanwhile: look again later
        if there > nonce:
            # One of ours may have been mined between the questions, or its receipt be due yet.
            if not any(self._known(name) for name, *_ in tries):
                self._base.execute("UPDATE moves SET state='replaced' WHERE key=?", (key,))
                raise TransactionReplaced(key, nonce)
            return
        if self._clock.now() - sent >= self._patience:
            self._raise_fee(key, nonce, tries)
        else:
            self._broadcast(tries[-1][1])

    def _known(self, name: bytes) -> bool:
        """Return whether the node has a transaction, waiting or mined; replaced ones it forgets."""
        return self.rpc.ask("eth_getTransactionByHash", hexed(name)) is not None

    def _note_mined(self, key: str, receipt: Json, height: int) -> None:
        block = int(receipt["blockNumber"], 16)
        # The block may be younger than the head that was asked for before.
        state = "final" if max(height, block) - block + 1 >= self._depth else "mined"
        self._base.execute(
            "UPDATE moves SET state=?, block=?, block_hash=?, succeeded=?, gas_used=? WHERE key=?",
            (
                state,
                block,
                unhexed(receipt["blockHash"]),
                int(receipt["status"], 16),
                int(receipt["gasUsed"], 16),
                key,
            ),
        )

    def _raise_fee(self, key: str, nonce: int, tries: list[tuple[bytes, bytes, int, int]]) -> None:
        *_, (_, raw, fee, tip) = tries
        higher = max(fee + fee // 8 + 1, self._fee()[0])
        if higher > self._fees.fee_max:
            self._broadcast(raw)
            raise TransactionStuck(key, nonce, fee)
        to, data, value, gas = self._base.execute(
            "SELECT receiver, data, value, gas FROM moves WHERE key=?", (key,)
        ).fetchone()
        more = tip + tip // 8 + 1
        self._check_funds(int(value) + gas * higher)
        again, name = self._signed(nonce, to, data, int(value), gas, higher, more)
        self._base.execute("BEGIN IMMEDIATE")
        self._base.execute(
            "INSERT INTO tries VALUES (?,?,?,?,?,?)",
            (name, key, again, str(higher), str(more), len(tries)),
        )
        self._base.execute("UPDATE moves SET sent=? WHERE key=?", (self._clock.now(), key))
        self._base.execute("COMMIT")
        self._broadcast(again)

    # -- look up

    def find(self, key: str) -> Sent | None:
        """Return where a move stands, or None where there is none of that key."""
        row = self._base.execute(
            "SELECT nonce, state, block, succeeded, gas_used FROM moves WHERE key=?", (key,)
        ).fetchone()
        if row is None:
            return None
        nonce, state, block, succeeded, gas_used = row
        name, _, fee, _ = self._tries(key)[-1]
        fine = None if succeeded is None else bool(succeeded)
        return Sent(key, nonce, state, name, block, fine, gas_used, fee)

    def check(self, sent: Sent, move: str = "") -> Sent:
        """Return a move, unless a contract refused it on the chain or its nonce was lost.

        Raises:
            MoveReverted: a contract refused it.
            TransactionReplaced: another program used its nonce.
        """
        if sent.state == "replaced":
            raise TransactionReplaced(sent.key, sent.nonce)
        if sent.succeeded is False:
            raise MoveReverted(move or sent.key, OVERTAKEN)
        return sent
