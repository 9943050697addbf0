# pragma version 0.4.3
"""
@title  Verdicts on states and outputs: does what was claimed follow from what agrees
@notice A solver shows the trace of a step before anything is held to it. If every value agrees, the
        challenger asks here what the state after the step, or its output, must be. The twin is the
        end `Mismatch` of `skerry.verify.positions`.
@dev    Stateless. The court checks state and core, and lets only the challenger ask. Each function
        says whether the solver is right; what does not fit the state reverts.
"""

from . import merkle
from . import places
from . import rows
from . import spelling

ROW: constant(uint256) = 64
SHORT_PATH: constant(uint256) = 32
NAME_BYTES: constant(uint256) = 256
HEADER_BYTES: constant(uint256) = 3072
NAMES: constant(uint256) = 16
ABSENT: constant(uint256) = max_value(uint256)


# What was bound when the step was shown.
struct Bound:
    before: bytes32  # root of the state before the step
    trace: bytes32
    claimed: bytes32


struct Opened:
    header: Bytes[HEADER_BYTES]
    path: DynArray[bytes32, SHORT_PATH]  # to the Program's digest
    count_at: uint256  # where in it the number of nodes begins


struct Named:
    name: Bytes[NAME_BYTES]
    before: bytes32  # the tensor of that name before the step
    output_at: uint256  # where in the header the output of the state begins that writes it, or 0
    value: bytes32  # that output's tensor
    path: DynArray[bytes32, SHORT_PATH]  # from it to the root of the trace


@external
@view
def counted(state: places.State, core: places.Core, opened: Opened) -> bool:
    """
    @notice Whether the step was shown with as many values as the Program has nodes.
    """
    place: places.Place = self._shown(state)
    return self._header(core, opened, b"").nodes == place.count


@external
@view
def left_output(
    state: places.State, core: places.Core, bound: Bound, opened: Opened, named: Named
) -> bool:
    """
    @notice Whether an output of the step is the value that it comes from.
    """
    place: places.Place = self._shown(state)
    assert place.flags & places.OUTPUT != 0, "kind"
    self._require_bound(state, bound, keccak256(named.name))
    node: uint256 = 0
    if named.output_at > 0:
        node = self._hinted(core, opened, named).output_node
        assert node != ABSENT, "hint"
    else:
        node = self._header(core, opened, named.name).output_node
        if node == ABSENT:
            return False  # the Program has no such output
    self._require_value(place, bound, node, named)
    return named.value == bound.claimed


@external
@view
def left_state(
    state: places.State,
    core: places.Core,
    bound: Bound,
    opened: Opened,
    entries: DynArray[Named, NAMES],
) -> bool:
    """
    @notice Whether the state after the step is the one before it with what the step wrote.
    @param entries All entries of the state, in order.
    """
    place: places.Place = self._shown(state)
    assert place.flags & places.OUTPUT == 0, "kind"
    self._require_bound(state, bound, empty(bytes32))
    assert len(entries) == core.names, "entries"
    fresh: bool = bound.before == merkle.seal_state(0, empty(bytes32))
    old: DynArray[bytes32, ROW] = []
    new: DynArray[bytes32, ROW] = []
    written: uint256 = 0
    for named: Named in entries:
        tensor: bytes32 = named.before
        if named.output_at > 0:
            node: uint256 = self._hinted(core, opened, named).state_node
            assert node != ABSENT, "hint"
            self._require_value(place, bound, node, named)
            tensor = named.value
            written += 1
        if fresh:
            # names stand in order, and all of them are written
            assert spelling.header(opened.header, named.name, True).before == len(new), "name"
        old.append(merkle.state_leaf(named.before, named.name))
        new.append(merkle.state_leaf(tensor, named.name))
    assert self._header(core, opened, b"").written == written, "written"
    levels: uint256 = merkle.depth(core.names)
    if not fresh:
        root: bytes32 = rows.fold(old, 0, levels)
        assert merkle.seal_state(core.names, root) == bound.before, "before"
    return merkle.seal_state(core.names, rows.fold(new, 0, levels)) == bound.claimed


@external
@view
def carried(
    state: places.State,
    core: places.Core,
    name: Bytes[NAME_BYTES],
    tensor: bytes32,
    path: DynArray[bytes32, SHORT_PATH],
) -> bool:
    """
    @notice Whether an entry that the Program never touches is the one before the step; or whether
            the root that was shown before a step is the receipt's.
    @param tensor That entry's before the step.
    @param path   From it to the root of that state.
    """
    place: places.Place = places.unpacked(state.place)
    assert place.kind == places.CARRIED, "kind"
    if place.flags & places.UNSURE != 0:
        return state.claimed == state.held  # the root shown, and the one that the receipt says
    if core.names == 0:
        return state.claimed == merkle.seal_state(0, empty(bytes32))  # there is no other root
    assert keccak256(name) == state.kept, "name"
    leaf: bytes32 = merkle.state_leaf(tensor, name)
    levels: uint256 = merkle.depth(core.names)
    assert len(path) == levels, "path"
    root: bytes32 = merkle.climb(leaf, place.index, path, 0, levels)
    assert merkle.seal_state(core.names, root) == state.held, "state"
    return leaf == state.claimed


@internal
@pure
def _shown(state: places.State) -> places.Place:
    """
    @notice The place, which must be a step that was shown.
    """
    place: places.Place = places.unpacked(state.place)
    assert place.kind == places.STEP and place.flags & places.SHOWN != 0, "kind"
    return place


@internal
@pure
def _require_bound(state: places.State, bound: Bound, name: bytes32):
    """
    @notice Refuse other words than those that were bound when the step was shown.
    """
    assert keccak256(concat(bound.before, bound.trace)) == state.held, "held"
    assert keccak256(concat(bound.before, name, bound.claimed)) == state.kept, "kept"


@internal
@pure
def _require_value(place: places.Place, bound: Bound, node: uint256, named: Named):
    """
    @notice Refuse a value that is not the node's in the trace.
    """
    levels: uint256 = merkle.depth(place.count)
    assert len(named.path) == levels, "path"
    root: bytes32 = merkle.climb(named.value, node, named.path, 0, levels)
    assert merkle.seal_trace(place.count, root) == bound.trace, "trace"


@internal
@pure
def _header(core: places.Core, opened: Opened, name: Bytes[NAME_BYTES]) -> spelling.Header:
    """
    @notice The whole header, read.
    """
    head: spelling.Header = spelling.header(opened.header, name, False)
    self._require_header(core, opened, head.nodes)
    return head


@internal
@pure
def _hinted(core: places.Core, opened: Opened, named: Named) -> spelling.Header:
    """
    @notice The header, read where the output stands.
    """
    head: spelling.Header = spelling.hinted(
        opened.header, named.name, named.output_at, opened.count_at
    )
    self._require_header(core, opened, head.nodes)
    return head


@internal
@pure
def _require_header(core: places.Core, opened: Opened, nodes: uint256):
    """
    @notice Refuse a header that is not the Program's.
    """
    levels: uint256 = merkle.depth(nodes + 1)
    assert len(opened.path) == levels, "path"
    leaf: bytes32 = spelling.header_leaf(opened.header)
    assert merkle.climb(leaf, 0, opened.path, 0, levels) == core.program, "header"
