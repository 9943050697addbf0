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
    @notice One element of a leaf, as its bits.
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
def number(claim: Claim, at: uint256, kind: nodes.Type, index: uint256, opened: Opened) -> uint256:
    """
    @notice Element `index` of the value of node `at`, as its bits.
    """
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(kind.shape, index)
    digest: bytes32 = merkle.leaf_digest(opened.data)
    self.check(claim, at, kind, leaf, len(opened.data), digest, opened.path)
    return self.element(opened.data, kind.dtype, place)
