# pragma version 0.4.3
"""
@title  The judge of one element
@notice `judge` computes the one element of a node's value from leaves of its operands that are
        opened under the trace of the step. It covers every op but the folds (see folds.vy) and
        `input` (see wiring.vy).
@dev    Stateless. An opening that does not hold reverts: it says nothing about the claim. The twin
        is `skerry.verify.judge`; the layout is in docs/reference/adjudication.md.
"""

from . import maps
from . import merkle
from . import nodes
from . import openings
from . import ops

NODE_BYTES: constant(uint256) = 4096
RANK: constant(uint256) = 8
PATH: constant(uint256) = 64
F32: constant(uint256) = 1
MAGNITUDE: constant(uint256) = 2**31 - 1
INFINITY: constant(uint256) = 255 * 2**23
NAN: constant(uint256) = 511 * 2**22


interface Arithmetic:
    def element(
        op: bytes12, dtype: uint256, a: uint256, b: uint256, c: uint256, attr: int256
    ) -> uint256: pure
    def uniform(seed: uint256, stream: uint256, index: uint256) -> uint256: pure


ARITHMETIC: public(immutable(address))


@deploy
def __init__(arithmetic: address):
    """
    @param arithmetic The contract that computes the elementwise ops.
    """
    ARITHMETIC = arithmetic


@external
@view
def judge(
    claim: openings.Claim, node: Bytes[NODE_BYTES], shown: DynArray[openings.Opened, 3]
) -> uint256:
    """
    @notice The bits of the claim's element: an f32 its 32 bits, an i64 its two's complement, a bool
            0 or 1.
    @param claim What is doubted, and the trace its operands hang on.
    @param node The node as a judge reads it.
    @param shown The openings in the order in which the op needs them, and no other.
    """
    assert merkle.node_leaf(node) == claim.node, "node"
    read: nodes.Node = nodes.decode(node)
    used: uint256 = 0
    value: uint256 = 0
    if read.op == ops.OP_CONCAT:
        used, value = self._concat(claim, read, shown)
    elif read.op == ops.OP_TAKE:
        used, value = self._take(claim, read, shown)
    elif len(read.inputs) == 0 or read.op == ops.OP_UNIFORM:
        used, value = self._source(claim, read, shown)
    elif self._is_view(read.op):
        used, value = self._view(claim, read, shown)
    else:
        used, value = self._each(claim, read, shown)
    assert used == len(shown), "openings"
    return value


@internal
@pure
def _is_view(op: bytes12) -> bool:
    """
    @notice Whether the op moves elements of one operand by a fixed map.
    """
    return (
        op == ops.OP_RESHAPE or op == ops.OP_PERMUTE or op == ops.OP_EXPAND
        or op == ops.OP_SLICE or op == ops.OP_WINDOW or op == ops.OP_PAD
    )


@internal
@view
def _each(
    claim: openings.Claim, node: nodes.Node, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice An elementwise op: the same element of each operand; an operand that stands twice is
            opened once.
    """
    used: uint256 = 0
    bits: uint256[3] = [0, 0, 0]
    for i: uint256 in range(len(node.inputs), bound=3):
        again: bool = False
        for j: uint256 in range(i, bound=3):
            if node.inputs[j] == node.inputs[i]:
                bits[i] = bits[j]
                again = True
                break
        if not again:
            bits[i] = openings.number(
                claim, node.inputs[i], node.reads[i], claim.element, shown[used]
            )
            used += 1
    attr: int256 = node.attrs[0] if len(node.attrs) == 1 else 0
    dtype: uint256 = node.reads[len(node.inputs) - 1].dtype
    value: uint256 = staticcall Arithmetic(ARITHMETIC).element(
        node.op, dtype, bits[0], bits[1], bits[2], attr
    )
    return used, value


@internal
@view
def _view(
    claim: openings.Claim, node: nodes.Node, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice A view or a pad: one element of the operand, or the value that fills a pad.
    """
    inside: bool = False
    at: uint256 = 0
    inside, at = maps.source(node, claim.element)
    if not inside:
        return 0, self._canonical(node.made.dtype, node.attrs[len(node.attrs) - 1])
    return 1, openings.number(claim, node.inputs[0], node.reads[0], at, shown[0])


@internal
@pure
def _canonical(dtype: uint256, encoded: int256) -> uint256:
    """
    @notice The bits of an attribute that encodes an element; every NaN is the one NaN.
    """
    bits: uint256 = convert(encoded & (2**64 - 1), uint256)
    if dtype == F32 and bits & MAGNITUDE > INFINITY:
        return NAN
    return bits


@internal
@view
def _source(
    claim: openings.Claim, node: nodes.Node, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice const, full, iota and uniform.
    """
    if node.op == ops.OP_FULL:
        return 0, self._canonical(node.made.dtype, node.attrs[len(node.attrs) - 1])
    if node.op == ops.OP_IOTA:
        index: DynArray[uint256, RANK] = maps.unravel(claim.element, node.made.shape)
        return 0, index[maps.number(node, 0)]
    if node.op == ops.OP_UNIFORM:
        seed: uint256 = openings.number(claim, node.inputs[0], node.reads[0], 0, shown[0])
        stream: uint256 = maps.number(node, len(node.attrs) - 1)
        value: uint256 = staticcall Arithmetic(ARITHMETIC).uniform(seed, stream, claim.element)
        return 1, value
    assert node.op == ops.OP_CONST, "op"
    # the literal stands in the node by the digest of its tensor
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(node.made.shape, claim.element)
    tensor: bytes32 = empty(bytes32)
    levels: uint256 = 0
    tensor, levels = openings.tensor_of(node.made, leaf, shown[0])
    assert tensor == convert(node.attrs[0], bytes32), "const"
    assert len(shown[0].path) == levels, "path"
    bits: uint256 = openings.element(shown[0].data, node.made.dtype, place)
    return 1, self._canonical(node.made.dtype, convert(bits, int256))


@internal
@view
def _take(
    claim: openings.Claim, node: nodes.Node, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice take: the index first, then the element of that row unless there is no such row.
    """
    shape: DynArray[uint256, RANK] = node.reads[0].shape
    width: uint256 = 1
    for axis: uint256 in range(1, len(shape), bound=RANK):
        width *= shape[axis]
    at: uint256 = claim.element // width
    row: uint256 = openings.number(claim, node.inputs[1], node.reads[1], at, shown[0])
    if row >= shape[0]:
        return 1, 0
    source: uint256 = row * width + claim.element % width
    return 2, openings.number(claim, node.inputs[0], node.reads[0], source, shown[1])


@internal
@view
def _concat(
    claim: openings.Claim, node: nodes.Node, shown: DynArray[openings.Opened, 3]
) -> (uint256, uint256):
    """
    @notice concat: the entry of the operand that holds the element, under the node's own root over
            its operands, then that operand's element.
    """
    entry: DynArray[int256, 128] = []
    begun: uint256 = 0
    # [number among the operands, node, start along the axis, type]
    entry, begun = nodes.flat(shown[0].data)
    kind: nodes.Type = empty(nodes.Type)
    behind: uint256 = 0
    kind, behind = nodes.type_at(entry, 4)
    number: uint256 = convert(entry[1], uint256)
    levels: uint256 = merkle.depth(node.inputs[0])
    assert number < node.inputs[0] and len(shown[0].path) == levels, "path"
    leaf: bytes32 = merkle.operand_leaf(shown[0].data)
    assert merkle.climb(leaf, number, shown[0].path, 0, levels) == node.root, "operands"
    index: DynArray[uint256, RANK] = maps.unravel(claim.element, node.made.shape)
    axis: uint256 = maps.number(node, 0)
    # below the start this underflows, behind the end `ravel` refuses: it is another operand's
    index[axis] -= convert(entry[3], uint256)
    source: uint256 = maps.ravel(index, kind.shape)
    at: uint256 = convert(entry[2], uint256)
    return 2, openings.number(claim, at, kind, source, shown[1])
