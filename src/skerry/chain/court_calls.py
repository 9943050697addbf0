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
from typing import Any

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
from skerry.verify.judged import Opened, node_leaf
from skerry.verify.positions import (
    Carried,
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
from skerry.verify.runs_game import PART_BYTES, RunsGame
from skerry.verify.terms import Terms

ABSENT = (1 << 256) - 1
NO_HELD = (bytes(32), bytes(32), 0, b"")
NO_ENTRY = (b"", bytes(32), (), b"", 0, 0)

Artifacts = Mapping[str, Contract]
NamedTensors = Mapping[str, bytes]


def shipped() -> Artifacts:
    """Return the contracts of a court that this package was built with."""
    return {name: contract(name) for name in ("court", "walk_steps", "walk_values", "verdicts")}


@dataclass(frozen=True)
class Case:
    """What a party knows of a dispute on the chain besides the rules.

    Attributes:
        terms: what the dispute is about.
        before: the state before the unit, names to tensor digests.
        docket: what the market admits the receipt by.
        artifacts: the contracts.
    """

    terms: Terms
    before: Mapping[str, bytes]
    docket: bytes
    artifacts: Artifacts

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


_OPENED = "(bytes,bytes32[])"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge is shown, as the court takes it."""

    before: bytes
    trace: bytes
    node: bytes
    values: int
    rule: bytes
    node_at: bytes
    data: bytes


def element_verdict(case: Case, point: Point, shown: Sequence[Opened]) -> Verdict:
    """Return the verdict on an element of any op that is no fold and no input."""
    rule = contract("adjudicator").selector("judge")
    return _spliced(case, point, rule, [f"{_OPENED}[]"], [openings(shown)])


def run_verdict(case: Case, point: Point, shown: Sequence[Opened]) -> Verdict:
    """Return the verdict on one run of a fold; the court puts in which run, and of what."""
    kinds, rule = ["uint256", "uint256", f"{_OPENED}[]"], contract("folds").selector("judge")
    return _spliced(case, point, rule, kinds, [0, 0, openings(shown)], known=2)


def state_verdict(case: Case, point: Point, index: int, shown: Opened) -> Verdict:
    """Return the verdict on an input that is entry `index` of the state before the step."""
    kinds, rule = ["bytes32", "uint256", "uint256", _OPENED], contract("wiring").selector("state")
    values = [bytes(32), 0, index, (shown.data, shown.path)]
    return _spliced(case, point, rule, kinds, values, known=2)


def given_verdict(case: Case, point: Point, shown: Opened) -> Verdict:
    """Return the verdict on an input that the unit names by a digest."""
    kinds, rule = ["bytes32", "bytes", _OPENED], contract("feeds").selector("given")
    values = [bytes(32), case.receipt, (shown.data, shown.path)]
    return _spliced(case, point, rule, kinds, values, known=1)


def chance_verdict(case: Case, point: Point) -> Verdict:
    """Return the verdict on an input that is a seed of the job's chance."""
    kinds, rule = ["bytes32", "uint256", "bytes"], contract("feeds").selector("chance")
    return _spliced(case, point, rule, kinds, [bytes(32), 0, case.receipt], known=2)


def carried_verdict(case: Case, name: str, tensor: bytes, path: Sequence[bytes]) -> Verdict:
    """Return the verdict on an entry that the Program never touches."""
    return _whole(case, "carried", name.encode(), tensor, path)


def left_verdict(case: Case, at: Mismatch, values: Sequence[bytes], state: NamedTensors) -> Verdict:
    """Return the verdict on what a step left, all of whose values agree.

    Args:
        case: the dispute.
        at: the end.
        values: the values of the step.
        state: the state before it; every name of the state after it, where it begins with the unit.
    """
    program, levels = case.terms.program, merkle_levels(values)
    bound = (at.before, at.trace, at.claimed)
    header, count_at = header_bytes(program), 0

    def named(name: str, *, output: bool) -> tuple[Any, ...]:
        nonlocal count_at
        nodes = case.terms.output_nodes if output else case.terms.state_nodes
        begins, count = case.hint(name, state=not output)
        count_at = max(count_at, count)
        node = nodes.get(name)
        shown = (bytes(32), ()) if node is None else (values[node], merkle_path(levels, node))
        return name.encode(), state.get(name, bytes(32)), begins, *shown

    if at.name is None:
        entries = [named(name, output=False) for name in case.terms.names]
        opened = (header, case.header_path, count_at)
        return _whole(case, "left_state", bound, opened, entries)
    one = named(at.name, output=True)
    return _whole(case, "left_output", bound, (header, case.header_path, count_at), one)


def counted_verdict(case: Case) -> Verdict:
    """Return the verdict on the number of values that a step was shown with."""
    return _whole(case, "counted", (header_bytes(case.terms.program), case.header_path, 0))


def _whole(case: Case, name: str, *arguments: Any) -> Verdict:
    """Return a call of verdicts.vy without the state and what stays fixed before it."""
    state = (0, bytes(32), 0, bytes(32), bytes(32), bytes(32))
    core = (bytes(32), bytes(32), bytes(32), bytes(32), 0, 0, 0, 0)
    data = case.artifacts["verdicts"].call(name, state, core, *arguments)
    known = 4 + 32 * (len(state) + len(core))
    return Verdict(bytes(32), bytes(32), bytes(32), 0, data[:4], bytes(32), data[known:])


def _spliced(
    case: Case, point: Point, rule: bytes, kinds: list[str], values: list[Any], *, known: int = 0
) -> Verdict:
    """Return a judge's arguments without the claim before, and the known words behind, the node."""
    node = judged_node(case.terms.program, point.node)
    claim = ["bytes32"] * 4
    whole = encode([*claim, "bytes", *kinds], [*[bytes(32)] * 4, node, *values])
    data = whole[160 + 32 * known :]
    count = len(case.terms.program.nodes)
    return Verdict(point.before, point.trace, node_leaf(node), count, rule, whole[128:160], data)


def openings(shown: Sequence[Opened]) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Return openings as a call takes them."""
    return [(it.data, it.path) for it in shown]


def judge_call(case: Case, stand: Stand, found: Verdict) -> Call:
    """Return the call that judges where a walk has ended."""
    seat = stand.seat
    facts = (stand.game, stand.words, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "judge", (*facts, astuple(found)))


def settle_call(case: Case, stand: Stand, last: bytes, found: Verdict) -> Call:
    """Return the call that makes the last pick and judges in one."""
    seat = stand.seat
    facts = (stand.game, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "settle", (*facts, last, astuple(found)))


def timeout_call(case: Case, stand: Stand, *, withdraw: bool = False) -> Call:
    """Return the call that ends a game whose mover is late, or whose receipt fell elsewhere."""
    seat = stand.seat
    facts = (stand.game, stand.words, seat.challenger, seat.solver, stand.core, case.docket)
    return Call("court", "withdraw" if withdraw else "timeout", facts)
