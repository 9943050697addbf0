# pragma version 0.4.3
"""
@title  The rules of a dispute inside one step: its trace, a value, a leaf, the runs of a reduction
@notice As in walk_steps.vy: each function is one move, from a state to the state after it.
@dev    Stateless. The state comes first, then the mover, so that the court finds both.
"""

from . import merkle
from . import nodes
from . import openings
from . import ops
from . import places
from . import rows

ONE: constant(uint256) = 1
RANK: constant(uint256) = 8
ROW: constant(uint256) = 64
PATH: constant(uint256) = 64
NAME_BYTES: constant(uint256) = 1024
NODE_BYTES: constant(uint256) = 4096
PARTS_BYTES: constant(uint256) = 2048


interface Folds:
    def runs(claim: openings.Claim, node: Bytes[NODE_BYTES]) -> uint256: pure
    def claimed(
        claim: openings.Claim, node: Bytes[NODE_BYTES], bits: uint256
    ) -> uint256: pure
    def combined(
        claim: openings.Claim, node: Bytes[NODE_BYTES], parts: Bytes[PARTS_BYTES]
    ) -> uint256: pure


FOLDS: public(immutable(address))


@deploy
def __init__(folds: address):
    """
    @param folds The contract that knows reductions.
    """
    FOLDS = folds


@external
@view
def show_trace(
    state: places.State,
    sender: address,
    challenger: address,
    core: bytes32,
    name: Bytes[NAME_BYTES],
    tensor: bytes32,
    path: DynArray[bytes32, PATH],
    roots: DynArray[bytes32, ROW],
) -> places.State:
    """
    @notice Commit to every value of the step: the top row of its trace, in which the doubted entry
            stands in its place.
    @param name   Of the entry of the state; nothing for an output.
    @param tensor The entry's value.
    @param path   From `tensor` to the root of the row above it.
    """
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert place.kind == places.TRACE, "kind"
    self._require_seat(s, challenger, sender, core)
    leaf: bytes32 = tensor
    if place.flags & places.OUTPUT == 0:
        assert keccak256(name) == s.kept, "name"
        leaf = merkle.state_leaf(tensor, name)
    if place.flags & places.SEALED != 0:
        leaf = merkle.seal_state(1, leaf)
    assert leaf == s.claimed, "tensor"
    place.height = merkle.depth(place.count)
    place.index = 0
    levels: uint256 = min(places.width(s.clock, places.NODES), place.height)
    root: bytes32 = places.row_root(place, levels, roots)
    below: uint256 = place.height - levels
    assert len(path) == below, "path"
    low: uint256 = place.node & ((ONE << below) - 1)
    assert merkle.climb(tensor, low, path, 0, below) == roots[place.node >> below], "trace"
    place.node = 0
    trace: bytes32 = merkle.seal_trace(place.count, root)
    s.held = keccak256(concat(s.held, trace))
    s.kept = empty(bytes32)
    s.claimed = root
    place.flags = places.SHOWN
    return places.moved(s, place)


@external
@view
def pick_node(
    state: places.State,
    sender: address,
    solver: address,
    core: places.Core,
    choice: uint256,
    root: bytes32,
    path: DynArray[bytes32, PATH],
    node: Bytes[NODE_BYTES],
    node_path: DynArray[bytes32, PATH],
) -> places.State:
    """
    @notice Pick the value of one node.
    @param node      The node's bytes.
    @param node_path From the node to its Program's digest.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, keccak256(abi_encode(core)))
    s, place = places.picked(s, place, choice, root, path)
    assert place.kind == places.NODES and place.height == 0, "kind"
    leaf: bytes32 = merkle.node_leaf(node)
    levels: uint256 = merkle.depth(place.count + 1)
    assert len(node_path) == levels, "path"
    assert merkle.climb(leaf, place.index + 1, node_path, 0, levels) == core.program, "node"
    read: nodes.Node = nodes.decode(node)
    kind: nodes.Type = read.made
    s.held = keccak256(concat(s.held, leaf, convert(place.count, bytes32)))
    s.kept = places.packed_type(kind)
    place.node = place.index
    place.index = 0
    count: uint256 = 0
    length: uint256 = 0
    count, length = merkle.leaf_shape(kind.shape, 0)
    place.count = count
    place.height = merkle.depth(count)
    place.flags = places.SEALED
    if self._is_fold(read.op):
        place.flags = places.SEALED | places.FOLD
    place.kind = places.LEAVES if place.height > 0 else places.LEAF
    return places.moved(s, place)


@external
@view
def pick_leaf(
    state: places.State,
    sender: address,
    solver: address,
    core: bytes32,
    choice: uint256,
    word: bytes32,
    path: DynArray[bytes32, 7],
    held: places.Held,
) -> places.State:
    """
    @notice Pick an element of the leaf that was shown.
    @param word The 32 bytes of the leaf that hold the element.
    @param path From them to the root over the leaf's words.
    @param held The step and the node, where the node is a reduction; nothing otherwise.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, core)
    s, place = self._pointed(s, place, choice, word, path, held)
    return places.moved(s, place)


@external
@view
def show_parts(
    state: places.State,
    sender: address,
    challenger: address,
    core: bytes32,
    held: places.Held,
    parts: Bytes[PARTS_BYTES],
) -> places.State:
    """
    @notice Show the partial folds of the parts of some runs, 8 bytes each.
    """
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert place.kind == places.RUNS, "kind"
    self._require_seat(s, challenger, sender, core)
    claim: openings.Claim = places.claim(s, place, held)
    width: uint256 = places.width(s.clock, places.RUNS)
    first: uint256 = convert(s.kept, uint256) >> 128
    last: uint256 = convert(s.kept, uint256) & places.LOW
    assert len(parts) == 8 * min(ONE << width, last - first), "count"
    fold: uint256 = staticcall Folds(FOLDS).combined(claim, held.node, parts)
    assert fold == convert(s.claimed, uint256) & places.LANE, "parts"
    s.claimed = keccak256(concat(s.claimed, parts))
    place.flags |= places.SHOWN
    return places.moved(s, place)


@external
@view
def pick_part(
    state: places.State,
    sender: address,
    solver: address,
    core: bytes32,
    choice: uint256,
    claimed: bytes32,
    parts: Bytes[PARTS_BYTES],
) -> places.State:
    """
    @notice Pick the part of the runs whose fold differs.
    @param claimed What was claimed before the parts were shown.
    @param parts   All that was shown.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, core)
    assert place.kind == places.RUNS and keccak256(concat(claimed, parts)) == s.claimed, "parts"
    count: uint256 = len(parts) // 8
    assert choice < count, "choice"
    first: uint256 = convert(s.kept, uint256) >> 128
    length: uint256 = (convert(s.kept, uint256) & places.LOW) - first
    last: uint256 = first + (choice + 1) * length // count
    first += choice * length // count
    s.kept = convert(first << 128 | last, bytes32)
    part: uint256 = convert(slice(parts, 8 * choice, 8), uint256)
    s.claimed = convert(convert(claimed, uint256) >> 64 << 64 | part, bytes32)
    place.flags &= ~places.SHOWN
    if last - first == 1:
        place.kind = places.POINT
    return places.moved(s, place)


@internal
@view
def _pointed(
    s: places.State,
    place: places.Place,
    choice: uint256,
    word: bytes32,
    path: DynArray[bytes32, 7],
    held: places.Held,
) -> (places.State, places.Place):
    """
    @notice The element that a pick leads to, or the runs of its reduction.
    """
    after: places.State = s
    p: places.Place = place
    assert p.kind == places.LEAF, "kind"
    kind: nodes.Type = places.unpacked_type(s.kept)
    item: uint256 = places.item_bytes(kind.dtype)
    count: uint256 = 0
    length: uint256 = 0
    count, length = merkle.leaf_shape(kind.shape, p.index)
    assert choice < length, "choice"
    words: uint256 = (length * item + 31) // 32
    assert rows.words_climb(word, choice * item // 32, words, path) == s.claimed, "word"
    raw: uint256 = convert(word, uint256) << 8 * (choice * item % 32) >> (256 - 8 * item)
    if kind.dtype == 1:
        raw = convert(merkle.little32(raw), uint256)
    elif kind.dtype == 2:
        raw = convert(merkle.little64(raw), uint256)
    after.claimed = convert(raw << 64, bytes32)
    p.index = places.first_element(kind.shape, p.index) + choice
    after.kept = empty(bytes32)
    p.count = 0
    p.height = 0
    p.kind = places.POINT
    p.flags &= ~places.SHOWN
    if p.flags & places.FOLD != 0:
        claim: openings.Claim = places.claim(after, p, held)
        runs: uint256 = staticcall Folds(FOLDS).runs(claim, held.node)
        fold: uint256 = staticcall Folds(FOLDS).claimed(claim, held.node, raw)
        after.claimed = convert(raw << 64 | fold, bytes32)
        if runs > 1:
            p.kind = places.RUNS
            after.kept = convert(runs, bytes32)
    return after, p


@internal
@pure
def _is_fold(op: bytes12) -> bool:
    """
    @notice Whether the op reduces, so that its runs are walked too.
    """
    return (
        op == ops.OP_DOT or op == ops.OP_SUM or op == ops.OP_CUMSUM or op == ops.OP_SCATTER_ADD
        or op == ops.OP_AMAX or op == ops.OP_EXPONENT or op == ops.OP_ARGMAX or op == ops.OP_TOPK
    )


@internal
@pure
def _require_seat(s: places.State, challenger: address, solver: address, core: bytes32):
    """
    @notice Refuse a move by another than the party whose seat it is.
    """
    assert s.seat == places.seat_hash(challenger, solver, core), "sender"
