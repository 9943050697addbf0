"""Pay: the market's side of a node, as its parts in jobs see it.

What    `Paymaster` is asked whether an award holds, and is told of a job's beginning, rounds and
        end. `orders` are the words in which a desk is told of an assignment.
Why     Runs go on without any money, and must not know a chain; money only follows what they keep.
Rule    A node takes a part that says it is paid only when its own view of the chain says so too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from skerry.base.errors import PeerError
from skerry.messages.leased import Assignment, Awarded
from skerry.node.market.orders import Order

Fetch: TypeAlias = Callable[[Sequence[bytes]], Awaitable[object]]


class NotPaidHere(PeerError):
    """A node was given a paid job and takes part in no market."""

    code = "peer.unpaid"

    def __init__(self) -> None:
        super().__init__(
            "this node takes part in no market, so it cannot be paid",
            next_step="start it with --chain, or choose another node",
        )


class Unpaid(PeerError):
    """A node that works for pay was given a job without any."""

    code = "peer.price"

    def __init__(self) -> None:
        super().__init__(
            "this node works for pay, and nothing was awarded for that job",
            next_step="submit it with `skerry run JOB.toml --network ...`, which awards it",
        )


class Paymaster(Protocol):
    """What a node does about money."""

    async def confirm(self, assignment: Assignment) -> None:
        """Look whether the award of an assignment is on the chain and binds this node.

        Raises:
            SkerryError: it does not, or the chain cannot be asked.
        """
        ...

    async def join(
        self, assignment: Assignment, run: Path, data: Path | None, fetch: Fetch
    ) -> None:
        """Take part in the money of an awarded assignment from now on.

        Args:
            assignment: the assignment.
            run: the folder in which its records and receipts are.
            data: the folder of its data.
            fetch: brings blobs by their digests, as far as they can be had.
        """
        ...

    def committed(self, job: bytes) -> None:
        """Take note that a round was committed."""
        ...

    async def end(self, job: bytes) -> None:
        """Take note that no round will come any more."""
        ...


def signers_of(assignment: Assignment, awarded: Awarded) -> dict[bytes, bytes]:
    """Return the addresses of the nodes that run lanes, by their keys."""
    keys = {node.key for node in assignment.nodes}
    return {it.key: it.address for it in awarded.parties if it.key in keys}


def confirm_order(assignment: Assignment, awarded: Awarded, key: bytes) -> Order:
    """Return what a desk is asked about an award."""
    return Order(
        "confirm",
        job=awarded.job.hex(),
        signers={it.key.hex(): it.address.hex() for it in awarded.parties},
        spec=assignment.config.job.hex(),
        chain=awarded.chain,
        market=awarded.market.hex(),
        key=key.hex(),
        nodes=tuple(node.key.hex() for node in assignment.nodes),
    )


def join_order(assignment: Assignment, run: Path, data: Path | None) -> Order:
    """Return how a desk is told to take part in a job that was awarded."""
    awarded = assignment.awarded
    assert awarded is not None, "nobody takes part in money that is not there"
    signers = signers_of(assignment, awarded)
    return Order(
        "join",
        job=awarded.job.hex(),
        run=str(run),
        data="" if data is None else str(data),
        signers={key.hex(): address.hex() for key, address in signers.items()},
        kept=assignment.kept[-1] if assignment.kept else 0,
    )
