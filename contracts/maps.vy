# pragma version 0.4.3
"""
@title  Index maps: which element of its operand an element of a view comes from
@notice Indices are row-major. `source` covers reshape, permute, expand, slice, window and pad.
"""

from . import nodes
from . import ops

RANK: constant(uint256) = 8


@internal
@pure
def unravel(element: uint256, shape: DynArray[uint256, RANK]) -> DynArray[uint256, RANK]:
    """
    @notice The index of an element, one entry an axis.
    """
    index: DynArray[uint256, RANK] = shape
    rest: uint256 = element
    for i: uint256 in range(len(shape), bound=RANK):
        axis: uint256 = len(shape) - 1 - i
        index[axis] = rest % shape[axis]
        rest //= shape[axis]
    assert rest == 0, "element"
    return index


@internal
@pure
def ravel(index: DynArray[uint256, RANK], shape: DynArray[uint256, RANK]) -> uint256:
    """
    @notice The element at an index that is inside the shape.
    """
    element: uint256 = 0
    for axis: uint256 in range(len(shape), bound=RANK):
        assert index[axis] < shape[axis], "index"
        element = element * shape[axis] + index[axis]
    return element


@internal
@pure
def number(node: nodes.Node, at: uint256) -> uint256:
    """
    @notice An attribute's entry that is not negative.
    """
    return convert(node.attrs[at], uint256)


@internal
@pure
def source(node: nodes.Node, element: uint256) -> (bool, uint256):
    """
    @notice Whether the element comes from the operand, and from which of its elements. One that
            does not is the value of a pad.
    """
    if node.op == ops.OP_RESHAPE:
        return True, element
    index: DynArray[uint256, RANK] = self.unravel(element, node.made.shape)
    shape: DynArray[uint256, RANK] = node.reads[0].shape
    origin: DynArray[uint256, RANK] = shape
    rank: uint256 = len(shape)
    for axis: uint256 in range(rank, bound=RANK):
        if node.op == ops.OP_PERMUTE:
            origin[self.number(node, axis)] = index[axis]
        elif node.op == ops.OP_EXPAND:
            origin[axis] = 0 if shape[axis] == 1 else index[axis]
        elif node.op == ops.OP_SLICE:
            # limits, starts, strides
            start: uint256 = self.number(node, rank + axis)
            origin[axis] = start + index[axis] * self.number(node, 2 * rank + axis)
        elif node.op == ops.OP_WINDOW:
            # axis, dilation, size, stride; inside a window on a last axis of its own
            origin[axis] = index[axis]
            if axis == self.number(node, 0):
                inside: uint256 = index[rank] * self.number(node, 1)
                origin[axis] = index[axis] * self.number(node, 3) + inside
        elif node.op == ops.OP_PAD:
            # high, interior, low
            moved: int256 = convert(index[axis], int256) - node.attrs[2 * rank + axis]
            apart: int256 = node.attrs[rank + axis] + 1
            if moved < 0 or moved % apart != 0:
                return False, 0
            origin[axis] = convert(moved // apart, uint256)
            if origin[axis] >= shape[axis]:
                return False, 0
        else:
            raise "op"
    return True, self.ravel(origin, shape)
