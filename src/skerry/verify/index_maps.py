"""Index maps: which element of its operand an element of a view comes from.

What    `source(judged, element)` for reshape, permute, expand, slice, window and pad.
Why     Moving values is judged like computing them. `contracts/maps.vy` is the same in the EVM.
Units   Elements are counted in row-major order.
Pure    Integers.
"""

from __future__ import annotations

from skerry.verify.judged import Judged

Index = tuple[int, ...]


def unravel(element: int, shape: tuple[int, ...]) -> Index:
    """Return the index of an element."""
    index = []
    for size in reversed(shape):
        element, place = divmod(element, size)
        index.append(place)
    return tuple(reversed(index))


def ravel(index: Index, shape: tuple[int, ...]) -> int:
    """Return the element at an index."""
    element = 0
    for place, size in zip(index, shape, strict=True):
        element = element * size + place
    return element


def source(judged: Judged, element: int) -> int | None:
    """Return the operand's element that `element` comes from; None where a pad fills it."""
    node, (kind,) = judged.node, judged.reads
    if node.op == "reshape":
        return element
    index = unravel(element, node.type.shape)
    match node.op:
        case "permute":
            axes = node.integers("axes")
            origin: Index = tuple(index[axes.index(axis)] for axis in range(len(axes)))
        case "expand":
            origin = tuple(0 if n == 1 else i for i, n in zip(index, kind.shape, strict=True))
        case "slice":
            starts, strides = node.integers("starts"), node.integers("strides")
            origin = tuple(a + i * s for i, a, s in zip(index, starts, strides, strict=True))
        case "window":
            axis = node.integer("axis")
            inside = index[axis] * node.integer("stride") + index[-1] * node.integer("dilation")
            origin = (*index[:axis], inside, *index[axis + 1 : -1])
        case "pad":
            low, interior = node.integers("low"), node.integers("interior")
            parts = [divmod(i - a, gap + 1) for i, a, gap in zip(index, low, interior, strict=True)]
            sizes = zip(parts, kind.shape, strict=True)
            if not all(rest == 0 and 0 <= place < size for (place, rest), size in sizes):
                return None
            origin = tuple(place for place, _ in parts)
        case _:
            raise AssertionError(f"{node.op} is no view")
    return ravel(origin, kind.shape)
