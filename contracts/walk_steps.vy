# pragma version 0.4.3
"""
@title  The rules of a dispute above one step: segments, steps, names, outputs
@notice Each function is one move: it takes the state and the mover, and returns the state after
        the move. The court calls them, sees to hash, deadline and mover, and keeps the result. The
        twin is `skerry.verify.positions`.
@dev    Stateless. The state comes first, then the mover, so that the court finds both.
"""

from . import merkle
from . import places
from . import spelling

ONE: constant(uint256) = 1
ROW: constant(uint256) = 64
PATH: constant(uint256) = 64
NAME_BYTES: constant(uint256) = 256
RECEIPT_BYTES: constant(uint256) = 4096
HEADER_BYTES: constant(uint256) = 3072
ENTRY_PATH: constant(uint256) = 40
ABSENT: constant(uint256) = max_value(uint256)


# What the court says of a game that begins; it is built and checked there.
struct Terms:
    challenger: address
    solver: address
    docket: bytes32  # hash of what the market admitted
    bond: uint256
    clock: uint256  # of the solver, who moves first unless nothing is left to show


struct Entry:
    name: Bytes[NAME_BYTES]
    tensor: bytes32  # of that name in the state before the unit
    path: DynArray[bytes32, ENTRY_PATH]  # to its root; then of the header, to the Program's digest
    header: Bytes[HEADER_BYTES]
    output_at: uint256  # where in the header the output in doubt begins, or 0
    count_at: uint256  # and where the number of nodes does


struct Doubt:
    segment: uint256  # or ABSENT
    output: Bytes[NAME_BYTES]
    salt: bytes32
    names: uint256  # entries of the state before the unit, and the root that they join to
    root: bytes32


# ---- the beginning -------------------------------------------------------------------------------


@external
@view
def begin(
    terms: Terms, receipt: Bytes[RECEIPT_BYTES], doubt: Doubt, entry: Entry
) -> (bytes32, places.State, places.Core):
    """
    @notice Doubt one segment of a receipt, or one output.
    @param receipt Its bytes, with a signature of zeros.
    @param entry   The header, where the state begins with the unit; else nothing.
    @return The name under which the game was sealed, its first state and what stays fixed.
    """
    read: spelling.Receipt = spelling.receipt(receipt)
    core: places.Core = places.Core(
        docket=terms.docket,
        receipt=spelling.receipt_name(receipt),
        program=read.program,
        state=read.state,
        names=doubt.names,
        segments=read.segments,
        steps=read.steps,
        bond=terms.bond,
    )
    assert merkle.seal_state(doubt.names, doubt.root) == read.state, "names"
    if doubt.names == 0:
        # the state begins with the unit: its entries are what the Program writes
        core.names = self._header(core, entry, 0, False).written
    s: places.State = empty(places.State)
    place: places.Place = empty(places.Place)
    if doubt.segment != ABSENT:
        at: uint256 = doubt.segment
        assert at < read.segments and len(doubt.output) == 0, "segment"
        s.held = spelling.root_at(receipt, read, at)
        s.claimed = spelling.root_at(receipt, read, at + 1)
        place.step = at * read.steps // read.segments
        place.node = (at + 1) * read.steps // read.segments
        s, place = self._doubt_steps(s, place, core)
    else:
        s.claimed = spelling.output_claimed(receipt, read, doubt.output)
        s.kept = keccak256(doubt.output)
        place.kind = places.OUTPUT_STEPS
        place.count = read.steps
        place.height = merkle.depth(read.steps)
        if place.height == 0:
            place = places.doubted_output(place)
    s.clock = terms.clock
    s.seat = places.seat_hash(terms.challenger, terms.solver, keccak256(abi_encode(core)))
    s.place = places.packed(place)
    sealed: bytes32 = keccak256(
        abi_encode(
            terms.challenger, core.receipt, doubt.segment, keccak256(doubt.output), doubt.salt
        )
    )
    return sealed, s, core


# ---- the solver shows ----------------------------------------------------------------------------


@external
@view
def show(
    state: places.State,
    sender: address,
    challenger: address,
    core: bytes32,
    roots: DynArray[bytes32, ROW],
) -> places.State:
    """
    @notice Show the state roots at the inner cuts of some steps.
    """
    s: places.State = state
    place: places.Place = places.due(s, False)
    self._require_seat(s, challenger, sender, core)
    assert place.kind == places.STEPS, "kind"
    parts: uint256 = places.parts(place, places.width(s.clock, places.STEPS))
    assert len(roots) == parts - 1, "count"
    s.kept = keccak256(abi_encode(roots))
    place.flags |= places.SHOWN
    return places.moved(s, place)


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
    @param name   Of the entry of the state.
    @param tensor The entry's value.
    @param path   From `tensor` to the root of the row above it.
    """
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert place.kind == places.TRACE, "kind"
    self._require_seat(s, challenger, sender, core)
    assert keccak256(name) == s.kept, "name"
    assert merkle.state_leaf(tensor, name) == s.claimed, "tensor"
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


# ---- the challenger picks ------------------------------------------------------------------------


@external
@view
def pick_entry(
    state: places.State,
    sender: address,
    solver: address,
    core: places.Core,
    choice: uint256,
    root: bytes32,
    path: DynArray[bytes32, PATH],
    held: bytes32,
    row: bytes32,
    entry: Entry,
) -> places.State:
    """
    @notice Pick one entry of the state, with its name and the node behind it.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, keccak256(abi_encode(core)))
    s, place = places.picked(s, place, choice, root, path, held, row)
    assert place.kind == places.NAMES and place.height == 0, "kind"
    s, place = self._doubt_entry(s, place, core, entry)
    return places.moved(s, place)


@external
@view
def pick_steps(
    state: places.State,
    sender: address,
    solver: address,
    core: places.Core,
    choice: uint256,
    roots: DynArray[bytes32, ROW],
) -> places.State:
    """
    @notice Pick the stretch of steps whose start agrees and whose end does not.
    @param roots All that was shown.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, keccak256(abi_encode(core)))
    assert place.kind == places.STEPS and keccak256(abi_encode(roots)) == s.kept, "roots"
    parts: uint256 = len(roots) + 1
    assert choice < parts, "choice"
    length: uint256 = place.node - place.step
    first: uint256 = place.step
    place.step = first + choice * length // parts
    place.node = first + (choice + 1) * length // parts
    if choice > 0:
        s.held = roots[choice - 1]
    if choice < len(roots):
        s.claimed = roots[choice]
    s.kept = empty(bytes32)
    s, place = self._doubt_steps(s, place, core)
    return places.moved(s, place)


@external
@view
def pick_before(
    state: places.State,
    sender: address,
    solver: address,
    core: places.Core,
    before: bytes32,
    name: bytes32,
    claimed: bytes32,
    receipt: Bytes[RECEIPT_BYTES],
) -> places.State:
    """
    @notice Say that the root before a step differs, which was shown together with its trace.
    @param before  That root.
    @param name    Hash of the doubted output's name.
    @param claimed What was claimed of it.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, keccak256(abi_encode(core)))
    assert place.kind == places.STEP and place.flags & places.UNSURE != 0, "kind"
    assert keccak256(concat(before, name, claimed)) == s.kept, "before"
    assert spelling.receipt_name(receipt) == core.receipt, "receipt"
    read: spelling.Receipt = spelling.receipt(receipt)
    segment: uint256 = self._segment(read, place.step)
    s.held = spelling.root_at(receipt, read, segment)
    s.kept = empty(bytes32)
    s.claimed = before
    place.node = place.step
    place.step = segment * read.steps // read.segments
    if place.step == place.node:
        # the receipt says the root there, so that there is nothing left to walk
        place = places.Place(
            kind=places.CARRIED, flags=places.UNSURE, turn=place.turn, step=place.step, node=0,
            count=0, height=0, index=0,
        )
    else:
        s, place = self._doubt_steps(s, place, core)
    return places.moved(s, place)


# ---- where a doubt leads -------------------------------------------------------------------------


@internal
@pure
def _doubt_steps(
    s: places.State, place: places.Place, core: places.Core
) -> (places.State, places.Place):
    """
    @notice Boundary `place.step` agrees and boundary `place.node` does not.
    """
    p: places.Place = place
    p.flags = 0
    p.index = 0
    p.count = 0
    p.height = 0
    if p.node - p.step > 1:
        p.kind = places.STEPS
        return s, p
    p.node = 0
    if core.names == 0:
        p.kind = places.CARRIED
    elif core.names <= places.WHOLE_NAMES:
        p.kind = places.STEP
    else:
        p.kind = places.NAMES
        p.flags = places.SEALED
        p.count = core.names
        p.height = merkle.depth(core.names)
    return s, p


@internal
@view
def _doubt_entry(s: places.State, place: places.Place, core: places.Core, entry: Entry) -> (places.State, places.Place):
    """
    @notice One entry of the state is in doubt; its name says which node it comes from, if any.
    """
    after: places.State = s
    p: places.Place = place
    levels: uint256 = 0
    fresh: bool = core.state == merkle.seal_state(0, empty(bytes32))
    if not fresh:
        # a step changes no names, so those of the state before the unit hold
        levels = merkle.depth(core.names)
        leaf: bytes32 = merkle.state_leaf(entry.tensor, entry.name)
        root: bytes32 = merkle.climb(leaf, p.index, entry.path, 0, levels)
        assert merkle.seal_state(core.names, root) == core.state, "name"
    head: spelling.Header = self._header(core, entry, levels, fresh)
    if fresh:
        assert head.state_node != ABSENT and head.before == p.index, "name"
    # only the whole header shows that no output of the state has that name
    assert entry.output_at == 0 or head.state_node != ABSENT, "hint"
    after.kept = keccak256(entry.name)
    if head.state_node == ABSENT:
        p.kind = places.CARRIED
        return after, p
    p.kind = places.TRACE
    p.node = head.state_node
    p.count = head.nodes
    return after, p


@internal
@pure
def _segment(read: spelling.Receipt, step: uint256) -> uint256:
    """
    @notice The segment that a step belongs to.
    """
    return ((step + 1) * read.segments - 1) // read.steps


@internal
@view
def _header(
    core: places.Core, entry: Entry, first: uint256, ranked: bool
) -> spelling.Header:
    """
    @notice The header, opened under the Program's digest by the path from `first` on.
    """
    head: spelling.Header = empty(spelling.Header)
    if entry.output_at > 0 and not ranked:
        head = spelling.hinted(entry.header, entry.name, entry.output_at, entry.count_at)
    else:
        head = spelling.header(entry.header, entry.name, ranked)
    levels: uint256 = merkle.depth(head.nodes + 1)
    assert len(entry.path) == first + levels, "path"
    leaf: bytes32 = spelling.header_leaf(entry.header)
    assert merkle.climb(leaf, 0, entry.path, first, levels) == core.program, "header"
    return head


@internal
@pure
def _require_seat(s: places.State, challenger: address, solver: address, core: bytes32):
    """
    @notice Refuse a move by another than the party whose seat it is.
    """
    assert s.seat == places.seat_hash(challenger, solver, core), "sender"
