"""Convolutions in a native plan: products with windows, image by image.

What    A product of a matrix of windows (`trace.lower_conv` has the pattern) becomes one small
        product an image, on columns laid out for that image alone.
Why     The whole matrix is nine times the image and would cross memory three times; the columns of
        one image stay in the cache, and the result lies in the order that its readers want.
Legend  N images, O outputs, P places of a window (height x width), T terms of a product.
"""

from __future__ import annotations

import math

from skerry.exact import kernels as k
from skerry.exact.native_ops import Op
from skerry.exact.native_views import Val, View, dense_strides, reshaped, whole
from skerry.program.graph import Node

_DIMS_MAX = 6


class Windows:
    """What is known of windows while a Program is lowered.

    Attributes:
        unfolded: matrix of windows -> (the windows before they became a matrix, how many of their
            axes are rows of it).
        images: value [N * P, O] -> where it is stored as [N, O, P].
    """

    def __init__(self, ops: list[Op]) -> None:
        self.ops = ops
        self.unfolded: dict[int, tuple[View, int]] = {}
        self.images: dict[int, Val] = {}

    def keeps(self, at: int, node: Node, x: View) -> bool:
        """Leave a matrix to the products that read it; say whether it is one of windows."""
        shape = node.type.shape
        if len(shape) != 2 or x.val.kind != k.F8 or x.val.scale:
            return False
        for split in range(1, len(x.shape)):
            if math.prod(x.shape[:split]) == shape[0]:
                self.unfolded[at] = (x, split)
                return True
        return False

    def in_order(self, at: int) -> View:
        """Return a view whose copy is node `at` in its own order."""
        if at in self.unfolded:
            return self.unfolded[at][0]
        val = self.images[at]
        n, outputs, places = val.shape
        return View(val, 0, (n, places, outputs), (outputs * places, 1, places))

    def apart(self, node: Node) -> View | None:
        """Return the view of a reshape to [N, .., O] of a value stored as [N, O, P]."""
        val = self.images.get(node.inputs[0]) if node.op == "reshape" else None
        if val is None:
            return None
        n, outputs, places = val.shape
        shape = node.type.shape
        if len(shape) < 3 or shape[0] != n or shape[-1] != outputs:
            return None
        strides = (outputs * places, *dense_strides(shape[1:-1]), places)
        return View(val, 0, shape, strides)

    def rescaled(self, at: int, node: Node, grids: tuple[View, ...]) -> bool:
        """Rescale a value stored as [N, O, P] where it is; say whether it was one."""
        source = self.images.get(node.inputs[0])
        if source is None or len(grids) != 2:
            return False
        n, outputs, places = source.shape
        turned = []
        for grid in grids:
            found = reshaped(grid, (n, places, outputs))
            if found is None:
                return False
            a, b, c = found.strides
            turned.append(View(found.val, found.offset, source.shape, (a, c, b)))
        self.images[at] = val = Val(source.shape, k.F4)
        reads = (whole(source), *turned)
        self.ops.append(Op("each", "rescale2", reads, (whole(val),), node.integer("shift")))
        return True

    def convolved(self, at: int, node: Node, kernel: View) -> bool:
        """Multiply the windows of each image with a kernel [O, T]."""
        x, split = self.unfolded[node.inputs[0]]
        n, outputs, terms = x.shape[0], kernel.shape[0], kernel.shape[1]
        if split < 2 or len(x.shape) - 1 > _DIMS_MAX or kernel.val.literal is not None:
            return False
        places = math.prod(x.shape[1:split])
        order = (*range(split, len(x.shape)), *range(1, split))
        columns = Val((terms, places), k.F8)
        self.images[at] = val = Val((n, outputs, places), k.F8)
        sizes, strides = (tuple(axis[i] for i in order) for axis in (x.shape, x.strides))
        image = View(x.val, x.offset, sizes, strides)
        writes = (whole(val), whole(columns))
        self.ops.append(Op("convolve", "", (image, kernel), writes, numbers=(n, x.strides[0])))
        return True

    def correlated(self, node: Node, rows: View | None, out: Val) -> bool:
        """Multiply rows [O, N * P] with windows [T, N * P] and add over the images."""
        x, split = self.unfolded[node.inputs[1]]
        n, inside = x.shape[split], x.shape[split + 1 :]
        places = math.prod(inside)
        first = self._first_image(node.inputs[0], n, places) if rows is None else None
        if rows is not None:
            strides = rows.strides
            first = (
                View(rows.val, rows.offset, (rows.shape[0], places), strides),
                strides[1] * places,
            )
        if first is None or len(x.shape) - 1 > _DIMS_MAX or first[0].val.literal is not None:
            return False
        columns = Val((node.type.shape[1], places), k.F8)
        sizes = (*x.shape[:split], *inside)
        image = View(x.val, x.offset, sizes, (*x.strides[:split], *x.strides[split + 1 :]))
        numbers = (n, x.strides[split], first[1])
        writes = (whole(out), whole(columns))
        self.ops.append(Op("correlate", "", (image, first[0]), writes, numbers=numbers))
        return True

    def _first_image(self, at: int, n: int, places: int) -> tuple[View, int] | None:
        """Return the rows [O, P] of the first image and the step to the next."""
        other, split = self.unfolded[at]
        if split != 1 or other.shape[1] != n:
            return None
        dims = View(other.val, 0, other.shape[2:], other.strides[2:]).collapsed() or [(1, 1)]
        if len(dims) != 1 or dims[0][0] != places:
            return None
        shape, strides = (other.shape[0], places), (other.strides[0], dims[0][1])
        return View(other.val, other.offset, shape, strides), other.strides[1]
