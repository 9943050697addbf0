"""The words of a dispute on the chain: what the hash of a game covers.

What    `words_of(game)` is where a game stands, as the contracts pack it; `State` adds the clocks
        and the seat; `Core` and `Seat` are what stays fixed.
Why     The chain keeps one hash of a game. Whoever moves supplies the words again, and both parties
        must come to the same ones from the rules alone.
Rule    contracts/places.vy, and docs/reference/court.md in words.
Pure    No IO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from skerry.base.digests import merkle_levels, merkle_path
from skerry.commit.tensors import ITEM_BYTES, leaf_digest
from skerry.commit.transcript import seal_trace
from skerry.commit.trees import EMPTY_ROOTS, fold
from skerry.messages.disputes import Reveal, RevealLeaf, RevealRoots, RevealStep, RevealTrace
from skerry.program import Node, Program, TensorType
from skerry.program.canonical import judged_node
from skerry.verify.descent import Descent
from skerry.verify.folds import FOLDS, GREATEST
from skerry.verify.game import Game
from skerry.verify.judged import node_leaf
from skerry.verify.positions import (
    Boundary,
    Carried,
    Contradiction,
    Leaf,
    Leaves,
    Mismatch,
    Names,
    Nodes,
    OutputSteps,
    Point,
    Step,
    Steps,
    Trace,
)
from skerry.verify.runs_game import Runs, RunsGame
from skerry.verify.terms import Arities, Terms

SHOWN, SEALED, OUTPUT, FOLD, MAXIMUM, PLAIN, UNSURE, ROWS = 1, 2, 4, 8, 16, 32, 64, 128
STEPS, NAMES, OUTPUT_STEPS = 1, 2, 3
TRACE, NODES, LEAVES, LEAF, POINT, CARRIED, RUNS, STEP = range(5, 13)
NOTHING = bytes(32)
WORD_BYTES = 32
PIECE_BYTES = 256


@dataclass(frozen=True, slots=True)
class Place:
    """The third word of a state, taken apart; as in contracts/places.vy."""

    kind: int
    flags: int = 0
    turn: int = 0
    step: int = 0
    node: int = 0
    count: int = 0
    height: int = 0
    index: int = 0

    def word(self) -> int:
        """Return the packed word."""
        return (
            self.kind << 248
            | self.flags << 240
            | self.turn << 224
            | self.step << 192
            | self.node << 160
            | self.count << 96
            | self.height << 88
            | self.index << 24
        )


@dataclass(frozen=True, slots=True)
class Words:
    """Where a game stands."""

    place: Place
    held: bytes
    kept: bytes
    claimed: bytes


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the hash of a game covers, as an event carries it."""

    clock: int
    seat: bytes
    place: int
    held: bytes
    kept: bytes
    claimed: bytes

    @property
    def deadline(self) -> int:
        """The last second at which the mover may move."""
        return self.clock >> 192

    @property
    def shown(self) -> bool:
        """Whether the challenger is to pick."""
        return bool(self.place >> 240 & SHOWN)

    @property
    def kind(self) -> int:
        """The level."""
        return self.place >> 248

    @property
    def challenger_moves(self) -> bool:
        """Whose clock runs."""
        return self.shown or self.kind in (POINT, CARRIED)

    def budgets(self) -> tuple[int, int]:
        """Return the seconds left to the challenger and to the solver beyond the grace."""
        return self.clock >> 160 & 0xFFFFFFFF, self.clock >> 128 & 0xFFFFFFFF

    def matches(self, words: Words) -> bool:
        """Return whether the chain stands where the rules say."""
        return (self.place, self.held, self.kept, self.claimed) == (
            words.place.word(),
            words.held,
            words.kept,
            words.claimed,
        )


@dataclass(frozen=True, slots=True)
class Core:
    """What stays fixed in a game; as in contracts/places.vy."""

    docket: bytes
    receipt: bytes
    program: bytes
    state: bytes
    names: int
    segments: int
    steps: int
    bond: int

    def digest(self) -> bytes:
        """Return the hash under which a seat holds this."""
        return keccak(b"".join(map(word, astuple(self))))


@dataclass(frozen=True, slots=True)
class Seat:
    """Who plays, and about what."""

    challenger: bytes
    solver: bytes
    core: Core

    def digest(self) -> bytes:
        """Return the word of a state that says so."""
        return keccak(word(self.challenger) + word(self.solver) + self.core.digest())


def word(value: int | bytes) -> bytes:
    """Return one word: an integer, an address or a digest."""
    data = value.to_bytes(WORD_BYTES, "big") if isinstance(value, int) else value
    return data.rjust(WORD_BYTES, b"\0")


def packed_widths(arities: Arities) -> int:
    """Return the arities as a court is deployed with them: log2, four bits a level."""
    value = 0
    for arity in astuple(arities):
        value = value << 4 | arity.bit_length() - 1
    return value


def packed_type(kind: TensorType) -> bytes:
    """Return a type as one word: dtype 4 bits, rank 4 bits, dimensions of 31 bits."""
    value = {"f32": 1, "i64": 2, "bool": 3}[kind.dtype] << 252 | len(kind.shape) << 248
    for axis, size in enumerate(kind.shape):
        value |= size << 217 - 31 * axis
    return word(value)


def row_path(roots: Sequence[bytes], height: int, levels: int, choice: int) -> tuple[bytes, ...]:
    """Return the siblings from one root of a row up to the root that the row joins to."""
    padded = [*roots, *[EMPTY_ROOTS[height]] * ((1 << levels) - len(roots))]
    return merkle_path(merkle_levels(padded), choice)


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]


def _above(row: list[bytes]) -> list[bytes]:
    joined = [keccak(row[at] + row[at + 1]) for at in range(0, len(row) - 1, 2)]
    return [*joined, *row[len(row) & ~1 :]]


def pieces_root(data: bytes) -> bytes:
    """Return the Keccak root over the pieces of a leaf; an odd end goes up as it is."""
    row = [keccak(it) for it in _pieces(data)]
    while len(row) > 1:
        row = _above(row)
    return row[0]


def piece_path(data: bytes, at: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Return one piece of a leaf and its path to the root over all of them."""
    pieces = _pieces(data)
    row, path, shown = [keccak(it) for it in pieces], [], pieces[at]
    while len(row) > 1:
        if at ^ 1 < len(row):
            path.append(row[at ^ 1])
        row = _above(row)
        at //= 2
    return shown, tuple(path)


def roots_digest(roots: Sequence[bytes]) -> bytes:
    """Return the hash by which the steps' roots are kept until the pick."""
    return keccak(encode(["bytes32[]"], [list(roots)]))


def step_held(before: bytes, trace: bytes) -> bytes:
    """Return what binds a step: the agreed state before it, and the solver's trace of it."""
    return keccak(before + trace)


def value_held(program: Program, before: bytes, trace: bytes, node: int) -> bytes:
    """Return what binds a value: its step, its node, and how many values the step has."""
    leaf = node_leaf(judged_node(program, node))
    return keccak(step_held(before, trace) + leaf + word(len(program.nodes)))


# ---- where a game stands -------------------------------------------------------------------------


def words_of(game: Game | RunsGame) -> Words:
    """Return where a game stands, as the contracts pack it."""
    if isinstance(game, RunsGame):
        return _runs_words(game)
    words = _words(game)
    return words if game.shown is None else _shown_words(game, words, game.shown)


def _tree(kind: int, turn: int, descent: Descent, *, step: int = 0, node: int = 0) -> Place:
    flags = SEALED if descent.seal else 0
    return Place(kind, flags, turn, step, node, descent.count, descent.height, descent.index)


def _words(game: Game) -> Words:
    terms, turn = game.terms, game.turn
    match game.position:
        case Steps() as at:
            return Words(Place(STEPS, 0, turn, at.first, at.last), at.agreed, NOTHING, at.claimed)
        case Names() as at:
            place = _tree(NAMES, turn, at.descent, step=at.step)
            return Words(place, at.before, NOTHING, at.descent.claimed)
        case OutputSteps() as at:
            place = _tree(OUTPUT_STEPS, turn, at.descent)
            return Words(place, NOTHING, keccak(at.name.encode()), at.descent.claimed)
        case Step() as at:
            flags = (OUTPUT if at.name else 0) | (0 if at.before else UNSURE)
            place = Place(STEP, flags, turn, at.step)
            return Words(place, at.before or NOTHING, name_word(at), at.claimed)
        case Trace() as at:
            assert at.name is not None, "a chain doubts outputs by whole steps"
            place = Place(
                TRACE, 0, turn, at.step, at.node, len(terms.program.nodes), 0, at.entry.index
            )
            return Words(place, at.before, keccak(at.name.encode()), at.entry.claimed)
        case Nodes() as at:
            place = _tree(NODES, turn, at.descent, step=at.step)
            return Words(place, step_held(at.before, at.trace), NOTHING, at.descent.claimed)
        case Leaves() | Leaf() as at:
            return _value_words(terms, turn, at)
        case Point() as at:
            return _point_words(terms, turn, at, Place(POINT, 0, turn, at.step, at.node))
        case Carried() as at:
            place = _tree(CARRIED, turn, at.entry, step=at.step)
            return Words(place, at.before, keccak(at.name.encode()), at.entry.claimed)
        case Contradiction() as at:
            return Words(Place(CARRIED, UNSURE, turn, at.step), at.said, NOTHING, at.shown)
        case Boundary() | Mismatch():
            raise AssertionError("a chain knows no such position: it doubts whole steps")


def _value_words(terms: Terms, turn: int, at: Leaves | Leaf) -> Words:
    node = terms.program.nodes[at.node]
    kind = LEAVES if isinstance(at, Leaves) else LEAF
    place = _tree(kind, turn, at.descent, step=at.step, node=at.node)
    flags = place.flags | fold_flags(node)
    return Words(
        Place(kind, flags, turn, at.step, at.node, place.count, place.height, place.index),
        value_held(terms.program, at.before, at.trace, at.node),
        packed_type(node.type),
        at.descent.claimed,
    )


def _point_words(terms: Terms, turn: int, at: Point, place: Place, fold: int = 0) -> Words:
    flags = fold_flags(terms.program.nodes[at.node])
    bits = int.from_bytes(at.claimed, "little")
    return Words(
        Place(place.kind, flags, turn, at.step, at.node, 0, 0, at.element),
        value_held(terms.program, at.before, at.trace, at.node),
        NOTHING,
        word(bits << 64 | fold % (1 << 64)),
    )


def _runs_words(game: RunsGame) -> Words:
    at: Runs = game.at
    kind = POINT if game.over else RUNS
    point = game.point
    words = _point_words(game.terms, game.turn, point, Place(kind), at.fold)
    kept = NOTHING if game.whole and game.over else word(at.first << 128 | at.last)
    if game.shown is None:
        return Words(words.place, words.held, kept, words.claimed)
    place = words.place
    flagged = Place(
        kind, place.flags | SHOWN, place.turn, place.step, place.node, 0, 0, place.index
    )
    return Words(flagged, words.held, kept, keccak(words.claimed + pieces_root(game.shown.data)))


def with_flags(place: Place, flags: int) -> Place:
    """Return a place with other flags."""
    return replace(place, flags=flags)


def row_digest(roots: Sequence[bytes]) -> bytes:
    """Return the hash by which a row is kept that is held to what is claimed later."""
    return keccak(b"".join(roots))


def _shown_words(game: Game, words: Words, shown: Reveal) -> Words:
    """Return where a game stands after the solver's reveal."""
    place = with_flags(words.place, (words.place.flags | SHOWN) & ~SEALED)
    match game.position, shown:
        case Steps(), RevealRoots():
            return Words(place, words.held, roots_digest(shown.roots), words.claimed)
        case Step() as at, RevealStep():
            before = shown.before or at.before
            whole, root, trace = _top(game, shown.roots)
            place = Place(STEP, place.flags, game.turn, at.step, 0, whole.count, whole.height)
            bound = keccak(before + words.kept + words.claimed)
            return Words(place, step_held(before, trace), bound, root)
        case Trace() as at, RevealTrace():
            whole, root, trace = _top(game, shown.roots)
            place = Place(TRACE, SHOWN, game.turn, at.step, 0, whole.count, whole.height)
            return Words(place, step_held(at.before, trace), NOTHING, root)
        case Leaf(), RevealLeaf():
            return Words(place, words.held, words.kept, pieces_root(shown.data))
        case Names() | OutputSteps() | Nodes() | Leaves(), RevealRoots():
            place = with_flags(words.place, words.place.flags | SHOWN)
            held = keccak(words.held + row_digest(shown.roots))
            return Words(place, held, words.kept, words.claimed)
        case _:
            raise AssertionError("a reveal passed the rules of a level that does not take it")


def name_word(at: Step | Mismatch) -> bytes:
    """Return what a doubt about a whole step says of the output, if it is about one."""
    return NOTHING if at.name is None else keccak(at.name.encode())


def _top(game: Game, roots: Sequence[bytes]) -> tuple[Descent, bytes, bytes]:
    """Return the tree of a trace, the root that its top row joins to, and the trace's root."""
    whole = Descent.of(len(game.terms.program.nodes), b"")
    height, _, _ = whole.row_span(game.terms.cuts.nodes)
    root = fold(roots, height, whole.height - height)
    return whole, root, seal_trace(whole.count, root)


def arity_of(terms: Terms, level: Names | OutputSteps | Nodes | Leaves) -> int:
    """Return into how many parts a row at this level cuts."""
    match level:
        case Names():
            return terms.cuts.names
        case OutputSteps():
            return terms.cuts.outputs
        case Nodes():
            return terms.cuts.nodes
        case Leaves():
            return terms.cuts.leaves


def fold_flags(node: Node) -> int:
    """Return what a place says of a reduction; nothing of any other op."""
    if node.op not in FOLDS:
        return 0
    plain = 0 if node.op in ("amax", "argmax", "topk") else PLAIN
    flat = node.op == "scatter_add" and len(node.type.shape) == 1
    rows = ROWS if node.op == "dot" or flat else 0
    return FOLD | plain | rows | (MAXIMUM if node.op in GREATEST else 0)


def item_of(program: Program, node: int) -> int:
    """Return the bytes of an element of a node's value."""
    return ITEM_BYTES[program.nodes[node].type.dtype]


def is_leaf_of(descent: Descent, data: bytes) -> bool:
    """Return whether these bytes are the doubted leaf."""
    return descent.binds(leaf_digest(data))
