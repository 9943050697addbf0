# pragma version 0.4.3
"""
@title  The judge of reductions: one run of terms at a time
@notice A reduction is a fold over *runs*: a run is the terms that one leaf of each operand holds.
        Runs are combined modulo 2^64 by addition (sum, dot, cumsum, scatter_add, and the counts
        that argmax and topk stand for) or by the greater (amax, exponent). Whoever claims an
        element claims its fold, shows the partial folds of parts of its runs, and in the end
        answers for one run, which `judge` computes from the leaves.
        Of an argmax or a topk the subject is the claimed index: the run counts the elements that
        stand before it in order, and the whole count must be its rank.
@dev    Stateless; docs/reference/adjudication.md says the same in words.
"""

from . import merkle
from . import nodes
from . import openings
from . import ops
from . import softfloat

NODE_BYTES: constant(uint256) = 4096
LEAF_BYTES: constant(uint256) = 4096
LEAF_ELEMENTS: constant(uint256) = 512
LEAF_WORDS: constant(uint256) = 128
PADDED: constant(uint256) = LEAF_BYTES + 32
PARTIALS: constant(uint256) = 256
PARTIAL_BYTES: constant(uint256) = 8 * PARTIALS
RANK: constant(uint256) = 8
LANE: constant(uint256) = 2**64 - 1
LANES: constant(uint256) = 2**192 + 2**128 + 2**64 + 1
LANE_32: constant(uint256) = 2**32 - 1
NO_SUBJECT: constant(uint256) = 2**64 - 1  # what a run counts about an index that does not exist

# the lowest byte, two bytes, four bytes of every 2, 4, 8 bytes of a word
SWAP_1: constant(uint256) = max_value(uint256) // (2**16 - 1) * (2**8 - 1)
SWAP_2: constant(uint256) = max_value(uint256) // (2**32 - 1) * (2**16 - 1)
SWAP_4: constant(uint256) = max_value(uint256) // (2**64 - 1) * (2**32 - 1)


struct Place:
    leaf: uint256  # of the operand
    first: uint256  # the first term's place in the leaf
    count: uint256  # how many terms
    term: uint256  # the first one's number in the fold
    runs: uint256  # how many runs the fold has


# ---- what a court asks ---------------------------------------------------------------------------


@external
@pure
def runs(claim: openings.Claim, node: Bytes[NODE_BYTES]) -> uint256:
    """
    @notice How many runs the fold of the claim's element has; 0 if the op is no fold.
    """
    read: nodes.Node = self._node(claim, node)
    if not self._is_fold(read.op):
        return 0
    return self._runs(read, claim.element)


@external
@pure
def claimed(claim: openings.Claim, node: Bytes[NODE_BYTES], bits: uint256) -> uint256:
    """
    @notice The fold that is claimed by claiming these bits for the element, as 64 bits.
    """
    read: nodes.Node = self._node(claim, node)
    if read.op == ops.OP_AMAX:
        return self._word(softfloat.order32(bits))
    if read.op == ops.OP_ARGMAX:
        return 0
    if read.op == ops.OP_TOPK:
        return claim.element % convert(read.attrs[0], uint256)
    return bits


@external
@pure
def combined(claim: openings.Claim, node: Bytes[NODE_BYTES], parts: Bytes[PARTIAL_BYTES]) -> uint256:
    """
    @notice The fold of some partial folds, 8 bytes each, the highest first.
    """
    assert len(parts) > 0 and len(parts) % 8 == 0, "parts"
    read: nodes.Node = self._node(claim, node)
    greatest: bool = read.op == ops.OP_AMAX or read.op == ops.OP_EXPONENT
    padded: Bytes[PARTIAL_BYTES + 32] = concat(parts, empty(bytes32))
    total: uint256 = extract32(padded, 0, output_type=uint256) >> 192
    for i: uint256 in range(1, len(parts) // 8, bound=PARTIALS):
        part: uint256 = extract32(padded, 8 * i, output_type=uint256) >> 192
        if not greatest:
            total = unsafe_add(total, part) & LANE
        elif self._signed(part) > self._signed(total):
            total = part
    return total


@external
@pure
def judge(
    claim: openings.Claim,
    node: Bytes[NODE_BYTES],
    subject: uint256,
    run: uint256,
    shown: DynArray[openings.Opened, 3],
) -> uint256:
    """
    @notice The fold of one run, as 64 bits.
    @param claim What is doubted, and the trace its operands hang on.
    @param node The node as a judge reads it.
    @param subject The claimed bits of the element; they matter to argmax and topk alone.
    @param run The run, counted from 0.
    @param shown The leaves that the run needs, and no other.
    """
    read: nodes.Node = self._node(claim, node)
    assert run < self._runs(read, claim.element), "run"
    used: uint256 = 0
    fold: uint256 = 0
    if read.op == ops.OP_DOT:
        used, fold = self._dot(claim, read, run, shown)
    elif read.op == ops.OP_SCATTER_ADD:
        used, fold = self._scatter_add(claim, read, run, shown)
    elif read.op == ops.OP_ARGMAX or read.op == ops.OP_TOPK:
        used, fold = self._before(claim, read, subject, run, shown)
    else:
        used, fold = self._reduce(claim, read, run, shown)
    assert used == len(shown), "openings"
    return fold


# ---- which terms a run has -----------------------------------------------------------------------


@internal
@pure
def _node(claim: openings.Claim, node: Bytes[NODE_BYTES]) -> nodes.Node:
    """
    @notice The claim's node.
    """
    assert merkle.node_leaf(node) == claim.node, "node"
    read: nodes.Node = nodes.decode(node)
    assert claim.element < nodes.elements(read.made), "element"
    return read


@internal
@pure
def _is_fold(op: bytes12) -> bool:
    """
    @notice Whether the op reduces.
    """
    return (
        op == ops.OP_DOT or op == ops.OP_SUM or op == ops.OP_CUMSUM or op == ops.OP_SCATTER_ADD
        or op == ops.OP_AMAX or op == ops.OP_EXPONENT or op == ops.OP_ARGMAX or op == ops.OP_TOPK
    )


@internal
@pure
def _runs(node: nodes.Node, element: uint256) -> uint256:
    """
    @notice How many runs the fold of an element has.
    """
    shape: DynArray[uint256, RANK] = node.reads[0].shape
    if node.op == ops.OP_DOT:
        return merkle.per_row(shape)
    if node.op == ops.OP_SCATTER_ADD:
        return merkle.per_row(shape) if len(node.reads[1].shape) == 1 else shape[0]
    return self._place(node, element, 0).runs


@internal
@pure
def _reduced(node: nodes.Node) -> DynArray[bool, RANK]:
    """
    @notice For each axis of the operand whether the op runs along it.
    """
    axes: DynArray[bool, RANK] = []
    rank: uint256 = len(node.reads[0].shape)
    for axis: uint256 in range(rank, bound=RANK):
        axes.append(False)
    if node.op == ops.OP_TOPK:
        axes[rank - 1] = True
    else:
        for axis: int256 in node.attrs:
            axes[convert(axis, uint256)] = True
    return axes


@internal
@pure
def _place(node: nodes.Node, element: uint256, run: uint256) -> Place:
    """
    @notice Where the terms of a run lie: in a whole leaf where the last axis is reduced, else in
            one element. Runs ascend in row-major order of the reduced axes.
    """
    shape: DynArray[uint256, RANK] = node.reads[0].shape
    axes: DynArray[bool, RANK] = self._reduced(node)
    last: uint256 = len(shape) - 1
    in_row: uint256 = merkle.per_row(shape)
    kept: uint256 = element  # what is left of the element's index along the kept axes
    if node.op == ops.OP_TOPK:
        kept //= convert(node.attrs[0], uint256)
    rest: uint256 = run  # and of the run's along the reduced ones
    place: Place = Place(leaf=0, first=0, count=1, term=run, runs=1)
    limit: uint256 = 0  # of a cumsum, the terms there are
    if axes[last]:
        place.leaf = run % in_row
        rest //= in_row
        place.term = place.leaf * LEAF_ELEMENTS
        place.count = min(LEAF_ELEMENTS, shape[last] - place.term)
        place.runs = in_row
        if node.op == ops.OP_CUMSUM:
            limit = kept % shape[last] + 1
            kept //= shape[last]
            place.count = min(LEAF_ELEMENTS, limit - min(limit, place.term))
            place.runs = (limit + LEAF_ELEMENTS - 1) // LEAF_ELEMENTS
    else:
        place.first = kept % shape[last] % LEAF_ELEMENTS
        place.leaf = kept % shape[last] // LEAF_ELEMENTS
        kept //= shape[last]
    stride: uint256 = in_row
    for i: uint256 in range(last, bound=RANK):
        axis: uint256 = last - 1 - i
        size: uint256 = shape[axis]
        if not axes[axis]:
            place.leaf += kept % size * stride
            kept //= size
        else:
            place.leaf += rest % size * stride
            rest //= size
            if node.op == ops.OP_CUMSUM:
                place.runs = kept % size + 1
                kept //= size
            else:
                place.runs *= size
        stride *= size
    assert kept == 0, "element"
    return place


# ---- what a run comes to -------------------------------------------------------------------------


@internal
@pure
def _swapped(word: uint256) -> uint256:
    """
    @notice A word with the bytes of each of its four 8-byte lanes turned round.
    """
    w: uint256 = (word & SWAP_1) << 8 | word >> 8 & SWAP_1
    w = (w & SWAP_2) << 16 | w >> 16 & SWAP_2
    return (w & SWAP_4) << 32 | w >> 32 & SWAP_4


@internal
@pure
def _signed(x: uint256) -> int256:
    """
    @notice The integer whose two's complement is the 64 bits x.
    """
    return convert(x, int256) - (2**64 if x >= 2**63 else 0)


@internal
@pure
def _word(n: int256) -> uint256:
    """
    @notice The two's complement of n in 64 bits.
    """
    return convert(n & (2**64 - 1), uint256)


@internal
@pure
def _dot(
    claim: openings.Claim, node: nodes.Node, run: uint256, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice The sum over one leaf of a row of a, and one of a row of b, modulo 2^64.
    """
    a: nodes.Type = node.reads[0]
    b: nodes.Type = node.reads[1]
    rank: uint256 = len(a.shape)
    columns: uint256 = b.shape[rank - 2]
    row_a: uint256 = claim.element // columns
    row_b: uint256 = row_a // a.shape[rank - 2] * columns + claim.element % columns
    in_row: uint256 = merkle.per_row(a.shape)
    openings.hold(claim, node.inputs[0], a, row_a * in_row + run, shown[0])
    if node.inputs[0] == node.inputs[1] and row_a == row_b:
        return 1, self._products(shown[0].data, shown[0].data)
    openings.hold(claim, node.inputs[1], b, row_b * in_row + run, shown[1])
    return 2, self._products(shown[0].data, shown[1].data)


@internal
@pure
def _products(a: Bytes[LEAF_BYTES], b: Bytes[LEAF_BYTES]) -> uint256:
    """
    @notice The sum of the products of two runs of i64, modulo 2^64.
    """
    left: Bytes[PADDED] = concat(a, empty(bytes32))
    right: Bytes[PADDED] = concat(b, empty(bytes32))
    total: uint256 = 0
    for i: uint256 in range((len(a) + 31) // 32, bound=LEAF_WORDS):
        at: uint256 = unsafe_mul(i, 32)
        # `_swapped` of both, without a call
        v: uint256 = extract32(left, at, output_type=uint256)
        w: uint256 = extract32(right, at, output_type=uint256)
        v = (v & SWAP_1) << 8 | v >> 8 & SWAP_1
        w = (w & SWAP_1) << 8 | w >> 8 & SWAP_1
        v = (v & SWAP_2) << 16 | v >> 16 & SWAP_2
        w = (w & SWAP_2) << 16 | w >> 16 & SWAP_2
        v = (v & SWAP_4) << 32 | v >> 32 & SWAP_4
        w = (w & SWAP_4) << 32 | w >> 32 & SWAP_4
        # modulo 2^64 the product of two's complements is the two's complement of the product
        total = unsafe_add(total, unsafe_mul(v & LANE, w & LANE))
        total = unsafe_add(total, unsafe_mul(v >> 64 & LANE, w >> 64 & LANE))
        total = unsafe_add(total, unsafe_mul(v >> 128 & LANE, w >> 128 & LANE))
        total = unsafe_add(total, unsafe_mul(v >> 192, w >> 192))
    return total & LANE


@internal
@pure
def _scatter_add(
    claim: openings.Claim, node: nodes.Node, run: uint256, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice The sum of the run's elements of v whose index names the element's row: of a whole leaf
            where v has one axis, else of one row, which is opened only if it is named.
    """
    index: nodes.Type = node.reads[0]
    v: nodes.Type = node.reads[1]
    width: uint256 = 1
    for axis: uint256 in range(1, len(v.shape), bound=RANK):
        width *= v.shape[axis]
    row: uint256 = claim.element // width
    if len(v.shape) > 1:
        if openings.plain(claim, node.inputs[0], index, run, shown[0]) != row:
            return 1, 0
        at: uint256 = run * width + claim.element % width
        return 2, openings.plain(claim, node.inputs[1], v, at, shown[1])
    openings.hold(claim, node.inputs[0], index, run, shown[0])
    if node.inputs[0] == node.inputs[1]:
        return 1, self._selected(shown[0].data, shown[0].data, row)
    openings.hold(claim, node.inputs[1], v, run, shown[1])
    return 2, self._selected(shown[0].data, shown[1].data, row)


@internal
@pure
def _selected(index: Bytes[LEAF_BYTES], v: Bytes[LEAF_BYTES], row: uint256) -> uint256:
    """
    @notice The sum, modulo 2^64, of the i64 of v beside which `index` says `row`.
    """
    names: Bytes[PADDED] = concat(index, empty(bytes32))
    terms: Bytes[PADDED] = concat(v, empty(bytes32))
    # the row as a lane holds it, in all four; few words have it, so few are turned round
    wanted: uint256 = unsafe_mul(self._swapped(row) & LANE, LANES)
    total: uint256 = 0
    for i: uint256 in range((len(index) + 31) // 32, bound=LEAF_WORDS):
        at: uint256 = unsafe_mul(i, 32)
        n: uint256 = extract32(names, at, output_type=uint256) ^ wanted
        if n & LANE == 0 or n >> 64 & LANE == 0 or n >> 128 & LANE == 0 or n >> 192 == 0:
            w: uint256 = self._swapped(extract32(terms, at, output_type=uint256))
            # behind the end both are zero
            for lane: uint256 in range(4):
                if n & LANE == 0:
                    total = unsafe_add(total, w & LANE)
                n >>= 64
                w >>= 64
    return total & LANE


@internal
@pure
def _reduce(
    claim: openings.Claim, node: nodes.Node, run: uint256, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice sum, cumsum, amax and exponent over a run.
    """
    place: Place = self._place(node, claim.element, run)
    openings.hold(claim, node.inputs[0], node.reads[0], place.leaf, shown[0])
    if node.reads[0].dtype == 2:
        if place.count == 1:
            return 1, openings.element(shown[0].data, 2, place.first)
        return 1, self._sum(shown[0].data, place.count)
    exponents: bool = node.op == ops.OP_EXPONENT
    return 1, self._greatest(shown[0].data, place.first, place.count, exponents)


@internal
@pure
def _sum(data: Bytes[LEAF_BYTES], count: uint256) -> uint256:
    """
    @notice The sum of the first `count` i64, modulo 2^64.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32))
    total: uint256 = 0
    for i: uint256 in range(count // 4, bound=LEAF_WORDS):
        w: uint256 = self._swapped(extract32(padded, unsafe_mul(i, 32), output_type=uint256))
        total = unsafe_add(total, unsafe_add(w & LANE, w >> 64 & LANE))
        total = unsafe_add(total, unsafe_add(w >> 128 & LANE, w >> 192))
    for i: uint256 in range(count // 4 * 4, count, bound=4):
        total = unsafe_add(total, openings.element(data, 2, i))
    return total & LANE


@internal
@pure
def _key(x: uint256) -> uint256:
    """
    @notice A number in the total order of an f32; a committed NaN is positive, so it is greatest.
    """
    return x | 2**31 if x < 2**31 else LANE_32 - x


@internal
@pure
def _lanes(word: uint256) -> uint256:
    """
    @notice A word with the bytes of each of its eight 4-byte lanes turned round.
    """
    w: uint256 = (word & SWAP_1) << 8 | word >> 8 & SWAP_1
    return (w & SWAP_2) << 16 | w >> 16 & SWAP_2


@internal
@pure
def _greatest(
    data: Bytes[LEAF_BYTES], first: uint256, count: uint256, exponents: bool
) -> uint256:
    """
    @notice The greatest of the f32 from place `first` on: its order, or the greatest exponent.
    """
    best: uint256 = 0  # the greatest key, or the greatest exponent field
    if count == 1:
        x: uint256 = openings.element(data, 1, first)
        best = x >> 23 & 255 if exponents else self._key(x)
    else:
        padded: Bytes[PADDED] = concat(data, empty(bytes32))
        for i: uint256 in range((count + 7) // 8, bound=64):
            w: uint256 = self._lanes(extract32(padded, unsafe_mul(i, 32), output_type=uint256))
            for lane: uint256 in range(min(8, count - 8 * i), bound=8):
                x: uint256 = w >> 224
                w <<= 32
                if exponents:
                    best = max(best, x >> 23 & 255)
                else:
                    # `_key`, without a call
                    best = max(best, x | 2**31 if x < 2**31 else unsafe_sub(LANE_32, x))
    if exponents:
        return self._word(convert(max(best, 1), int256) - 126)
    # from a key to the order that softfloat gives
    return self._word(convert(best, int256) - 2**31)


@internal
@pure
def _before(
    claim: openings.Claim,
    node: nodes.Node,
    subject: uint256,
    run: uint256,
    shown: DynArray[openings.Opened, 3],
) -> (uint256, uint256):
    """
    @notice How many of the run's elements stand before the one at index `subject`: greater ones,
            and equal ones of a lower index. The subject is opened too unless the run holds it.
    """
    shape: DynArray[uint256, RANK] = node.reads[0].shape
    axis: uint256 = len(shape) - 1
    if node.op == ops.OP_ARGMAX:
        axis = convert(node.attrs[0], uint256)
    if subject >= shape[axis]:
        return 0, NO_SUBJECT
    whole: bool = axis == len(shape) - 1
    place: Place = self._place(node, claim.element, run)
    openings.hold(claim, node.inputs[0], node.reads[0], place.leaf, shown[0])
    holder: uint256 = subject // LEAF_ELEMENTS if whole else subject
    used: uint256 = 0
    if holder != run:
        used = 1
    there: Place = self._place(node, claim.element, holder)
    if used == 1:
        openings.hold(claim, node.inputs[0], node.reads[0], there.leaf, shown[1])
    spot: uint256 = subject % LEAF_ELEMENTS if whole else there.first
    rival: uint256 = self._key(openings.element(shown[used].data, 1, spot))
    if place.count == 1:
        key: uint256 = self._key(openings.element(shown[0].data, 1, place.first))
        before: bool = key > rival or (key == rival and place.term < subject)
        return used + 1, convert(before, uint256)
    equals: uint256 = 0  # so many from the start on stand before the subject if they equal it
    if subject > place.term:
        equals = min(place.count, subject - place.term)
    return used + 1, self._greater(shown[0].data, equals, rival)


@internal
@pure
def _greater(data: Bytes[LEAF_BYTES], equals: uint256, rival: uint256) -> uint256:
    """
    @notice How many f32 have a key above `rival`, or of the first `equals` one that equals it.
    """
    padded: Bytes[PADDED] = concat(data, empty(bytes32))
    items: uint256 = len(data) // 4
    count: uint256 = 0
    for i: uint256 in range((items + 7) // 8, bound=64):
        w: uint256 = self._lanes(extract32(padded, unsafe_mul(i, 32), output_type=uint256))
        first: uint256 = unsafe_mul(8, i)
        for lane: uint256 in range(min(8, unsafe_sub(items, first)), bound=8):
            x: uint256 = w >> 224
            w <<= 32
            # `_key`, without a call
            key: uint256 = x | 2**31 if x < 2**31 else unsafe_sub(LANE_32, x)
            if key > rival or (key == rival and unsafe_add(first, lane) < equals):
                count = unsafe_add(count, 1)
    return count
