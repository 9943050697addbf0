"""Roots that a solver publishes, so that a doubt of its receipt opens at the very leaf.

What    `publish` is what a solver signs of its run. A `Publisher` tells more of it when asked: the
        digests of one step's values, and of one value's leaves. `PublishedRun` is the run as far as
        it was told, each part held against what was signed. `doubter_of` makes a challenger.
Why     Walking a tree that both sides can see costs two transactions a level for nothing.
Rule    What was told once is remembered, since a solver that defends itself on the chain answers
        nobody else. A solver that tells what it did not sign is walked to its lie instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from skerry.base.errors import PeerError
from skerry.chain.court_calls import Case
from skerry.chain.deploy import Manifest
from skerry.chain.disputes import Doubter
from skerry.chain.keyfiles import ChainKey, signer_of
from skerry.chain.published import Jumper, Publication, published_message
from skerry.commit.tensors import seal_tensor
from skerry.commit.transcript import trace_root
from skerry.commit.trees import quick_root
from skerry.node.courtroom import FalseDoubter
from skerry.node.party import PartyRun
from skerry.program import Program


class PublicationFalse(PeerError):
    """A solver tells of its run what it did not sign, or signs what is no publication."""

    code = "peer.published"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the solver's published roots do not hold: {what}",
            next_step="doubt its receipt without --published: the walk needs none",
        )


class PublishAsked(msgspec.Struct, frozen=True, tag=True):
    """Sign the roots of your run of this receipt."""

    receipt: bytes


class Published(msgspec.Struct, frozen=True):
    """The state root before every step, the trace of the step, and the signature of all."""

    steps: tuple[tuple[bytes, bytes], ...]
    signature: bytes


class ValuesAsked(msgspec.Struct, frozen=True, tag=True):
    """Tell the digests of one step's values."""

    step: int


class LeavesAsked(msgspec.Struct, frozen=True, tag=True):
    """Tell the digests of one value's leaves."""

    step: int
    node: int


class Digests(msgspec.Struct, frozen=True):
    """What was asked for."""

    digests: tuple[bytes, ...]


class Publisher(Protocol):
    """Answers for a solver's published run."""

    def ask(self, line: msgspec.Struct) -> None:
        """Ask for a part."""
        ...

    def hear(self, kind: type[Digests]) -> Digests:
        """Return what it says next."""
        ...


def publish(publication: Publication, receipt: bytes, key: ChainKey, at: Manifest) -> Published:
    """Return what a solver publishes of its run of a receipt."""
    message = published_message(receipt, publication.root(), chain=at.chain, court=at.at("court"))
    return Published(publication.steps, key.sign(message))


def check_published(
    told: Published, steps: int, receipt: bytes, solver: bytes, at: Manifest
) -> Publication:
    """Return a publication that the solver signed for all steps of a unit.

    Raises:
        PublicationFalse: it did not.
    """
    if len(told.steps) != steps:
        raise PublicationFalse(f"it speaks of {len(told.steps)} of {steps} steps")
    found = Publication(told.steps)
    message = published_message(receipt, found.root(), chain=at.chain, court=at.at("court"))
    if len(told.signature) != 64 or signer_of(message, told.signature) != solver:
        raise PublicationFalse("the signature is not the solver's")
    return found


@dataclass
class PublishedRun:
    """A solver's run as far as it was published.

    Attributes:
        program: the unit's Program.
        publication: what was signed.
        signature: the solver's.
        publisher: whom to ask for more.
    """

    program: Program
    publication: Publication
    signature: bytes
    publisher: Publisher
    _told: dict[msgspec.Struct, tuple[bytes, ...]] = field(default_factory=dict)

    def _ask(self, line: msgspec.Struct) -> tuple[bytes, ...]:
        if line not in self._told:
            self.publisher.ask(line)
            self._told[line] = self.publisher.hear(Digests).digests
        return self._told[line]

    def values(self, step: int) -> Sequence[bytes]:
        """Return the tensor digest of every node's value in one step.

        Raises:
            PublicationFalse: they are not those that were signed.
        """
        found = self._ask(ValuesAsked(step))
        whole = len(found) == len(self.program.nodes)
        if not whole or trace_root(found) != self.publication.steps[step][1]:
            raise PublicationFalse(f"the values of step {step} are others")
        return found

    def leaf_digests(self, step: int, node: int) -> Sequence[bytes]:
        """Return the leaf digests of one value.

        Raises:
            PublicationFalse: they are not those that were signed.
        """
        found, kind = self._ask(LeavesAsked(step, node)), self.program.nodes[node].type
        if seal_tensor(kind.dtype, kind.shape, quick_root(found)) != self.values(step)[node]:
            raise PublicationFalse(f"the leaves of node {node} of step {step} are others")
        return found


@dataclass
class FalseJumper(FalseDoubter, Jumper):
    """A challenger who doubts what is true, and opens at the leaf where his own run parts."""


def doubter_of(
    case: Case,
    run: PartyRun,
    who: bytes,
    salt: bytes,
    *,
    seen: PublishedRun | None,
    truth: Callable[[], PartyRun] | None,
) -> Doubter:
    """Return a challenger, who has seen what the solver published, or nothing but its receipt.

    Args:
        case: what the dispute is about.
        run: the challenger's own run.
        who: its address.
        salt: what hides its opening.
        seen: what the solver published.
        truth: makes an honest run, for a challenger whose own is none.

    Raises:
        NothingToDispute: the runs agree.
        PublicationFalse: the solver tells what it did not sign.
    """
    if seen is None:
        if truth is None:
            return Doubter(case, run, who, salt)
        return FalseDoubter(case, run, who, salt, truth=truth)
    publication, signature = seen.publication, seen.signature
    if truth is None:
        return Jumper(
            case, run, who, salt, theirs=seen, publication=publication, signature=signature
        )
    return FalseJumper(
        case,
        run,
        who,
        salt,
        truth=truth,
        theirs=seen,
        publication=publication,
        signature=signature,
    )
