"""Replica: the committed rounds of a job on a node's own disk.

What    `adopt` takes a committed round, `hear_end` a word that the job is over; `stream` gives them
        to whoever follows. Beside the ledger of a local run, a round's `Committed` message is kept
        as it was said.
Why     Whoever coordinates may vanish between any two rounds, and any other node must be able to
        go on from what it was sent.
Rule    A round is adopted in order and only when its record and receipts are signed by the job's
        nodes. Two different records of one signer for one fence and round are kept as evidence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

from skerry.base.errors import FaultError, PeerError
from skerry.messages.leased import (
    COMMITTED_BYTES_MAX,
    Closed,
    Committed,
    Contradiction,
    SignedRecord,
)
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import RoundRecord, RunConfig
from skerry.messages.signing import check_signature, signed_digest
from skerry.messages.wire import encode
from skerry.node.ledger import Holds, Ledger, read_record, receipt_kind
from skerry.node.network.ends import Ends, Here, doubt, end_of
from skerry.node.network.proofs import Proofs
from skerry.node.network.trust import Trust
from skerry.storage import (
    Checkpoint,
    FileDamaged,
    RunFolder,
    append_lines,
    cut_rounds,
    read_kept,
    write_file,
)

_BEHIND_SECONDS = 10.0


class RecordRefused(PeerError):
    """What was sent as a committed round is not one of this job."""

    code = "peer.record"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a committed round was refused: {reason}", next_step="follow another coordinator"
        )


class RoundTakenBack(RecordRefused):
    """The last round here was told by a liar, and others go on from another one."""

    code = "peer.record.back"


class RecordsDiffer(FaultError):
    """Two signed records lead from one state to two: somebody computes wrongly, or cheats."""

    code = "fault.record"

    def __init__(self, number: int, evidence: Path) -> None:
        super().__init__(
            f"two signed records of round {number} differ in the state they lead to",
            next_step=f"keep {evidence}: both signed records are in it",
        )


class Replica:
    """One node's copy of what a job came to.

    Args:
        folder: the job's folder on this node.
        config: the run's terms.
        trust: whose records count.
        holds: what must be here for a round to count; see `Ledger`.
        me: this node's key, whose own words are in the log already.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        trust: Trust,
        holds: Holds = "updates",
        me: bytes | None = None,
    ) -> None:
        self.folder = folder
        self._me = me
        self.config = config
        self.job = config.job
        self.trust = trust
        self._holds = holds
        self.closed: Closed | None = None
        self._changed = asyncio.Condition()
        self._showing: set[asyncio.Task[None]] = set()
        self._saved: dict[int, bytes] = {}  # states stored here by round, not yet checkpoints
        self.reload()
        self.ends = Ends(folder.root / "ends", self.job, trust)
        path = self._closed_path
        if path.is_file():
            with contextlib.suppress(FileDamaged):  # or of an older version: others say it again
                self.closed = read_kept(Closed, path, bytes_max=COMMITTED_BYTES_MAX)

    def reload(self) -> None:
        """Read the ledger again, after somebody else wrote to it."""
        self.ledger = Ledger(self.folder, self.config, holds=self._holds)
        start = self.ledger.pick_up()
        self._root = start.root
        self.proofs = Proofs(self.folder.root / "evidence", self.job, self.trust)
        self._shown = start.round  # rounds that followers are shown

    @property
    def round(self) -> int:
        """The first round that is not committed here."""
        return self._shown

    @property
    def _closed_path(self) -> Path:
        return self.folder.root / "closed"

    def _committed_path(self, number: int) -> Path:
        return self.folder.root / "committed" / f"{number:08d}.committed"

    def read(self, number: int) -> Committed | None:
        """Return a committed round as it was said, or None."""
        path = self._committed_path(number)
        if not path.is_file():
            return None
        try:
            return read_kept(Committed, path, bytes_max=COMMITTED_BYTES_MAX)
        except FileDamaged:  # as if it had never been there
            return None

    # -- what comes in

    async def adopt(self, said: Committed) -> bool:
        """Take over a round that another node committed; return whether it is the next one.

        Raises:
            RecordRefused: it is not of this job, or out of order, or not signed as it should be.
            RecordsDiffer: it contradicts a round that was committed before.
        """
        record = said.record.record
        self._check(said)
        if record.round < self._shown:
            self._compare(said.record)
            return False
        if record.round > self._shown:
            raise RecordRefused(f"round {record.round} came where {self._shown} was due")
        if self._root not in (b"", record.state_before):
            await self._doubt(said.record)
            raise RecordRefused("it starts from another state")
        await asyncio.to_thread(self._keep, said)
        await self.show(record.round + 1)
        return True

    async def _doubt(self, next_one: SignedRecord) -> None:
        """Look who is wrong where a round does not follow from the one before it here.

        Raises:
            RoundTakenBack: that one was a liar's; whoever else has it tells it again.
        """
        last = self.read(next_one.record.round - 1)
        if last is None:
            return
        self.proofs.take(Contradiction(last.record, next_one))
        if self.proofs.lies(last.record.signer):
            await self.take_back(last.record.record.round)
            raise RoundTakenBack("it goes on from another round than a liar told here")

    async def take_back(self, rounds: int) -> None:
        """Forget all but the first rounds, which somebody else tells otherwise."""
        self._shown = min(self._shown, rounds)  # first: who follows must not look for what goes
        await asyncio.to_thread(cut_rounds, self.folder.root, rounds)
        async with self._changed:
            self.reload()
            self._changed.notify_all()

    def _check(self, said: Committed) -> None:
        signed = said.record
        if signed.record.job != self.job:
            raise RecordRefused("it is of another job")
        if (doubt := self.trust.doubt(signed)) is not None:
            raise RecordRefused(doubt)
        check_signature(signed)
        due = [name for lane in signed.record.lanes for name in lane.receipts]
        if [signed_digest(receipt) for receipt in said.receipts] != due:
            raise RecordRefused("its receipts are not those that the record names")
        for receipt in said.receipts:
            check_signature(receipt)
        for holding in said.holdings:
            check_signature(holding)

    def _keep(self, said: Committed) -> None:
        record = said.record.record
        for at, receipt in receipts_by_place(self.config, said.receipts):
            where = receipt.unit.id
            path = self.folder.receipt_path(where.round, where.lane, at)
            write_file(path, encode(receipt), durable=False)
        self.write_committed(said)
        self.ledger.keep_record(record)
        self._root = record.state_after
        append_lines(self.folder.log, said.told)
        if state := self._saved.pop(self.ledger.round, None):
            self.ledger.keep_state(state, record.state_after)

    def write_committed(self, said: Committed) -> None:
        """Keep a committed round as it was said."""
        path = self._committed_path(said.record.record.round)
        path.parent.mkdir(exist_ok=True)
        write_file(path, encode(said), durable=False)

    def _compare(self, signed: SignedRecord) -> None:
        kept = self.read(signed.record.round)
        if kept is None or kept.record.record == signed.record:
            return
        double = (kept.record.signer, kept.record.fence) == (signed.signer, signed.fence)
        differ = kept.record.record.state_after != signed.record.state_after
        if double or differ:
            path = self.folder.root / "evidence" / f"{signed.record.round:08d}"
            path.mkdir(parents=True, exist_ok=True)
            for it in (kept.record, signed):
                write_file(path / f"{signed_digest(it).hex()[:16]}.record", encode(it))
            if double:  # which of its two words is false, the next round or our worker tells
                self.proofs.take(Contradiction(kept.record, signed))
            else:
                raise RecordsDiffer(signed.record.round, path)

    def saved(self, number: int, state: bytes, root: bytes) -> None:
        """Take note that the global state of round `number` is in the store here."""
        if number != self.ledger.round:
            if number > self.ledger.round:
                self._saved = {number: state}
            return
        last = self.ledger.last_checkpoint
        if last is None or last.round < number:
            self.ledger.keep_state(state, root)

    async def show(self, until: int) -> None:
        """Let followers have the rounds before `until`."""
        async with self._changed:
            self._shown = max(self._shown, until)
            self._changed.notify_all()

    def show_soon(self, until: int) -> None:
        """Let followers have the rounds before `until`, from code that cannot wait."""
        task = asyncio.ensure_future(self.show(until))
        self._showing.add(task)
        task.add_done_callback(self._showing.discard)

    async def until(self, number: int, seconds: float) -> None:
        """Wait until the rounds before `number` are committed here.

        Raises:
            TimeoutError: they are not, in that time.
        """
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: self._shown >= number)

    async def hear_end(self, said: Closed, silent: Collection[bytes] = ()) -> str | None:
        """Take a word that the job is over; return why it is not believed, where it is not.

        Raises:
            EndRefused, SignatureWrong: it is no word of one who coordinates this turn of the job.
        """
        news = self.ends.take(said)
        await self.settle(silent)
        if news and self.closed is None:
            async with self._changed:
                self._changed.notify_all()
        if self.closed is not None:
            return None
        return doubt(said, self._here(silent)) or "no other node says so yet"

    async def settle(self, silent: Collection[bytes] = ()) -> None:
        """Close the job if what was said and who is silent make it so."""
        if self.closed is not None or not self.ends.said:
            return
        end = end_of(self.ends.said, self._here(silent))
        if end is None:
            return
        write_file(self._closed_path, encode(end))
        if end.signer != self._me:
            append_lines(self.folder.log, end.told)
        async with self._changed:
            self.closed = end
            self._changed.notify_all()

    async def disbelieve(self, closed: Closed) -> None:
        """Go on with the job, since what the end names is not there or is not what it says."""
        self.ends.refuse(closed)
        self._closed_path.unlink(missing_ok=True)
        async with self._changed:
            self.closed = None

    @property
    def ending(self) -> int | None:
        """The round that is due, if somebody said that the job ends there."""
        here = any(it.rounds == self.round for it in self.ends.said)
        return self.round if here else None

    def _here(self, silent: Collection[bytes]) -> Here:
        rounds = self.config.rounds
        last = self.folder.last_checkpoint(lanes_too=False) if self.round == rounds else None
        state = last.state if last is not None and last.round == rounds else None
        signers = self.trust.signers
        return Here(rounds, self.round, signers, self._state_after, state, silent)

    def _state_after(self, rounds: int) -> bytes | None:
        record = read_record(self.folder, self.job, rounds - 1) if rounds else None
        return record.state_after if record is not None else None

    # -- what goes out

    async def stream(self, first: int, *, live: bool) -> AsyncIterator[Committed | Closed]:
        """Yield the committed rounds from `first` on; as they come if `live`; and what ends."""
        at, told = first, set[tuple[bytes, int]]()
        while True:
            while at < self._shown:
                said = self.read(at)
                if said is None:
                    return
                yield said
                at += 1
            for word in self._untold(told):
                told.add((word.signer, word.fence))
                yield word
            if self.closed is not None or not live:
                return
            await self._more(at, told)

    def _untold(self, told: Collection[tuple[bytes, int]]) -> list[Closed]:
        """Return the words that the job is over which are not told yet."""
        words = [*self.ends.said, *([self.closed] if self.closed is not None else [])]
        return [it for it in dict.fromkeys(words) if (it.signer, it.fence) not in told]

    async def _more(self, than: int, told: Collection[tuple[bytes, int]]) -> None:
        """Wait for a round after those before `than`, or a word that the job is over."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: than < self._shown or self.closed is not None or bool(self._untold(told))
            )


def receipts_by_place(
    config: RunConfig, receipts: tuple[Receipt, ...]
) -> list[tuple[str, Receipt]]:
    """Return each receipt of a round with the kind of its place within its lane."""
    seen: dict[int, int] = {}
    placed = []
    for receipt in receipts:
        lane = receipt.unit.id.lane
        at = seen.get(lane, 0)
        seen[lane] = at + 1
        placed.append((receipt_kind(config.exchange, at), receipt))
    return placed


@dataclass(frozen=True)
class FolderPast:
    """The committed rounds in a job's folder; see `replay.Past`."""

    replica: Replica

    def record(self, number: int) -> RoundRecord | None:
        """Return the record of a round."""
        return read_record(self.replica.folder, self.replica.job, number)

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints, oldest first."""
        return self.replica.folder.checkpoints()

    def keepers(self, at: int, lane: int) -> list[bytes]:
        """Return keys of nodes that should hold the lane's own state at the start of `at`."""
        said = self.replica.read(at - 1) if at else None
        if said is None:
            return []
        ran = [it.signer for it in said.receipts if it.unit.id.lane == lane]
        return ran[:1] + [key for number, key in said.holders if number == lane]

    async def until(self, at: int) -> None:
        """Wait until the rounds before `at` are known here."""
        await self.replica.until(at, _BEHIND_SECONDS)
