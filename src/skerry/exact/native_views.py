"""Views without copies: how the elements of one value lie inside the storage of another.

What    `View` is (value, offset, shape, strides). The view ops of a Program change only these
        numbers; `factor` finds the common rows and columns that several views are walked by.
Why     A permuted or repeated operand is then read where it lies; only what no strides can say
        (the reshape of a permuted value) is copied.
Units   Offsets and strides count elements.
Pure    Integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from skerry.program.graph import Node


@dataclass(slots=True, eq=False)
class Val:
    """One stored value of a plan.

    Attributes:
        shape: its shape; storage is dense in row-major order unless `strides` says otherwise.
        kind: how an element is stored, see `kernels`.
        scale: whether an i64 exponent e is held as the float64 2^e.
        slot: the base address by number, once known: 0 is the arena.
        offset: the byte offset from the base.
        source: "step", "port", "constant" or "output": who owns the memory.
        literal: the bits of the one element that all of it repeats, for a constant.
        filled: the step that writes all of it before others write parts, for a padded value.
        first: the first step that writes it.
        ready: the last step that writes it; -1 before the first.
        last: the last step that reads it.
    """

    shape: tuple[int, ...]
    kind: int
    scale: bool = False
    slot: int = 0
    offset: int = 0
    source: str = "step"
    literal: int | None = None
    filled: int = -1
    first: int = -1
    ready: int = -1
    last: int = -1

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of row-major order."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Elements of a value, by strides."""

    val: Val
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def collapsed(self) -> list[tuple[int, int]]:
        """Return (size, stride) with neighbours joined where one stride serves both."""
        dims: list[tuple[int, int]] = []
        for size, stride in zip(self.shape, self.strides, strict=True):
            if size == 1:
                continue
            if dims and dims[-1][1] == stride * size:
                dims[-1] = (dims[-1][0] * size, stride)
            else:
                dims.append((size, stride))
        return dims

    @property
    def dense(self) -> bool:
        """Whether the elements lie end to end in row-major order."""
        dims = self.collapsed()
        return not dims or (len(dims) == 1 and dims[0][1] == 1)

    @property
    def whole(self) -> bool:
        """Whether this is the entire value in its own order."""
        return self.offset == 0 and self.dense and self.elements == self.val.elements

    def repeats(self, cols: int) -> bool:
        """Whether this is an entire value, each element repeated for `cols` neighbours."""
        if self.offset or self.elements != self.val.elements * cols:
            return False
        dims = self.collapsed()
        if self.val.elements == 1:
            return all(stride == 0 for _, stride in dims)
        return dims == [(self.val.elements, 1), (cols, 0)] or (
            cols == 1 and dims == [(self.val.elements, 1)]
        )


def whole(val: Val) -> View:
    """Return a value as a view of itself."""
    return View(val, 0, val.shape, dense_strides(val.shape))


def reshaped(view: View, shape: tuple[int, ...]) -> View | None:
    """Return the view in another shape, or None where no strides can say it."""
    old = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n > 1]
    strides: list[int] = [0] * len(shape)
    at = len(old)
    have, step = 1, 0
    for axis in range(len(shape) - 1, -1, -1):
        size = shape[axis]
        if size == 1:
            continue
        if have == 1:
            at -= 1
            have, step = old[at]
        while have % size and at > 0 and old[at - 1][1] == old[at][1] * old[at][0]:
            have *= old[at - 1][0]
            at -= 1
            old[at] = (old[at][0] * old[at + 1][0], old[at + 1][1])
        if have % size:
            return None
        strides[axis] = step
        step *= size
        have //= size
    return View(view.val, view.offset, shape, tuple(strides)) if have == 1 else None


def viewed(node: Node, x: View) -> View | None:
    """Apply a view op to a view; None where a copy is needed first."""
    shape = node.type.shape
    if node.op == "reshape":
        return reshaped(x, shape)
    if node.op == "permute":
        axes = node.integers("axes")
        return View(x.val, x.offset, shape, tuple(x.strides[axis] for axis in axes))
    if node.op == "expand":
        strides = tuple(
            s if old == new else 0 for s, old, new in zip(x.strides, x.shape, shape, strict=True)
        )
        return View(x.val, x.offset, shape, strides)
    if node.op == "slice":
        starts, steps = node.integers("starts"), node.integers("strides")
        offset = x.offset + sum(a * s for a, s in zip(starts, x.strides, strict=True))
        return View(
            x.val, offset, shape, tuple(s * k for s, k in zip(x.strides, steps, strict=True))
        )
    assert node.op == "window", f"{node.op} is no view"
    axis = node.integer("axis")
    step = x.strides[axis]
    strides = (
        *x.strides[:axis], step * node.integer("stride"), *x.strides[axis + 1 :],
        step * node.integer("dilation"),
    )  # fmt: skip
    return View(x.val, x.offset, shape, strides)


def boundaries(view: View) -> set[int]:
    """Return the sizes of the inner blocks at which a view changes its stride."""
    found, block = set(), 1
    for size, _ in reversed(view.collapsed()):
        block *= size
        found.add(block)
    return found


def factor(blocks: set[int], elements: int) -> tuple[int, ...] | None:
    """Return dims, outermost first, whose inner blocks include all of `blocks`; None if none do."""
    dims: list[int] = []
    inner = 1
    for block in sorted(blocks | {elements}):
        if block == 1:
            continue
        if block % inner:
            return None
        if block > inner:
            dims.append(block // inner)
        inner = block
    return tuple(reversed(dims)) or (1,)


def walked(view: View, dims: Sequence[int]) -> tuple[int, ...]:
    """Return the stride of a view along each of `dims`, a factorisation of its elements."""
    found = reshaped(view, tuple(dims))
    assert found is not None, "dims refine the boundaries of each view"
    return found.strides
