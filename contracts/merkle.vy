# pragma version 0.4.3
"""
@title  Commitments: SHA-256 with domains, index-directed paths, seals of tensors and traces
@notice docs/reference/commitments.md, byte by byte:
        leaf = SHA-256(0x00 || domain || 0x00 || payload), node = SHA-256(0x01 || left || right);
        leaves are padded with zero digests to a power of two, so the depth follows from the count.
"""

LEAF_ELEMENTS: constant(uint256) = 512
LEAF_BYTES: constant(uint256) = 4096
NODE_BYTES: constant(uint256) = 4096
NAME_BYTES: constant(uint256) = 4096
PATH: constant(uint256) = 64
RANK: constant(uint256) = 8


# ---- paths ---------------------------------------------------------------------------------------


@internal
@pure
def depth(count: uint256) -> uint256:
    """
    @notice The levels below the root of a tree over `count` leaves.
    """
    levels: uint256 = 0
    width: uint256 = 1
    for level: uint256 in range(PATH):
        if width >= count:
            break
        width <<= 1
        levels += 1
    return levels


@internal
@pure
def join(left: bytes32, right: bytes32) -> bytes32:
    """
    @notice The hash of an inner node.
    """
    return sha256(concat(0x01, left, right))


@internal
@pure
def climb(
    leaf: bytes32, index: uint256, path: DynArray[bytes32, PATH], first: uint256, levels: uint256
) -> bytes32:
    """
    @notice The root above `leaf` at `index`, by the siblings path[first] up to, and without,
            path[first + levels], which must exist.
    """
    assert index >> levels == 0, "index"
    running: bytes32 = leaf
    at: uint256 = index
    for level: uint256 in range(levels, bound=PATH):
        sibling: bytes32 = path[first + level]
        if at & 1 == 1:
            running = sha256(concat(0x01, sibling, running))
        else:
            running = sha256(concat(0x01, running, sibling))
        at >>= 1
    return running


# ---- tensors -------------------------------------------------------------------------------------


@internal
@pure
def leaf_digest(data: Bytes[LEAF_BYTES]) -> bytes32:
    """
    @notice The digest of one leaf of a tensor.
    """
    return sha256(concat(b"\x00tensor-leaf\x00", data))


@internal
@pure
def little64(x: uint256) -> bytes8:
    """
    @notice The 8 bytes of an integer below 2^64, the lowest first.
    """
    y: uint256 = (x & 71777214294589695) << 8 | x >> 8 & 71777214294589695
    y = (y & 281470681808895) << 16 | y >> 16 & 281470681808895
    y = (y & 4294967295) << 32 | y >> 32
    return convert(convert(y, uint64), bytes8)


@internal
@pure
def seal_tensor(dtype: uint256, shape: DynArray[uint256, RANK], root: bytes32) -> bytes32:
    """
    @notice The digest of the tensor whose leaves have `root`.
    """
    sizes: uint256[2] = [0, 0]
    for axis: uint256 in range(len(shape), bound=RANK):
        size: uint256 = convert(self.little64(shape[axis]), uint256)
        sizes[axis // 4] |= size << 192 - 64 * (axis % 4)
    packed: Bytes[64] = concat(convert(sizes[0], bytes32), convert(sizes[1], bytes32))
    return sha256(concat(
        b"\x00tensor\x00",
        convert(convert(dtype, uint8), bytes1),
        convert(convert(len(shape), uint8), bytes1),
        slice(packed, 0, 8 * len(shape)),
        root,
    ))


@internal
@pure
def per_row(shape: DynArray[uint256, RANK]) -> uint256:
    """
    @notice How many leaves a row takes.
    """
    if len(shape) == 0:
        return 1
    return (shape[len(shape) - 1] + LEAF_ELEMENTS - 1) // LEAF_ELEMENTS


@internal
@pure
def leaf_place(shape: DynArray[uint256, RANK], element: uint256) -> (uint256, uint256):
    """
    @notice The leaf that holds `element`, and the element's place in it.
    """
    if len(shape) == 0:
        assert element == 0, "element"
        return 0, 0
    length: uint256 = shape[len(shape) - 1]
    column: uint256 = element % length
    leaf: uint256 = element // length * self.per_row(shape) + column // LEAF_ELEMENTS
    return leaf, column % LEAF_ELEMENTS


@internal
@pure
def leaf_shape(shape: DynArray[uint256, RANK], leaf: uint256) -> (uint256, uint256):
    """
    @notice How many leaves a tensor has, and how many elements leaf number `leaf` of them holds.
    """
    if len(shape) == 0:
        return 1, 1
    last: uint256 = len(shape) - 1
    rows: uint256 = 1
    for axis: uint256 in range(last, bound=RANK):
        rows *= shape[axis]
    in_row: uint256 = self.per_row(shape)
    held: uint256 = min(LEAF_ELEMENTS, shape[last] - leaf % in_row * LEAF_ELEMENTS)
    return rows * in_row, held


# ---- seals ---------------------------------------------------------------------------------------


@internal
@pure
def little32(x: uint256) -> bytes4:
    """
    @notice The 4 bytes of an integer below 2^32, the lowest first.
    """
    y: uint256 = (x & 16711935) << 8 | x >> 8 & 16711935
    y = (y & 65535) << 16 | y >> 16
    return convert(convert(y, uint32), bytes4)


@internal
@pure
def seal_trace(count: uint256, root: bytes32) -> bytes32:
    """
    @notice The root of the trace of a step with `count` values.
    """
    return sha256(concat(b"\x00trace\x00", self.little32(count), root))


@internal
@pure
def seal_state(count: uint256, root: bytes32) -> bytes32:
    """
    @notice The root of a state with `count` entries.
    """
    return sha256(concat(b"\x00state\x00", self.little32(count), root))


@internal
@pure
def state_leaf(tensor: bytes32, name: Bytes[NAME_BYTES]) -> bytes32:
    """
    @notice The leaf that binds a name of the state to a tensor.
    """
    return sha256(concat(b"\x00state-leaf\x00", tensor, name))


@internal
@pure
def node_leaf(node: Bytes[NODE_BYTES]) -> bytes32:
    """
    @notice The leaf of a node under its Program's digest, where node i is leaf i + 1.
    """
    return sha256(concat(b"\x00program.node\x00", node))


@internal
@pure
def operand_leaf(entry: Bytes[NODE_BYTES]) -> bytes32:
    """
    @notice The leaf of one operand under the root that a concat has over its operands.
    """
    return sha256(concat(b"\x00program.operand\x00", entry))
