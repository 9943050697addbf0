"""A shorter dispute: the solver had published the roots of its run, so one call opens at a leaf.

What    `Publication` is what a solver signs over all its steps. `Jumper` is a challenger who has
        seen the published roots; it opens where they first part from its own run.
Why     Walking a tree that both sides can see costs two transactions a level for nothing.
Rule    A step's leaf is H("published", state root before it || trace); the signed root is the
        Merkle root over the steps. The solver answers for whatever hangs on it.
Source  contracts/walk_values.vy, function begin_inside.
Pure    No keys: a signature is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from skerry.base.digests import digest, merkle_levels, merkle_path, merkle_root
from skerry.chain.court_words import Seat
from skerry.chain.disputes import Doubter
from skerry.chain.moves import Call
from skerry.chain.proofs import HeardTrace
from skerry.commit.state import state_leaves, state_root
from skerry.commit.transcript import trace_root
from skerry.commit.trees import quick_root
from skerry.market.offers import TypedData
from skerry.verify.descent import Descent
from skerry.verify.game import Game
from skerry.verify.positions import Leaf
from skerry.verify.walk import Challenger, NothingToDispute, RunRoots

_PUBLISHED = (("receipt", "bytes32"), ("root", "bytes32"))
_DOMAIN = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)


@dataclass(frozen=True, slots=True)
class Publication:
    """The state root before every step of a unit, and the trace of the step."""

    steps: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, run: RunRoots, steps: int) -> Publication:
        """Return what a run comes to."""
        before = map(state_root, run.states(range(steps)))
        traces = (trace_root(run.values(step)) for step in range(steps))
        return cls(tuple(zip(before, traces, strict=True)))

    def leaves(self) -> list[bytes]:
        """Return the leaves under the signed root."""
        return [digest("published", before, trace) for before, trace in self.steps]

    def root(self) -> bytes:
        """Return the root that is signed."""
        return merkle_root(self.leaves())


def published_message(receipt: bytes, root: bytes, *, chain: int, court: bytes) -> TypedData:
    """Return the typed data that a solver signs to publish its roots."""
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN],
            "Published": [{"name": name, "type": kind} for name, kind in _PUBLISHED],
        },
        "primaryType": "Published",
        "domain": {"name": "Skerry", "version": "1", "chainId": chain, "verifyingContract": court},
        "message": {"receipt": receipt, "root": root},
    }


class Shown(Protocol):
    """What a solver lets be seen of its run."""

    def values(self, step: int) -> Sequence[bytes]:
        """Return the tensor digest of every node's value in one step."""
        ...

    def leaf_digests(self, step: int, node: int) -> Sequence[bytes]:
        """Return the leaf digests of one value."""
        ...


def likely_steps(publication: Publication, own: RunRoots) -> list[int]:
    """Return all steps, first the one after which the published state is not one's own."""
    count = len(publication.steps)
    mine = map(state_root, own.states(range(count)))
    pairs = enumerate(zip(publication.steps, mine, strict=True))
    first = next((at - 1 for at, ((before, _), it) in pairs if before != it), 0)
    return sorted(range(count), key=lambda step: step != max(first, 0))


def parting(theirs: Shown, own: RunRoots, steps: Sequence[int]) -> tuple[int, int, int]:
    """Return the first of some steps in which two runs part, and there the first node and leaf.

    Raises:
        NothingToDispute: they never do.
    """
    for step in steps:
        pairs = enumerate(zip(theirs.values(step), own.values(step), strict=True))
        node = next((at for at, (a, b) in pairs if a != b), None)
        if node is not None:
            leaves = zip(theirs.leaf_digests(step, node), own.leaf_digests(step, node), strict=True)
            leaf = next(at for at, (a, b) in enumerate(leaves) if a != b)
            return step, node, leaf
    raise NothingToDispute


@dataclass
class Jumper(Doubter):
    """A challenger who opens at the first leaf that parts from what was published.

    Attributes:
        theirs: the solver's run as far as it is published.
        publication: what it signed.
        signature: the 64 bytes of the signature (EIP-2098).
    """

    theirs: Shown = field(kw_only=True)
    publication: Publication = field(kw_only=True)
    signature: bytes = field(kw_only=True)

    def __post_init__(self) -> None:
        terms = self.case.terms
        count = len(terms.program.nodes)
        order = likely_steps(self.publication, self.run)
        step, node, leaf = parting(self.theirs, self.run, order)
        before, trace = self.publication.steps[step]
        leaves = self.theirs.leaf_digests(step, node)
        descent = Descent(len(leaves), 0, leaf, leaves[leaf])
        game = Game(terms, Leaf(step, before, trace, node, descent))
        self.walk = Challenger(terms, self.run, None, game)
        self.heard = HeardTrace(count, {(0, at): it for at, it in enumerate(self._values(step))})
        self._at = step, node, leaf

    def _values(self, step: int) -> Sequence[bytes]:
        return self.theirs.values(step)

    @property
    def game(self) -> bytes:
        """The game's name on the chain."""
        step, node, leaf = self._at
        spot = keccak(encode(["uint256", "uint256"], [node, leaf]))
        kinds = ["address", "bytes32", "uint256", "bytes32", "bytes32"]
        return keccak(encode(kinds, [self.address, self.case.terms.game, step, spot, self.salt]))

    def announce(self) -> Call:
        """Return the call that announces the game."""
        return Call("court", "announce", (self.game,))

    def open(self, solver: bytes, *, bond: int, clock: int) -> Call:
        """Return the call that opens what was announced, in a later second."""
        case = self.case
        terms = (self.address, solver, keccak(case.docket), bond, clock)
        begin = case.artifacts["walk_values"].call(
            "begin_inside", terms, case.receipt, self._jump()
        )
        return Call("court", "open", (self.address, case.docket, True, begin))

    def seat(self, solver: bytes, bond: int) -> Seat:
        """Return who plays."""
        return Seat(self.address, solver, self.case.core(bond))

    def _jump(self) -> tuple[Any, ...]:
        step, node, leaf = self._at
        before, trace = self.publication.steps[step]
        values, leaves = self._values(step), self.theirs.leaf_digests(step, node)
        data, node_path = self.case.node(node)
        state = self.case.before
        return (
            len(state), quick_root(state_leaves(state)), self.salt, step, before, trace,
            merkle_path(merkle_levels(self.publication.leaves()), step),
            self.signature[:32], self.signature[32:], len(values), node, values[node],
            merkle_path(merkle_levels(values), node), data, node_path, leaf, leaves[leaf],
            merkle_path(merkle_levels(leaves), leaf),
        )  # fmt: skip
