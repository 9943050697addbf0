# pragma version 0.4.3
"""
@title  The rules of a dispute inside one step: its trace, a value, a leaf, the runs of a reduction
@notice As in walk_steps.vy: each function is one move, from a state to the state after it.
@dev    Stateless. The state comes first, then the mover, so that the court finds both.
"""

from . import merkle
from . import nodes
from . import openings
from . import places
from . import rows
from . import spelling

ONE: constant(uint256) = 1
RANK: constant(uint256) = 8
ROW: constant(uint256) = 64
PATH: constant(uint256) = 64
NAME_BYTES: constant(uint256) = 256
NODE_BYTES: constant(uint256) = 4096
PARTS_BYTES: constant(uint256) = 2048
PIECE: constant(uint256) = 256
ASKED_BYTES: constant(uint256) = 7168

RECEIPT_BYTES: constant(uint256) = 4096
SHORT_PATH: constant(uint256) = 24
DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
PUBLISHED_TYPE: constant(bytes32) = keccak256("Published(bytes32 receipt,bytes32 root)")

# the reductions, as text items
DOT: constant(uint256) = 2741268340
SUM: constant(uint256) = 2742252909
CUMSUM: constant(uint256) = 46834202132575597
SCATTER_ADD: constant(uint256) = 53061432460713111899330405476
AMAX: constant(uint256) = 706009194872
EXPONENT: constant(uint256) = 3106364722002136493684
ARGMAX: constant(uint256) = 46831990123356536
TOPK: constant(uint256) = 706328096875


# What the court says of a game that begins; as in walk_steps.vy.
struct Terms:
    challenger: address
    solver: address
    docket: bytes32
    bond: uint256
    clock: uint256


# A leaf that the solver published, hanging on the root that it signed.
struct Jump:
    names: uint256  # entries of the state before the unit, and the root that they join to
    names_root: bytes32
    salt: bytes32
    step: uint256
    before: bytes32  # root of the state before the step
    trace: bytes32  # root of its trace
    step_path: DynArray[bytes32, SHORT_PATH]  # from the step to the signed root
    r: bytes32  # the signature (EIP-2098)
    vs: bytes32
    values: uint256  # how many values the trace has
    node: uint256
    tensor: bytes32  # the node's value
    value_path: DynArray[bytes32, SHORT_PATH]  # from it to the root of the trace
    node_bytes: Bytes[NODE_BYTES]
    node_path: DynArray[bytes32, SHORT_PATH]  # from the node to its Program's digest
    leaf: uint256
    digest: bytes32  # of that leaf of the value
    leaf_path: DynArray[bytes32, PATH]  # from it to the root of the value


FOLDS: public(immutable(address))


@deploy
def __init__(folds: address):
    """
    @param folds The contract that knows reductions.
    """
    FOLDS = folds


@external
@view
def begin_inside(
    terms: Terms, receipt: Bytes[RECEIPT_BYTES], jump: Jump
) -> (bytes32, places.State, places.Core):
    """
    @notice Begin at a leaf of a value, where the solver had published its roots: it signed a root
            over the state and the trace of every step, and answers for what hangs on it.
    @return As `begin` of walk_steps.vy.
    """
    read: spelling.Receipt = spelling.receipt(receipt)
    core: places.Core = places.Core(
        docket=terms.docket,
        receipt=spelling.receipt_name(receipt),
        program=read.program,
        state=read.state,
        names=jump.names,
        segments=read.segments,
        steps=read.steps,
        bond=terms.bond,
    )
    assert merkle.seal_state(jump.names, jump.names_root) == read.state, "names"
    self._require_published(terms.solver, core, jump)
    self._require_value(core, jump)
    leaf: bytes32 = merkle.node_leaf(jump.node_bytes)
    op: uint256 = 0
    kind: nodes.Type = empty(nodes.Type)
    op, kind.dtype, kind.shape = spelling.node(jump.node_bytes)
    place: places.Place = empty(places.Place)
    count: uint256 = 0
    length: uint256 = 0
    count, length = merkle.leaf_shape(kind.shape, jump.leaf)
    assert jump.leaf < count, "leaf"
    levels: uint256 = merkle.depth(count)
    assert len(jump.leaf_path) == levels, "path"
    root: bytes32 = merkle.climb(jump.digest, jump.leaf, jump.leaf_path, 0, levels)
    assert merkle.seal_tensor(kind.dtype, kind.shape, root) == jump.tensor, "tensor"
    place.kind = places.LEAF
    place.flags = self._fold_flags(op, len(kind.shape))
    place.step = jump.step
    place.node = jump.node
    place.count = count
    place.index = jump.leaf
    step: bytes32 = keccak256(concat(jump.before, jump.trace))
    s: places.State = places.State(
        clock=terms.clock,
        seat=places.seat_hash(terms.challenger, terms.solver, keccak256(abi_encode(core))),
        place=places.packed(place),
        held=keccak256(concat(step, leaf, convert(jump.values, bytes32))),
        kept=places.packed_type(kind),
        claimed=jump.digest,
    )
    spot: bytes32 = keccak256(abi_encode(jump.node, jump.leaf))
    sealed: bytes32 = keccak256(
        abi_encode(terms.challenger, core.receipt, jump.step, spot, jump.salt)
    )
    return sealed, s, core


@internal
@view
def _require_published(solver: address, core: places.Core, jump: Jump):
    """
    @notice Refuse a step that does not hang on a root that the solver signed for this receipt.
    """
    assert jump.step < core.steps, "step"
    leaf: bytes32 = sha256(concat(b"\x00published\x00", jump.before, jump.trace))
    levels: uint256 = merkle.depth(core.steps)
    assert len(jump.step_path) == levels, "path"
    root: bytes32 = merkle.climb(leaf, jump.step, jump.step_path, 0, levels)
    # who asks is the court that the games are played in
    domain: bytes32 = keccak256(
        abi_encode(DOMAIN_TYPE, keccak256("Skerry"), keccak256("1"), chain.id, msg.sender)
    )
    said: bytes32 = keccak256(abi_encode(PUBLISHED_TYPE, core.receipt, root))
    word: uint256 = convert(jump.vs, uint256)
    signer: address = ecrecover(
        keccak256(concat(b"\x19\x01", domain, said)),
        (word >> 255) + 27,
        convert(jump.r, uint256),
        word & (2**255 - 1),
    )
    assert signer != empty(address) and signer == solver, "signature"


@internal
@pure
def _require_value(core: places.Core, jump: Jump):
    """
    @notice Refuse a value that does not stand in the trace, or a node that is not the Program's.
    """
    levels: uint256 = merkle.depth(jump.values)
    assert len(jump.value_path) == levels, "path"
    root: bytes32 = merkle.climb(jump.tensor, jump.node, jump.value_path, 0, levels)
    assert merkle.seal_trace(jump.values, root) == jump.trace, "trace"
    levels = merkle.depth(jump.values + 1)
    assert len(jump.node_path) == levels, "path"
    leaf: bytes32 = merkle.node_leaf(jump.node_bytes)
    assert merkle.climb(leaf, jump.node + 1, jump.node_path, 0, levels) == core.program, "node"


@external
@view
def show_step(
    state: places.State,
    sender: address,
    challenger: address,
    core: bytes32,
    values: uint256,
    before: bytes32,
    roots: DynArray[bytes32, ROW],
) -> places.State:
    """
    @notice Commit to every value of a step: the top row of its trace. Whether what was claimed of
            the step follows from them is judged only if the challenger says that it does not.
    @param values How many there are.
    @param before The root of the state before the step, where nobody has said it yet; else zero.
    """
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert place.kind == places.STEP, "kind"
    self._require_seat(s, challenger, sender, core)
    if place.flags & places.UNSURE != 0:
        s.held = before
    else:
        assert before == empty(bytes32), "before"
    assert values > 0 and values < 2**32, "count"
    place.count = values
    place.height = merkle.depth(values)
    root: bytes32 = places.row_root(place, places.width(s.clock, places.NODES), roots)
    s.kept = keccak256(concat(s.held, s.kept, s.claimed))
    s.held = keccak256(concat(s.held, merkle.seal_trace(values, root)))
    s.claimed = root
    place.flags |= places.SHOWN
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
    held: bytes32,
    row: bytes32,
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
    s, place = places.picked(s, place, choice, root, path, held, row)
    assert place.kind == places.NODES and place.height == 0, "kind"
    leaf: bytes32 = merkle.node_leaf(node)
    levels: uint256 = merkle.depth(place.count + 1)
    assert len(node_path) == levels, "path"
    assert merkle.climb(leaf, place.index + 1, node_path, 0, levels) == core.program, "node"
    op: uint256 = 0
    kind: nodes.Type = empty(nodes.Type)
    op, kind.dtype, kind.shape = spelling.node(node)
    s.held = keccak256(concat(s.held, leaf, convert(place.count, bytes32)))
    s.kept = places.packed_type(kind)
    place.node = place.index
    place.index = 0
    count: uint256 = 0
    length: uint256 = 0
    count, length = merkle.leaf_shape(kind.shape, 0)
    place.count = count
    place.height = merkle.depth(count)
    place.flags = places.SEALED | self._fold_flags(op, len(kind.shape))
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
    piece: Bytes[PIECE],
    path: DynArray[bytes32, 4],
    held: places.Held,
) -> places.State:
    """
    @notice Pick an element of the leaf that was shown.
    @param piece The 256 bytes of the leaf that hold the element.
    @param path  From them to the root over the leaf's pieces.
    @param held  The step and the node, where the node is a reduction; nothing otherwise.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, core)
    s, place = self._pointed(s, place, choice, piece, path, held)
    return places.moved(s, place)


@external
@view
def show_parts(
    state: places.State,
    sender: address,
    challenger: address,
    core: bytes32,
    parts: Bytes[PARTS_BYTES],
) -> places.State:
    """
    @notice Show the partial folds of the parts of some runs, 8 bytes each.
    """
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert place.kind == places.RUNS, "kind"
    self._require_seat(s, challenger, sender, core)
    width: uint256 = places.width(s.clock, places.RUNS)
    first: uint256 = convert(s.kept, uint256) >> 128
    last: uint256 = convert(s.kept, uint256) & places.LOW
    assert len(parts) == 8 * min(ONE << width, last - first), "count"
    fold: uint256 = self._combined(parts, place.flags & places.GREATEST != 0)
    assert fold == convert(s.claimed, uint256) & places.LANE, "parts"
    s.claimed = keccak256(concat(s.claimed, rows.pieces_root(parts)))
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
    piece: Bytes[PIECE],
    path: DynArray[bytes32, 4],
) -> places.State:
    """
    @notice Pick the part of the runs whose fold differs.
    @param claimed What was claimed before the parts were shown.
    @param piece   The 256 bytes of the parts that hold it.
    @param path    From them to the root over all pieces.
    """
    s: places.State = state
    place: places.Place = places.due(s, True)
    self._require_seat(s, sender, solver, core)
    assert place.kind == places.RUNS, "kind"
    first: uint256 = convert(s.kept, uint256) >> 128
    length: uint256 = (convert(s.kept, uint256) & places.LOW) - first
    count: uint256 = min(ONE << places.width(s.clock, places.RUNS), length)
    assert choice < count, "choice"
    pieces: uint256 = (8 * count + PIECE - 1) // PIECE
    root: bytes32 = rows.pieces_climb(piece, 8 * choice // PIECE, pieces, path)
    assert keccak256(concat(claimed, root)) == s.claimed, "parts"
    last: uint256 = first + (choice + 1) * length // count
    first += choice * length // count
    s.kept = convert(first << 128 | last, bytes32)
    part: uint256 = convert(slice(piece, 8 * choice % PIECE, 8), uint256)
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
    piece: Bytes[PIECE],
    path: DynArray[bytes32, 4],
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
    pieces: uint256 = (length * item + PIECE - 1) // PIECE
    begin: uint256 = choice * item
    assert rows.pieces_climb(piece, begin // PIECE, pieces, path) == s.claimed, "piece"
    padded: Bytes[PIECE + 32] = concat(piece, empty(bytes32))
    word: uint256 = extract32(padded, begin % PIECE, output_type=uint256)
    raw: uint256 = word >> (256 - 8 * item)
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
        runs: uint256 = 0
        if p.flags & places.ROWS != 0:
            runs = (spelling.row_read(held.node) + 511) // 512  # a run a leaf of a row
        else:
            runs = self._asked(
                abi_encode(
                    claim,
                    held.node,
                    method_id=method_id("runs((bytes32,bytes32,uint256,uint256),bytes)"),
                )
            )
        fold: uint256 = raw
        if p.flags & places.PLAIN == 0:
            fold = self._asked(
                abi_encode(
                    claim, held.node, raw, method_id=method_id("claimed((bytes32,bytes32,uint256,uint256),bytes,uint256)")
                )
            )
        after.claimed = convert(raw << 64 | fold, bytes32)
        if runs > 1:
            p.kind = places.RUNS
            after.kept = convert(runs, bytes32)
    return after, p


@internal
@pure
def _fold_flags(op: uint256, rank: uint256) -> uint256:
    """
    @notice What is to be known of a reduction to a value of this rank; nothing of any other op.
    """
    if op == DOT or (op == SCATTER_ADD and rank == 1):
        return places.FOLD | places.PLAIN | places.ROWS
    if op == SUM or op == CUMSUM or op == SCATTER_ADD:
        return places.FOLD | places.PLAIN
    if op == EXPONENT:
        return places.FOLD | places.PLAIN | places.GREATEST
    if op == AMAX:
        return places.FOLD | places.GREATEST
    if op == ARGMAX or op == TOPK:
        return places.FOLD
    return 0


@internal
@pure
def _combined(parts: Bytes[PARTS_BYTES], greatest: bool) -> uint256:
    """
    @notice The fold of partial folds, 8 bytes each: their sum modulo 2^64, or the greatest, signed.
    """
    padded: Bytes[PARTS_BYTES + 32] = concat(parts, empty(bytes32))
    total: uint256 = 0
    if not greatest:
        for i: uint256 in range((len(parts) + 31) // 32, bound=64):
            w: uint256 = extract32(padded, 32 * i, output_type=uint256)
            total = unsafe_add(total, unsafe_add(w & places.LANE, w >> 64 & places.LANE))
            total = unsafe_add(total, unsafe_add(w >> 128 & places.LANE, w >> 192))
        return total & places.LANE
    # with the sign turned round, so that the order is that of the bits
    for at: uint256 in range(len(parts) // 8, bound=256):
        total = max(total, extract32(padded, 8 * at, output_type=uint256) >> 192 ^ 2**63)
    return total ^ 2**63


@internal
@pure
def _require_seat(s: places.State, challenger: address, solver: address, core: bytes32):
    """
    @notice Refuse a move by another than the party whose seat it is.
    """
    assert s.seat == places.seat_hash(challenger, solver, core), "sender"


@internal
@view
def _asked(call: Bytes[ASKED_BYTES]) -> uint256:
    """
    @notice What the contract of reductions says. A typed call would send the node's bytes filled up
            to their longest.
    """
    said: Bytes[32] = raw_call(FOLDS, call, max_outsize=32, is_static_call=True)
    return abi_decode(said, uint256)
