# pragma version 0.4.3
"""
@title  Values shown to a judge
@notice A claim says what is doubted and where the agreed values of its step hang. An opening is one
        leaf of one of them: its bytes, and the siblings that lead from it to the digest of its
        tensor and on to the root of the step's trace.
"""

from . import merkle
from . import nodes

NODE_BYTES: constant(uint256) = 4096
LEAF_BYTES: constant(uint256) = 4096
PATH: constant(uint256) = 64
PADDED: constant(uint256) = LEAF_BYTES + 32
LEAF_WORDS: constant(uint256) = 128
ONE: constant(uint256) = 1
SIGNS: constant(uint256) = 2**192 + 2**128 + 2**64 + 1


struct Claim:
    node: bytes32  # leaf of the node under its Program's digest
    trace: bytes32  # root of the trace of the step
    values: uint256  # how many values the trace has
    element: uint256  # of the node's value, in row-major order


struct Opened:
    data: Bytes[LEAF_BYTES]
    path: DynArray[bytes32, PATH]


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
def tensor_of(
    kind: nodes.Type,
    leaf: uint256,
    size: uint256,
    digest: bytes32,
    path: DynArray[bytes32, PATH],
) -> (bytes32, uint256):
    """
    @notice The digest of the tensor of this type whose leaf number `leaf` has `size` bytes and this
            digest, and how many siblings that took.
    """
    count: uint256 = 0
    held: uint256 = 0
    count, held = merkle.leaf_shape(kind.shape, leaf)
    assert leaf < count, "leaf"
    assert size == held * self.item_bytes(kind.dtype), "length"
    levels: uint256 = merkle.depth(count)
    root: bytes32 = merkle.climb(digest, leaf, path, 0, levels)
    return merkle.seal_tensor(kind.dtype, kind.shape, root), levels


@internal
@pure
def check(
    claim: Claim,
    at: uint256,
    kind: nodes.Type,
    leaf: uint256,
    size: uint256,
    digest: bytes32,
    path: DynArray[bytes32, PATH],
):
    """
    @notice Refuse what is not leaf number `leaf` of the value of node `at`, of this type.
    """
    tensor: bytes32 = empty(bytes32)
    levels: uint256 = 0
    tensor, levels = self.tensor_of(kind, leaf, size, digest, path)
    above: uint256 = merkle.depth(claim.values)
    assert at < claim.values, "operand"
    assert len(path) == levels + above, "path"
    root: bytes32 = merkle.climb(tensor, at, path, levels, above)
    assert merkle.seal_trace(claim.values, root) == claim.trace, "trace"


@internal
@pure
def element(data: Bytes[LEAF_BYTES], dtype: uint256, place: uint256) -> uint256:
    """
    @notice One element of a whole leaf, as its bits.
    """
    if dtype == 3:
        return convert(slice(data, place, 1), uint256)
    if dtype == 1:
        return convert(merkle.little32(convert(slice(data, place * 4, 4), uint256)), uint256)
    return convert(merkle.little64(convert(slice(data, place * 8, 8), uint256)), uint256)


@internal
@pure
def hold(claim: Claim, at: uint256, kind: nodes.Type, leaf: uint256, opened: Opened):
    """
    @notice Refuse an opening that is not leaf number `leaf` of the value of node `at`.
    """
    digest: bytes32 = merkle.leaf_digest(opened.data)
    self.check(claim, at, kind, leaf, len(opened.data), digest, opened.path)


@internal
@pure
def plain(claim: Claim, at: uint256, kind: nodes.Type, index: uint256, opened: Opened) -> uint256:
    """
    @notice Element `index` of the value of node `at`, as its bits.
    """
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(kind.shape, index)
    self.hold(claim, at, kind, leaf, opened)
    return self.element(opened.data, kind.dtype, place)


@internal
@pure
def number(claim: Claim, at: uint256, kind: nodes.Type, index: uint256, opened: Opened) -> uint256:
    """
    @notice The same, of a leaf that may be packed if it holds i64.
    """
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(kind.shape, index)
    data: Bytes[LEAF_BYTES] = opened.data
    if kind.dtype == 2:
        count: uint256 = 0
        held: uint256 = 0
        count, held = merkle.leaf_shape(kind.shape, leaf)
        if len(data) < 8 * held:
            data = self.unpacked(opened.data, held)
    self.check(claim, at, kind, leaf, len(data), merkle.leaf_digest(data), opened.path)
    return self.element(data, kind.dtype, place)


@internal
@pure
def unpacked(data: Bytes[LEAF_BYTES], count: uint256) -> Bytes[LEAF_BYTES]:
    """
    @notice The leaf of `count` i64 of which each is shown by its lowest bytes alone, all by equally
            many; the sign fills the others. Calldata costs more than this does.
    """
    width: uint256 = len(data) // count
    assert width > 0 and width * count == len(data), "length"
    bits: uint256 = 8 * width
    padded: Bytes[PADDED] = concat(data, empty(bytes32))
    words: uint256[LEAF_WORDS] = empty(uint256[LEAF_WORDS])
    gap: uint256 = 64 - bits
    fill: uint256 = (ONE << gap) - 1
    # where number j of four stands, the lowest byte of each number first, and where it goes
    mask: uint256 = (ONE << bits) - 1
    behind: uint256 = 256 - 4 * bits
    second: uint256 = mask << bits
    third: uint256 = second << bits
    twice: uint256 = 2 * gap
    top: uint256 = 3 * bits
    at: uint256 = 0
    for i: uint256 in range((count + 3) // 4, bound=LEAF_WORDS):
        x: uint256 = extract32(padded, at, output_type=uint256) >> behind
        y: uint256 = x & mask | (x & second) << gap | (x & third) << twice
        y |= (x >> top) << 192
        words[i] = y << gap | unsafe_mul(y >> 7 & SIGNS, fill)
        at = unsafe_add(at, unsafe_mul(4, width))
    return slice(abi_encode(words), 0, 8 * count)
