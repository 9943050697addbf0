"""What happened on the chain, in order, once: a cursor that outlives restarts and reorganisations.

What    `EventCursor.read` fetches new events of some contracts; `after` returns them by number.
Why     Node-side filters vanish with the node, and blocks can be taken back.
Rule    Events are read up to `depth` blocks below the head, in ranges of at most `span` blocks,
        and kept under (hash of the block, index in it). The last blocks read are remembered by
        hash; where one is no longer the chain's, what was read from it is marked as taken back and
        reading goes on from the last block that is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.chain.errors import ChainFileDamaged, ChainFileUnwritable, ChainReorganised
from skerry.chain.rpc import Json, Rpc, hexed, unhexed

REMEMBERED = 256  # blocks that are known by hash

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, block INTEGER NOT NULL, block_hash BLOB NOT NULL,
    place INTEGER NOT NULL, address BLOB NOT NULL, topics BLOB NOT NULL, data BLOB NOT NULL,
    transaction_name BLOB NOT NULL, live INTEGER NOT NULL, of INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS live ON events (block_hash, place) WHERE live = 1;
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """One event, or the taking back of one that was told before.

    Attributes:
        id: its number among all that were told; a reader remembers the last one.
        block: number of its block.
        address: the contract that logged it.
        topics: its topics.
        data: its data.
        transaction: the transaction that made it.
        takes_back: the id of the event that never happened after all, or None.
    """

    id: int
    block: int
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    transaction: bytes
    takes_back: int | None


ADVICE = (
    "stop the node and move it away (mv {0} {0}.bad), then start the node again: what it holds is"
    " read from the chain once more"
)


class EventCursor:
    """The events of some contracts, kept in a file.

    Raises:
        ChainFileDamaged: the file is no database of ours.
    """

    def __init__(
        self,
        path: Path,
        rpc: Rpc,
        addresses: Sequence[bytes],
        *,
        start: int = 0,
        depth: int = 1,
        span: int = 1_000,
    ) -> None:
        self._rpc, self._start, self._depth, self._span = rpc, start, depth, span
        self._addresses = [hexed(it) for it in addresses]
        self._base = sqlite3.connect(path, isolation_level=None)
        try:
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            self._base.close()
            raise ChainFileUnwritable(path, str(error)) from None
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise ChainFileDamaged(path, str(error), ADVICE.format(path)) from None

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def read(self) -> int:
        """Fetch what is new; return how many events, or takings back, were added.

        Raises:
            ChainReorganised: blocks were taken back beyond all that is remembered.
        """
        before = self._last_id()
        at = self._common() + 1
        top = self._head() - self._depth + 1
        while at <= top:
            to = min(at + self._span - 1, top)
            self._read_range(at, to)
            at = to + 1
        return self._last_id() - before

    def after(self, last: int) -> list[ChainEvent]:
        """Return the events that were told after number `last`."""
        return self._told("id > ?", last)

    def standing(self) -> list[ChainEvent]:
        """Return every event that was told and not taken back."""
        return self._told("live = ?", 1)

    def _told(self, where: str, value: int) -> list[ChainEvent]:
        rows = self._base.execute(
            "SELECT id, block, address, topics, data, transaction_name, of FROM events "
            f"WHERE {where} ORDER BY id",
            (value,),
        )
        return [
            ChainEvent(
                number,
                block,
                address,
                tuple(topics[it : it + 32] for it in range(0, len(topics), 32)),
                data,
                transaction,
                of,
            )
            for number, block, address, topics, data, transaction, of in rows
        ]

    def _last_id(self) -> int:
        (last,) = self._base.execute("SELECT max(id) FROM events").fetchone()
        return int(last or 0)

    def _head(self) -> int:
        return self._rpc.number("eth_blockNumber")

    def _hash(self, number: int) -> bytes | None:
        block = self._rpc.block(number)
        return None if block is None else unhexed(block["hash"])

    def _common(self) -> int:
        """Return the last block that was read and is still the chain's; take back the others."""
        known = self._base.execute(
            "SELECT number, hash FROM blocks ORDER BY number DESC"
        ).fetchall()
        if not known:
            return self._start - 1
        for number, name in known:
            if self._hash(number) == name:
                self._take_back(number)
                return int(number)
        if len(known) < REMEMBERED:  # everything that was ever read is remembered
            self._take_back(self._start - 1)
            return self._start - 1
        raise ChainReorganised(int(known[-1][0]), REMEMBERED)

    def _take_back(self, above: int) -> None:
        self._base.execute("BEGIN IMMEDIATE")
        self._base.execute(
            "INSERT INTO events (block, block_hash, place, address, topics, data, "
            "transaction_name, live, of) SELECT block, block_hash, place, address, topics, data, "
            "transaction_name, 0, id FROM events AS told WHERE block > ? AND live = 1 "
            "ORDER BY id DESC",
            (above,),
        )
        self._base.execute("UPDATE events SET live = 0 WHERE block > ?", (above,))
        self._base.execute("DELETE FROM blocks WHERE number > ?", (above,))
        self._base.execute("COMMIT")

    def _read_range(self, first: int, last: int) -> None:
        """Read a range and remember its last block, unless the chain moves meanwhile."""
        name = self._hash(last)
        filters = {"fromBlock": hexed(first), "toBlock": hexed(last), "address": self._addresses}
        logs: list[Json] = self._rpc.ask("eth_getLogs", filters)
        if name is None or self._hash(last) != name:
            return  # the next call of `read` sees the chain as it is then
        self._base.execute("BEGIN IMMEDIATE")
        for log in logs:
            self._base.execute(
                "INSERT OR IGNORE INTO events (block, block_hash, place, address, topics, data, "
                "transaction_name, live) VALUES (?,?,?,?,?,?,?,1)",
                (
                    int(log["blockNumber"], 16),
                    unhexed(log["blockHash"]),
                    int(log["logIndex"], 16),
                    unhexed(log["address"]),
                    b"".join(unhexed(topic) for topic in log["topics"]),
                    unhexed(log["data"]),
                    unhexed(log["transactionHash"]),
                ),
            )
        self._base.execute("INSERT OR REPLACE INTO blocks VALUES (?,?)", (last, name))
        self._base.execute(
            "DELETE FROM blocks WHERE number NOT IN "
            "(SELECT number FROM blocks ORDER BY number DESC LIMIT ?)",
            (REMEMBERED,),
        )
        self._base.execute("COMMIT")
