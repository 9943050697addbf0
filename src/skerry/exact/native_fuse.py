"""Which operations run together: groups that share one walk over rows and columns.

What    `fused(ops)` orders the operations into `Step`s: a `Group` of elementwise operations and row
        reductions that one tile step runs, or a single operation.
Why     A value that lives and dies inside a group never leaves the first-level cache.
Rule    An operation joins the latest group that it must follow if every operand is either in a
        register there, element for element or one a row, or was ready before the group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from skerry.exact.kernels import OUTER_MAX
from skerry.exact.native_ops import COPY, Op, Unsupported
from skerry.exact.native_views import Val, View, boundaries, factor, whole

#: Instructions of one group; more would push registers out of the first-level cache.
GROUP_OPS_MAX: Final = 96


@dataclass(slots=True, eq=False)
class Group:
    """Operations over one index space of `elements` = rows x cols.

    Attributes:
        elements: the size of the space.
        cols: the length of a row, once a row reduction has fixed it.
        blocks: sizes of inner blocks at which some operand changes its stride.
        rows: ids of the values that have one element a row.
        full: ids of the values that have one element an index.
    """

    elements: int
    cols: int | None = None
    ops: list[Op] = field(default_factory=list)
    blocks: set[int] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)
    full: set[int] = field(default_factory=set)

    def accepts(self, op: Op, index: int) -> bool:
        """Add `op` if it fits this group, which is step `index`; say whether it did."""
        if len(self.ops) >= GROUP_OPS_MAX:
            return False
        cols = op.numbers[0] if op.form == "row" else self.cols
        if op.form == "row" and (
            op.reads[0].elements != self.elements or self.cols not in (None, cols)
        ):
            return False
        by_row = op.form == "row" or self._is_row_op(op)
        if not by_row and op.out.elements != self.elements:
            return False
        blocks = set(self.blocks) | ({cols} if cols else set())
        for place, view in enumerate(op.reads):
            per_row = by_row and not (op.form == "row" and place == 0)
            if op.form == "row" and place == 0 and id(view.val) in self.rows:
                return False
            found = self._reads(view, index, cols, per_row=per_row)
            if found is None:
                return False
            blocks |= found
        if not op.out.whole:
            if id(op.out.val) in self.full or id(op.out.val) in self.rows:
                return False
            scale = (cols or 1) if by_row else 1
            blocks |= {b * scale for b in boundaries(op.out)}
        if not self._factors(blocks, cols):
            return False
        self.cols, self.blocks = cols, blocks
        if op.out.whole:
            (self.rows if by_row else self.full).add(id(op.out.val))
        self.ops.append(op)
        return True

    def _is_row_op(self, op: Op) -> bool:
        if self.cols is None or op.form != "each" or op.out.elements * self.cols != self.elements:
            return False
        return any(id(view.val) in self.rows for view in op.reads)

    def _reads(self, view: View, index: int, cols: int | None, *, per_row: bool) -> set[int] | None:
        """Return the boundaries an operand adds, or None if it cannot be read here."""
        val = view.val
        if val.literal is not None:
            return set()
        if val.ready > index:
            return None
        if id(val) in self.full:
            return None if per_row or not view.whole else set()
        if id(val) in self.rows:
            if per_row:
                return set() if view.whole else None
            return set() if cols and view.repeats(cols) else None
        if val.ready >= index:
            return None
        return {b * (cols or 1) for b in boundaries(view)} if per_row else boundaries(view)

    def _factors(self, blocks: set[int], cols: int | None) -> bool:
        if cols is not None and any(1 < block < cols for block in blocks):
            return False
        dims = factor(blocks, self.elements)
        return dims is not None and len(dims) <= OUTER_MAX + 1

    def dims(self) -> tuple[tuple[int, ...], int]:
        """Return (outer dims, cols) of the walk."""
        dims = factor(self.blocks, self.elements)
        assert dims is not None, "accepts keeps the blocks nested"
        return dims[:-1], dims[-1]


Step: TypeAlias = Group | Op


def fused(ops: Iterable[Op]) -> list[Step]:
    """Return the steps in order."""
    steps: list[Step] = []
    for op in ops:
        if op.form not in ("each", "row"):
            steps.append(op)
            _written(op, len(steps) - 1)
            continue
        after = _after(op)
        step = steps[after] if after >= 0 else None
        if isinstance(step, Group) and step.accepts(op, after):
            _written(op, after)
        else:
            _open(steps, op)
    _sink(steps)
    return steps


def _after(op: Op) -> int:
    """Return the latest step whose results `op` needs."""
    after = max((view.val.ready for view in op.reads), default=-1)
    return after if op.out.whole else max(after, op.out.val.filled)


def _open(steps: list[Step], op: Op) -> None:
    """Start a group for `op`; operands whose strides no common walk fits are copied first."""
    size = op.reads[0].elements if op.form == "row" else op.out.elements
    group = Group(size)
    if not group.accepts(op, len(steps)):
        op = Op(op.form, op.name, tuple(_dense(steps, view) for view in op.reads), op.writes,
                op.imm, op.numbers)  # fmt: skip
        if not group.accepts(op, len(steps)):
            raise Unsupported(op.name)
    steps.append(group)
    _written(op, len(steps) - 1)


def _dense(steps: list[Step], view: View) -> View:
    if view.dense or view.val.literal is not None:
        return view
    copy = whole(Val(view.shape, view.val.kind, scale=view.val.scale))
    group, op = Group(view.elements), Op("each", COPY[view.val.kind], (view,), (copy,))
    if not group.accepts(op, len(steps)):
        raise Unsupported(op.name)
    steps.append(group)
    _written(op, len(steps) - 1)
    return copy


def _written(op: Op, index: int) -> None:
    for view in op.writes:
        val = view.val
        val.ready = max(val.ready, index)
        if view.whole:
            val.filled = max(val.filled, index)


def _sink(steps: list[Step]) -> None:
    """Merge a group into the one group that reads its results, so that they need no memory."""
    readers: dict[int, set[int]] = {}
    for index, step in enumerate(steps):
        for op in operations(step):
            for view in op.reads:
                readers.setdefault(id(view.val), set()).add(index)
    moved: dict[int, int] = {}
    for index in range(len(steps) - 1, -1, -1):
        group = steps[index]
        if not isinstance(group, Group):
            continue
        if not all(op.out.whole and op.out.val.ready == index for op in group.ops):
            continue  # parts of a value, or its background: the order of the writers counts
        targets = {
            moved.get(reader, reader)
            for op in group.ops
            for reader in readers.get(id(op.out.val), ())
        } - {index}
        if len(targets) != 1:
            continue
        target = targets.pop()
        merged = _merged(group, steps[target], target)
        if merged is not None:
            steps[target], moved[index] = merged, target
            steps[index] = Group(0)
    steps[:] = [step for step in steps if not isinstance(step, Group) or step.ops]


def _merged(early: Group, late: Step, index: int) -> Group | None:
    if not isinstance(late, Group) or early.elements != late.elements:
        return None
    if early.cols is not None and late.cols is not None and early.cols != late.cols:
        return None
    merged = Group(late.elements, early.cols or late.cols)
    if all(merged.accepts(op, index) for op in (*early.ops, *late.ops)):
        return merged
    return None


def operations(step: Step) -> list[Op]:
    """Return the operations of a step."""
    return step.ops if isinstance(step, Group) else [step]


def mark_lives(steps: list[Step]) -> None:
    """Set when each value is first written, last written and last read."""
    vals = {
        id(v.val): v.val for s in steps for op in operations(s) for v in (*op.reads, *op.writes)
    }
    for val in vals.values():
        val.first = val.ready = val.last = -1
    for index, step in enumerate(steps):
        for op in operations(step):
            for view in op.writes:
                val = view.val
                val.first = index if val.first < 0 else val.first
                val.ready = index
            for view in op.reads:
                view.val.last = index


__all__ = ["Group", "Step", "fused", "mark_lives", "operations"]
