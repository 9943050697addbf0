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
    assert claim.element < nodes.elements(read.made), "element"
    if read.op == ops.OP_CONCAT:
        assert len(shown) == 2, "openings"
        operand: uint256 = 0
        kind: nodes.Type = empty(nodes.Type)
        inside: uint256 = 0
        operand, kind, inside = self._operand(claim.element, read, shown[0])
        return openings.number(claim, operand, kind, inside, shown[1])
    if read.op == ops.OP_TAKE:
        return self._taken(claim, read, shown)
    if read.op == ops.OP_CONST:
        assert len(shown) == 1, "openings"
        return self._literal(claim.element, read, shown[0])
    if len(read.inputs) == 0:
        assert len(shown) == 0, "openings"
        return self._source(claim.element, read)
    at: uint256 = claim.element
    view: bool = self._is_view(read.op)
    if view:
        moved: bool = False
        moved, at = maps.source(read, claim.element)
        if not moved:
            assert len(shown) == 0, "openings"
            return self._canonical(read.made.dtype, read.attrs[len(read.attrs) - 1])
    elif read.op == ops.OP_UNIFORM:
        at = 0
    bits: uint256[3] = [0, 0, 0]
    used: uint256 = 0
    for i: uint256 in range(len(read.inputs), bound=3):
        again: bool = False
        for j: uint256 in range(i, bound=3):
            if read.inputs[j] == read.inputs[i]:
                # an operand that stands twice is opened once
                bits[i] = bits[j]
                again = True
        if not again:
            bits[i] = openings.number(claim, read.inputs[i], read.reads[i], at, shown[used])
            used += 1
    assert used == len(shown), "openings"
    return bits[0] if view else self._computed(claim.element, read, bits)


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
def _computed(element: uint256, node: nodes.Node, bits: uint256[3]) -> uint256:
    """
    @notice What an op makes of one element of each operand.
    """
    if node.op == ops.OP_UNIFORM:
        stream: uint256 = maps.number(node, len(node.attrs) - 1)
        return staticcall Arithmetic(ARITHMETIC).uniform(bits[0], stream, element)
    attr: int256 = node.attrs[0] if len(node.attrs) == 1 else 0
    dtype: uint256 = node.reads[len(node.inputs) - 1].dtype
    return staticcall Arithmetic(ARITHMETIC).element(
        node.op, dtype, bits[0], bits[1], bits[2], attr
    )


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
@pure
def _source(element: uint256, node: nodes.Node) -> uint256:
    """
    @notice full and iota, which read nothing.
    """
    if node.op == ops.OP_FULL:
        return self._canonical(node.made.dtype, node.attrs[len(node.attrs) - 1])
    assert node.op == ops.OP_IOTA, "op"
    index: DynArray[uint256, RANK] = maps.unravel(element, node.made.shape)
    return index[maps.number(node, 0)]


@internal
@pure
def _literal(element: uint256, node: nodes.Node, opened: openings.Opened) -> uint256:
    """
    @notice const: an element of the literal, which stands in the node by the digest of its tensor.
    """
    leaf: uint256 = 0
    place: uint256 = 0
    leaf, place = merkle.leaf_place(node.made.shape, element)
    tensor: bytes32 = empty(bytes32)
    levels: uint256 = 0
    digest: bytes32 = merkle.leaf_digest(opened.data)
    tensor, levels = openings.tensor_of(
        node.made, leaf, len(opened.data), digest, opened.path
    )
    assert tensor == convert(node.attrs[0], bytes32), "const"
    assert len(opened.path) == levels, "path"
    bits: uint256 = openings.element(opened.data, node.made.dtype, place)
    return self._canonical(node.made.dtype, convert(bits, int256))


@internal
@view
def _taken(
    claim: openings.Claim, node: nodes.Node, shown: DynArray[openings.Opened, 3]
) -> uint256:
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
        assert len(shown) == 1, "openings"
        return 0
    assert len(shown) == 2, "openings"
    source: uint256 = row * width + claim.element % width
    return openings.number(claim, node.inputs[0], node.reads[0], source, shown[1])


@internal
@pure
def _operand(
    element: uint256, node: nodes.Node, opened: openings.Opened
) -> (uint256, nodes.Type, uint256):
    """
    @notice The operand of a concat that holds an element, its type, and which of its elements that
            is; by the operand's entry under the node's own root over its operands.
    """
    entry: DynArray[int256, 128] = []
    begun: uint256 = 0
    # [number among the operands, node, start along the axis, type]
    entry, begun = nodes.flat(opened.data)
    kind: nodes.Type = empty(nodes.Type)
    behind: uint256 = 0
    kind, behind = nodes.type_at(entry, 4)
    number: uint256 = convert(entry[1], uint256)
    levels: uint256 = merkle.depth(node.inputs[0])
    assert number < node.inputs[0] and len(opened.path) == levels, "path"
    leaf: bytes32 = merkle.operand_leaf(opened.data)
    assert merkle.climb(leaf, number, opened.path, 0, levels) == node.root, "operands"
    index: DynArray[uint256, RANK] = maps.unravel(element, node.made.shape)
    axis: uint256 = maps.number(node, 0)
    # before the start this underflows, behind the end `ravel` refuses: it is another operand's
    index[axis] -= convert(entry[3], uint256)
    return convert(entry[2], uint256), kind, maps.ravel(index, kind.shape)
