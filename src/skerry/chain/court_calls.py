"""Which call makes which move of a dispute: messages of the walk as calldata.

What    `Docket` is what one party holds of a game besides the rules. `announce`, `open_call`,
        `reveal_call`, `pick_call` and the rest return the call of the court that makes a move.
Why     The walk decides the move; the chain wants the state again, and proofs in place of facts
        that both parties simply know.
Rule    docs/reference/court.md. Moves that the court itself has no rules of travel inside `move`.
Pure    No keys, no IO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import msgspec
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from skerry.base.digests import merkle_levels, merkle_path
from skerry.chain.abi import Contract, contract
from skerry.chain.court_words import (
    PIECE_BYTES,
    Core,
    Seat,
    State,
    arity_of,
    item_of,
    name_word,
    piece_path,
    row_digest,
    row_path,
    words_of,
)
from skerry.chain.moves import Call
from skerry.commit.reading import Reading
from skerry.commit.state import open_state, state_leaves, state_root
from skerry.commit.trees import EMPTY_ROOTS, quick_root
from skerry.messages.disputes import (
    Open,
    Pick,
    Reveal,
    RevealLeaf,
    RevealParts,
    RevealRoots,
    RevealStep,
    RevealTrace,
)
from skerry.messages.fields import UNSIGNED
from skerry.messages.wire import encode as encoded
from skerry.program.canonical import header_bytes, judged_node, node_digests
from skerry.verify.descent import Descent
from skerry.verify.folds import FOLDS
from skerry.verify.game import Game
from skerry.verify.positions import (
    Carried,
    Leaf,
    Leaves,
    Names,
    Nodes,
    OutputSteps,
    Point,
    Step,
    Steps,
    Trace,
)
from skerry.verify.runs_game import PART_BYTES, RunsGame
from skerry.verify.terms import Terms

ABSENT = (1 << 256) - 1
NO_HELD = (bytes(32), bytes(32), 0, b"")
NO_ENTRY = (b"", bytes(32), (), b"", 0, 0)

Artifacts = Mapping[str, Contract]


def shipped() -> Artifacts:
    """Return the contracts of a court that this package was built with."""
    return {name: contract(name) for name in ("court", "walk_steps", "walk_values", "verdicts")}


class SampleSource(Protocol):
    """The samples that a unit reads."""

    @property
    def reading(self) -> Reading:
        """How they are read."""
        ...

    def proof(self, index: int) -> tuple[bytes, Sequence[bytes]]:
        """Return the record of sample `index` and its path to the root of the samples."""
        ...


@dataclass(frozen=True)
class Case:
    """What a party knows of a dispute on the chain besides the rules.

    Attributes:
        terms: what the dispute is about.
        before: the state before the unit, names to tensor digests.
        docket: what the market admits the receipt by.
        artifacts: the contracts.
        samples: what the unit reads, where it reads any.
    """

    terms: Terms
    before: Mapping[str, bytes]
    docket: bytes
    artifacts: Artifacts
    samples: SampleSource | None = None

    def __post_init__(self) -> None:
        # a court doubts whole steps, whatever the parties agreed on elsewhere
        object.__setattr__(self, "terms", replace(self.terms, whole_steps=True))
        assert state_root(self.before) == self.terms.receipt.state_before, "another state"

    @cached_property
    def receipt(self) -> bytes:
        """The receipt's bytes as its name is made of."""
        return encoded(msgspec.structs.replace(self.terms.receipt, signature=UNSIGNED))

    @cached_property
    def _node_levels(self) -> list[list[bytes]]:
        return merkle_levels(node_digests(self.terms.program))

    def core(self, bond: int) -> Core:
        """Return what stays fixed in a game with this bond."""
        unit = self.terms.receipt.unit
        return Core(
            keccak(self.docket),
            self.terms.game,
            unit.program,
            unit.state,
            len(self.terms.names),
            unit.segments,
            unit.steps,
            bond,
        )

    def node(self, at: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Return a node's bytes and its path under the Program's digest."""
        return judged_node(self.terms.program, at), merkle_path(self._node_levels, at + 1)

    def header(self) -> tuple[Any, ...]:
        """Return the opening of the header alone."""
        return b"", bytes(32), self.header_path, header_bytes(self.terms.program), 0, 0

    @cached_property
    def header_path(self) -> tuple[bytes, ...]:
        """The path of the header under the Program's digest."""
        return merkle_path(self._node_levels, 0)

    def entry(self, name: str) -> tuple[Any, ...]:
        """Return the opening of an entry's name, and of the header that says what it comes from."""
        _, _, path, header, _, _ = self.header()
        hint = self.hint(name, state=True)
        if not self.before:
            return name.encode(), bytes(32), path, header, *hint
        shown = open_state(self.before, name)
        return name.encode(), shown.tensor, (*shown.path, *path), header, *hint

    def hint(self, name: str, *, state: bool) -> tuple[int, int]:
        """Return where in the header an output begins, and the number of nodes does, or zeros."""
        program, pack = self.terms.program, msgspec.msgpack.encode
        outputs = program.outputs
        fields = (program.version, program.name, program.shards, program.inputs, outputs)
        at = 1 + sum(map(len, map(pack, fields))) - sum(map(len, map(pack, outputs)))
        for output in outputs:
            if (output.role == "state", output.name) == (state, name):
                return at, len(header_bytes(program)) - len(pack(len(program.nodes)))
            at += len(pack(output))
        return 0, 0

    def doubt(self, message: Open, salt: bytes) -> tuple[Any, ...]:
        """Return the doubt of an opening as the chain takes it."""
        segment = ABSENT if message.segment is None else message.segment
        output = (message.output or "").encode()
        root = quick_root(state_leaves(self.before)) if self.before else EMPTY_ROOTS[0]
        return segment, output, salt, len(self.before), root

    def game_name(self, challenger: bytes, message: Open, salt: bytes) -> bytes:
        """Return the name under which a game is announced."""
        segment, output, _, _, _ = self.doubt(message, salt)
        kinds = ["address", "bytes32", "uint256", "bytes32", "bytes32"]
        facts = [challenger, self.terms.game, segment, keccak(output), salt]
        return keccak(encode(kinds, facts))


@dataclass(frozen=True, slots=True)
class Stand:
    """A game on the chain as one party sees it: its name, who plays, and its last state."""

    game: bytes
    seat: Seat
    state: State

    @property
    def core(self) -> tuple[Any, ...]:
        """What stays fixed, as a call takes it."""
        return astuple(self.seat.core)

    @property
    def words(self) -> tuple[Any, ...]:
        """The state, as a call takes it."""
        return astuple(self.state)


def announce_call(case: Case, challenger: bytes, message: Open, salt: bytes) -> Call:
    """Return the call that announces an opening."""
    return Call("court", "announce", (case.game_name(challenger, message, salt),))


def open_call(case: Case, seat: Seat, message: Open, salt: bytes, *, clock: int) -> Call:
    """Return the call that opens what was announced.

    Args:
        case: the dispute.
        seat: who plays, with the bond that is due.
        message: the opening.
        salt: what it was announced with.
        clock: both budgets, the grace and the arities, as the court packs them.
    """
    entry = NO_ENTRY if case.before else case.header()
    terms = (seat.challenger, seat.solver, keccak(case.docket), seat.core.bond, clock)
    begin = case.artifacts["walk_steps"].call(
        "begin", terms, case.receipt, case.doubt(message, salt), entry
    )
    return Call("court", "open", (seat.challenger, case.docket, False, begin))


# ---- the solver ----------------------------------------------------------------------------------


def _moved(case: Case, stand: Stand, who: bytes, name: str, *arguments: Any) -> Call:
    """Return a move by the rules of walk_steps.vy or walk_values.vy."""
    inside = name in (
        "show_step",
        "show_trace",
        "pick_node",
        "pick_leaf",
        "show_parts",
        "pick_part",
    )
    artifact = case.artifacts["walk_values" if inside else "walk_steps"]
    data = artifact.call(name, stand.words, who, *arguments)
    return Call("court", "move", (stand.game, who, inside, data))


def reveal_call(
    case: Case, stand: Stand, game: Game | RunsGame, message: Reveal | RevealParts
) -> Call:
    """Return the call that makes a reveal; `game` is the one before it."""
    seat = stand.seat
    facts = (seat.challenger, seat.core.digest())
    if isinstance(game, RunsGame):
        assert isinstance(message, RevealParts), "runs are answered by parts"
        return _moved(case, stand, seat.solver, "show_parts", *facts, message.data)
    match game.position, message:
        case Steps(), RevealRoots():
            return _moved(case, stand, seat.solver, "show", *facts, message.roots)
        case Step(), RevealStep():
            count, before = len(case.terms.program.nodes), message.before or bytes(32)
            return _moved(
                case, stand, seat.solver, "show_step", *facts, count, before, message.roots
            )
        case Trace() as at, RevealTrace():
            whole = Descent.of(len(case.terms.program.nodes), b"")
            below, _, _ = whole.row_span(case.terms.cuts.nodes)
            name = (at.name or "").encode()
            path = message.path[:below]
            return _moved(
                case, stand, seat.solver, "show_trace", *facts, name, message.value, path,
                message.roots,
            )  # fmt: skip
        case Leaf(), RevealLeaf():
            return Call("court", "show_leaf", (stand.game, stand.words, message.data))
        case _, RevealRoots():
            return Call("court", "reveal", (stand.game, stand.words, message.roots))
        case _:
            raise AssertionError("a reveal of a kind that this level does not take")


# ---- the challenger ------------------------------------------------------------------------------


def pick_call(case: Case, stand: Stand, game: Game | RunsGame, message: Pick) -> Call:
    """Return the call that makes a pick; `game` is the one that was shown."""
    seat, who = stand.seat, stand.seat.challenger
    if isinstance(game, RunsGame):
        assert game.shown is not None, "nothing was shown"
        piece, path = piece_path(game.shown.data, message.choice * PART_BYTES // PIECE_BYTES)
        return _moved(
            case, stand, who, "pick_part", seat.solver, seat.core.digest(), message.choice,
            game.claimed_word(), piece, path,
        )  # fmt: skip
    shown, at = game.shown, game.position
    after = game.pick(message)
    facts = (seat.solver, stand.core, message.choice)
    match at, shown:
        case Steps(), RevealRoots():
            return _moved(case, stand, who, "pick_steps", *facts, shown.roots)
        case Step(), RevealStep() if message.choice > len(shown.roots):
            assert shown.before is not None, "nothing but an open root can differ"
            bound = (shown.before, name_word(at), at.claimed)
            return _moved(
                case, stand, who, "pick_before", seat.solver, stand.core, *bound, case.receipt
            )
        case Leaf(), RevealLeaf():
            return Call(
                "court", "move", (stand.game, who, True, leaf_pick(case, stand, game, message))
            )
        case _:
            return _row_pick(case, stand, game, after, message)


def _row_pick(case: Case, stand: Stand, game: Game, after: Game, message: Pick) -> Call:
    """Return the pick of a root from a row that joins."""
    seat, who, at = stand.seat, stand.seat.challenger, game.position
    assert isinstance(game.shown, RevealRoots | RevealTrace | RevealStep), "a row is due"
    if isinstance(at, Trace | Step):
        descent, arity = Descent.of(len(case.terms.program.nodes), b""), case.terms.cuts.nodes
    else:
        assert isinstance(at, Names | OutputSteps | Nodes | Leaves), "a row below no level"
        descent, arity = at.descent, arity_of(case.terms, at)
    height, _, _ = descent.row_span(arity)
    roots = game.shown.roots
    levels = descent.levels(arity)
    row = (
        message.choice,
        roots[message.choice],
        row_path(roots, height, levels, message.choice),
        *_kept_row(Game(game.terms, at, game.turn), roots),
    )
    match after.position:
        case Leaf() | Leaves() if isinstance(at, Trace | Step | Nodes):
            node, path = case.node(after.position.node)
            return _moved(case, stand, who, "pick_node", seat.solver, stand.core, *row, node, path)
        case Trace() | Carried() if isinstance(at, Names):
            assert after.position.name is not None, "an entry has a name"
            entry = case.entry(after.position.name)
            return _moved(case, stand, who, "pick_entry", seat.solver, stand.core, *row, entry)
        case _:
            facts = (stand.game, stand.words, who, seat.solver, seat.core.digest())
            return Call("court", "pick", (*facts, *row))


def _kept_row(before: Game, roots: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return what is agreed and the row's hash, which a pick from a row held later must say."""
    if isinstance(before.position, Trace | Step):
        return bytes(32), bytes(32)
    return words_of(before).held, row_digest(roots)


def refute_call(case: Case, stand: Stand, before: Game, roots: Sequence[bytes]) -> Call:
    """Return the call that ends a game by a row that does not join; `before` is the one before."""
    seat = stand.seat
    facts = (stand.game, stand.words, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "refute", (*facts, words_of(before).held, roots))


def held_of(case: Case, point: Point | Leaf) -> tuple[Any, ...]:
    """Return what a judge must be shown of the step and the node."""
    node = judged_node(case.terms.program, point.node)
    return point.before, point.trace, len(case.terms.program.nodes), node


def leaf_pick(case: Case, stand: Stand, game: Game, message: Pick) -> bytes:
    """Return the calldata of the pick of one element."""
    at, shown = game.position, game.shown
    assert isinstance(at, Leaf), "a leaf was to be shown"
    assert isinstance(shown, RevealLeaf), "a leaf was to be shown"
    seat = stand.seat
    place = message.choice * item_of(case.terms.program, at.node) // PIECE_BYTES
    piece, path = piece_path(shown.data, place)
    fold = case.terms.program.nodes[at.node].op in FOLDS
    held = held_of(case, at) if fold else NO_HELD
    return case.artifacts["walk_values"].call(
        "pick_leaf", stand.words, seat.challenger, seat.solver, seat.core.digest(),
        message.choice, piece, path, held,
    )  # fmt: skip


# ---- the end -------------------------------------------------------------------------------------


def timeout_call(case: Case, stand: Stand, *, withdraw: bool = False) -> Call:
    """Return the call that ends a game whose mover is late, or whose receipt fell elsewhere."""
    seat = stand.seat
    facts = (stand.game, stand.words, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "withdraw" if withdraw else "timeout", facts)
