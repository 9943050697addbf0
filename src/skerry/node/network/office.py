"""Office: this node coordinates a job, as another process would on one machine.

What    `Office` feeds the coordinator of a local run with workers of other nodes, and turns each
        round that it records into a signed `Committed` message.
Why     Coordinating is a role that any leased node must be able to take; the code is the same.
Rule    A round is signed and on this disk before anybody is told of it.
"""

from __future__ import annotations

import msgspec

from skerry.base.errors import NodeError
from skerry.messages.leased import Assignment, Closed, Committed, Holding, SignedRecord
from skerry.messages.receipts import Receipt
from skerry.messages.rounds import Lane, LaneRecord, RoundRecord, Trouble
from skerry.messages.signing import Sign, sign
from skerry.messages.wire import decode_as
from skerry.node.clocks import RealClock
from skerry.node.coordinator import Bring, Coordinator
from skerry.node.events import RoundFinished, RunEnded, RunEvent, RunStarted
from skerry.node.ledger import Ledger, receipt_kind
from skerry.node.life import RunJob, keep_programs, parameter_count, sent_before
from skerry.node.network.replica import Replica
from skerry.node.telling import Telling
from skerry.storage import read_file
from skerry.train.rounds import End


class NoHands:
    """A coordinator of strangers can end nobody's process."""

    def owns(self, pid: int) -> bool:
        """Return whether the process is one of its own."""
        return False

    def kill(self, pid: int) -> None:
        """End nothing."""


class Office:
    """One stretch of coordinating one job.

    Args:
        assignment: the job.
        job: its terms and Programs.
        replica: what this node knows of the job; it is shown each round.
        me: this node's key, and what signs with it.
        fence: the fence of this office.
        bring: fetches a blob that a worker reported.
    """

    def __init__(
        self,
        assignment: Assignment,
        job: RunJob,
        replica: Replica,
        me: tuple[bytes, Sign],
        fence: int,
        bring: Bring,
    ) -> None:
        self.fence = fence
        self._assignment = assignment
        self._job = job
        self._replica = replica
        self._key, self._sign = me
        self._told: list[bytes] = []
        self._holdings: list[Holding] = []
        folder = replica.folder
        self.ledger = Ledger(folder, job.config, holds="updates")
        start = self.ledger.pick_up()
        parameters = parameter_count(job)
        workers = min(len(assignment.nodes), job.config.lanes)
        self._telling = Telling(
            job.config,
            parameters,
            workers,
            folder.log,
            self._tell,
            RealClock(),
            sent_before(folder),
        )
        self.coordinator = Coordinator(
            job.config,
            keep_programs(job, folder),
            self.ledger,
            start,
            RealClock(),
            self._telling,
            hands=NoHands(),
            bring=bring,
        )
        config = job.config
        self._started = RunStarted(
            config.job.hex(), start.round, config.rounds, config.lanes, workers, parameters
        )

    async def run(self) -> Closed:
        """Coordinate until the job ends, and return how.

        Raises:
            StorageError: this machine's disk refuses what must be kept.
        """
        self._telling.tell(self._started)
        end, trouble = await self.coordinator.run()
        self._telling.tell(RunEnded(end.kind, end.detail))
        await self._replica.show(self.ledger.round)
        closed = self.say_over(end, trouble)
        await self._replica.hear_end(closed)
        await self.coordinator.farewell(end.kind)
        return closed

    def say_over(self, end: End, trouble: Trouble | None) -> Closed:
        """Return this node's signed word that the job is over."""
        last = self.ledger.last_checkpoint
        closed = Closed(
            signer=self._key,
            job=self._job.config.job,
            fence=self.fence,
            kind=end.kind,
            rounds=self.ledger.round,
            detail=end.detail[:4000],
            code=trouble.code if trouble else "",
            next_step=trouble.next_step if trouble else "",
            state=last.state if last else None,
            round=last.round if last else 0,
            root=last.root if last else None,
            told=tuple(self._told),
        )
        return sign(closed, self._sign)

    def hold(self, holding: Holding) -> None:
        """Take a node's signed word that it keeps blobs."""
        self._holdings.append(holding)

    # -- what is told

    def _tell(self, event: RunEvent) -> None:
        self._told.append(msgspec.json.encode(event))
        if isinstance(event, RoundFinished):
            self._commit(event.round)

    def _commit(self, number: int) -> None:
        """Sign a round, keep it as it is said, and show it to those who follow."""
        record = self.ledger.read_round(number)
        if record is None:
            raise RecordLost(number)
        receipts = [self._receipts(number, lane, it) for lane, it in enumerate(record.lanes)]
        signed = sign(SignedRecord(signer=self._key, fence=self.fence, record=record), self._sign)
        said = Committed(
            record=signed,
            receipts=tuple(receipt for row in receipts for receipt in row),
            holders=self._holders(record, [row[0].signer if row else b"" for row in receipts]),
            holdings=tuple(self._holdings),
            told=tuple(self._told),
        )
        self._holdings.clear()
        self._told.clear()
        self._replica.write_committed(said)
        self._replica.show_soon(number + 1)

    def _receipts(self, number: int, lane: int, record: LaneRecord) -> list[Receipt]:
        found = []
        for place in range(len(record.receipts)):
            kind = receipt_kind(self._job.config.exchange, place)
            path = self._replica.folder.receipt_path(number, lane, kind)
            found.append(decode_as(Receipt, read_file(path)))
        return found

    def _holders(self, record: RoundRecord, ran: list[bytes]) -> tuple[tuple[Lane, bytes], ...]:
        """Return who shall keep a copy of which lane's state: nodes at work that did not run it."""
        every, count = self._assignment.hold_rounds, self._assignment.holders
        if not every or (record.round + 1) % every:
            return ()
        present = self.coordinator.signers
        order = [node.key for node in self._assignment.nodes if node.key in present]
        found: list[tuple[Lane, bytes]] = []
        for lane, it in enumerate(record.lanes):
            others = [key for key in order if key != ran[lane]]
            turned = others[lane % len(others) :] + others[: lane % len(others)] if others else []
            found += [(lane, key) for key in turned[:count] if it.state is not None]
        return tuple(found)


class RecordLost(NodeError):
    """The record of a round is not on the disk a moment after it was written."""

    code = "node.record"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"the record of round {number} cannot be read back",
            next_step="check the disk; another node goes on with the job",
        )
