# pragma version 0.4.3
"""
@title  Where a dispute stands: the words that a game's hash covers
@notice A `State` is what the mover supplies again; a `Place` is its third word taken apart. The
        layout of every kind is in docs/reference/court.md.
"""

from . import merkle
from . import nodes
from . import openings
from . import rows

ONE: constant(uint256) = 1
RANK: constant(uint256) = 8
ROW: constant(uint256) = 64
PATH: constant(uint256) = 64
NODE_BYTES: constant(uint256) = 4096

STEPS: constant(uint256) = 1
NAMES: constant(uint256) = 2
OUTPUT_STEPS: constant(uint256) = 3
TRACE: constant(uint256) = 5
NODES: constant(uint256) = 6
LEAVES: constant(uint256) = 7
LEAF: constant(uint256) = 8
POINT: constant(uint256) = 9
CARRIED: constant(uint256) = 10
RUNS: constant(uint256) = 11
STEP: constant(uint256) = 12

SHOWN: constant(uint256) = 1  # the solver has revealed; the challenger must pick
SEALED: constant(uint256) = 2  # what is claimed is the seal of a root
OUTPUT: constant(uint256) = 4  # an output is in doubt, not the state
FOLD: constant(uint256) = 8  # the node in doubt is a reduction
GREATEST: constant(uint256) = 16  # of which the greatest counts, not the sum
PLAIN: constant(uint256) = 32  # which comes to the very bits of the element
ROWS: constant(uint256) = 128  # whose runs are the leaves of a row of its first operand
UNSURE: constant(uint256) = 64  # nobody has said the root before the step yet

WHOLE_NAMES: constant(uint256) = 16  # a state of so many entries is doubted with its whole step

SIDE: constant(uint256) = 2**32 - 1
LANE: constant(uint256) = 2**64 - 1
LOW: constant(uint256) = 2**128 - 1
SECONDS: constant(uint256) = 2**64 - 1


struct State:
    clock: uint256  # deadline 64 | challenger's budget 32 | solver's 32 | grace 32 | widths 96
    seat: bytes32  # hash of challenger, solver and core
    place: uint256  # kind 8 | flags 8 | turn 16 | step 32 | node 32 | count 64 | height 8 | index 64
    held: bytes32  # what is agreed
    kept: bytes32  # what a later move needs
    claimed: bytes32  # what is in doubt


struct Place:
    kind: uint256
    flags: uint256
    turn: uint256
    step: uint256  # of STEPS the first boundary
    node: uint256  # of STEPS the last boundary
    count: uint256
    height: uint256
    index: uint256


struct Seat:
    challenger: address
    solver: address
    core: bytes32


struct Core:
    docket: bytes32  # hash of what the market admitted
    receipt: bytes32
    program: bytes32
    state: bytes32  # root of the state before the unit
    names: uint256  # entries of the state after a step
    segments: uint256
    steps: uint256
    bond: uint256


struct Held:
    before: bytes32  # root of the state before the step
    trace: bytes32  # root of the solver's trace of the step
    values: uint256  # how many values it has
    node: Bytes[NODE_BYTES]


@internal
@pure
def check_count(place: Place, width: uint256, roots: DynArray[bytes32, ROW]):
    """
    @notice Refuse a row below the place that is not whole.
    """
    levels: uint256 = min(width, place.height)
    below: uint256 = place.height - levels
    first: uint256 = place.index << levels
    filled: uint256 = (place.count + (ONE << below) - 1) >> below
    assert len(roots) == min(first + (ONE << levels), filled) - first, "count"


@internal
@pure
def row_root(place: Place, width: uint256, roots: DynArray[bytes32, ROW]) -> bytes32:
    """
    @notice The root that a whole row below the place joins to.
    """
    self.check_count(place, width, roots)
    levels: uint256 = min(width, place.height)
    return rows.fold(roots, place.height - levels, levels)


@internal
@pure
def is_held_later(kind: uint256) -> bool:
    """
    @notice Whether a row at this level is shown before it is held to the root above it.
    """
    return kind == NAMES or kind == OUTPUT_STEPS or kind == NODES or kind == LEAVES


@internal
@pure
def sealed(s: State, place: Place, root: bytes32) -> bytes32:
    """
    @notice What is claimed where the whole row joins to `root`.
    """
    if place.flags & SEALED == 0:
        return root
    if place.kind == NAMES:
        return merkle.seal_state(place.count, root)
    return self.seal_tensor(s.kept, root)


@internal
@pure
def picked(
    s: State,
    place: Place,
    choice: uint256,
    root: bytes32,
    path: DynArray[bytes32, PATH],
    held: bytes32,
    row: bytes32,
) -> (State, Place):
    """
    @notice The subtree that a pick leads to. That its root stands in the row that was shown is not
            asked: it must stand under what is claimed, where there is no other.
    @param held What is agreed, and `row` the hash of the row, where the row is held later.
    """
    after: State = s
    p: Place = place
    if self.is_held_later(p.kind):
        assert keccak256(concat(held, row)) == s.held, "held"
        after.held = held
    else:
        assert p.kind == TRACE or p.kind == STEP, "kind"
    levels: uint256 = min(self.width(s.clock, p.kind), p.height)
    below: uint256 = p.height - levels
    first: uint256 = p.index << levels
    filled: uint256 = (p.count + (ONE << below) - 1) >> below
    assert choice < ONE << levels and first + choice < filled, "choice"
    assert len(path) == levels, "path"
    joined: bytes32 = merkle.climb(root, choice, path, 0, levels)
    assert self.sealed(s, p, joined) == s.claimed, "root"
    after.claimed = root
    p.height = below
    p.index = first + choice
    p.flags &= ~(SHOWN | SEALED)
    if p.kind == TRACE or p.kind == STEP:
        p.kind = NODES
        p.flags = 0
        after.kept = empty(bytes32)
    return after, p


@internal
@pure
def challenger_moves(place: Place) -> bool:
    """
    @notice Whose clock runs.
    """
    return place.flags & SHOWN != 0 or place.kind == POINT or place.kind == CARRIED


@internal
@pure
def seat_hash(challenger: address, solver: address, core: bytes32) -> bytes32:
    """
    @notice The word of a state that says who plays, and about what.
    """
    return keccak256(abi_encode(challenger, solver, core))


@internal
@pure
def width(clock: uint256, kind: uint256) -> uint256:
    """
    @notice log2 of the arity at a level.
    """
    if kind == STEPS:
        return clock >> 20 & 15
    if kind == NAMES:
        return clock >> 16 & 15
    if kind == OUTPUT_STEPS:
        return clock >> 12 & 15
    if kind == LEAVES:
        return clock >> 4 & 15
    if kind == RUNS:
        return clock & 15
    return clock >> 8 & 15


@internal
@pure
def parts(place: Place, width: uint256) -> uint256:
    """
    @notice Into how many parts some steps are cut.
    """
    return min(ONE << width, place.node - place.step)


@internal
@pure
def item_bytes(dtype: uint256) -> uint256:
    """
    @notice The bytes of an element.
    """
    if dtype == 1:
        return 4
    return 8 if dtype == 2 else 1


@internal
@pure
def first_element(shape: DynArray[uint256, RANK], leaf: uint256) -> uint256:
    """
    @notice The first element of a leaf.
    """
    if len(shape) == 0:
        return 0
    in_row: uint256 = merkle.per_row(shape)
    return leaf // in_row * shape[len(shape) - 1] + leaf % in_row * 512


@internal
@pure
def packed_type(kind: nodes.Type) -> bytes32:
    """
    @notice dtype 4 | rank 4 | eight dimensions of 31 bits.
    """
    word: uint256 = kind.dtype << 252 | len(kind.shape) << 248
    at: uint256 = 217
    for size: uint256 in kind.shape:
        assert size < 2**31, "shape"
        word |= size << at
        at = unsafe_sub(at, 31)
    return convert(word, bytes32)


@internal
@pure
def unpacked_type(packed: bytes32) -> nodes.Type:
    """
    @notice The type that a word holds.
    """
    word: uint256 = convert(packed, uint256)
    kind: nodes.Type = nodes.Type(dtype=word >> 252, shape=[])
    at: uint256 = 217
    for axis: uint256 in range(word >> 248 & 15, bound=RANK):
        kind.shape.append(word >> at & (2**31 - 1))
        at = unsafe_sub(at, 31)
    return kind


@internal
@pure
def seal_tensor(packed: bytes32, root: bytes32) -> bytes32:
    """
    @notice The digest of the tensor of a packed type whose leaves have `root`.
    """
    kind: nodes.Type = self.unpacked_type(packed)
    return merkle.seal_tensor(kind.dtype, kind.shape, root)


@internal
@pure
def packed(p: Place) -> uint256:
    """
    @notice A place as one word.
    """
    assert p.turn < 2**16 and p.step < 2**32 and p.node < 2**32, "place"
    return (
        p.kind << 248 | p.flags << 240 | p.turn << 224 | p.step << 192 | p.node << 160
        | p.count << 96 | p.height << 88 | p.index << 24
    )


@internal
@pure
def unpacked(word: uint256) -> Place:
    """
    @notice A word taken apart.
    """
    return Place(
        kind=word >> 248,
        flags=word >> 240 & 255,
        turn=word >> 224 & (2**16 - 1),
        step=word >> 192 & SIDE,
        node=word >> 160 & SIDE,
        count=word >> 96 & LANE,
        height=word >> 88 & 255,
        index=word >> 24 & LANE,
    )


@internal
@view
def due(s: State, shown: bool) -> Place:
    """
    @notice Where the game stands, if the move is in turn: the challenger picks from what was shown.
    """
    place: Place = self.unpacked(s.place)
    assert (place.flags & SHOWN != 0) == shown, "turn"
    return place


@internal
@view
def moved(s: State, place: Place) -> State:
    """
    @notice The state after a move to `place`: the mover's clock stops and the next one's runs. What
            a mover uses beyond the grace of its move is taken from its budget.
    """
    after: State = s
    p: Place = place
    left: uint256 = (s.clock >> 192) - block.timestamp
    grace: uint256 = s.clock >> 96 & SIDE
    challenger: uint256 = s.clock >> 160 & SIDE
    solver: uint256 = s.clock >> 128 & SIDE
    if self.challenger_moves(self.unpacked(s.place)):
        challenger = min(challenger, left)
        p.turn += 1
    else:
        solver = min(solver, left)
    deadline: uint256 = block.timestamp + grace
    deadline += challenger if self.challenger_moves(p) else solver
    low: uint256 = s.clock & LOW
    after.clock = deadline << 192 | challenger << 160 | solver << 128 | low
    after.place = self.packed(p)
    return after


@internal
@pure
def claim(s: State, place: Place, held: Held) -> openings.Claim:
    """
    @notice What the adjudicator is asked about.
    """
    leaf: bytes32 = merkle.node_leaf(held.node)
    step: bytes32 = keccak256(concat(held.before, held.trace))
    assert keccak256(concat(step, leaf, convert(held.values, bytes32))) == s.held, "held"
    return openings.Claim(
        node=leaf, trace=held.trace, values=held.values, element=place.index
    )


@internal
@pure
def doubted_output(place: Place) -> Place:
    """
    @notice The output of step `place.index` is in doubt, and what its state before is nobody says.
    """
    p: Place = empty(Place)
    p.turn = place.turn
    p.kind = STEP
    p.flags = OUTPUT | UNSURE
    p.step = place.index
    return p
