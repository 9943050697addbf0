"""From steps to words: registers, scratch and places in memory.

What    `Emitter.words(step)` lays out one step for the C extension.
Why     Everything that does not depend on the inputs is decided here, once.
Pure    Integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from skerry.exact import kernels as k
from skerry.exact.native_fuse import Group, Step
from skerry.exact.native_ops import Op, Unsupported
from skerry.exact.native_views import Val, View, dense_strides, walked


def place(view: View) -> k.Place:
    """Return where a view begins."""
    return k.Place(view.val.slot, view.val.offset + view.offset * k.SIZE[view.val.kind])


class _TileWriter:
    """Writes one group as a tile step."""

    def __init__(self, group: Group, index: int) -> None:
        self.group = group
        self.index = index
        self.outer, cols = group.dims()
        self.tile = k.Tile(self.outer, cols, whole_rows=group.cols is not None)
        self.rows, self.width = self.tile.tiling()
        self.scratch_bytes = 0
        self._known: dict[tuple[int, ...], int] = {}
        self._free: dict[int, list[int]] = {}
        self._held: dict[int, tuple[int, int]] = {}
        self._last: dict[int, int] = {}
        for at, op in enumerate(group.ops):
            for view in op.reads:
                self._last[id(view.val)] = at

    def write(self) -> list[int]:
        """Return the words of the step."""
        for at, op in enumerate(self.group.ops):
            by_row = self.by_row(op)
            reads = tuple(
                self.read(view, per_row=by_row and not (op.form == "row" and place == 0))
                for place, view in enumerate(op.reads)
            )
            dst = self.out(op, at, by_row=by_row)
            self.tile.instructions.append(k.Instruction(op.name, dst, reads, op.imm))
            for view in op.reads:
                if self._last[id(view.val)] == at:
                    self._release(view.val)
        return self.tile.words()

    def by_row(self, op: Op) -> bool:
        """Say whether an operation gives one value a row."""
        if op.form == "row":
            return True
        return self.group.cols is not None and op.out.elements != self.group.elements

    def _add(self, register: k.Register) -> int:
        self.tile.registers.append(register)
        return len(self.tile.registers) - 1

    def _need(self, kind: int, *, per_row: bool) -> int:
        count = self.rows if per_row else self.rows * self.width
        return -(-count * k.SIZE[kind] // 64) * 64

    def _fresh(self, need: int) -> int:
        begin = self.scratch_bytes
        self.scratch_bytes += need
        return begin

    def _release(self, val: Val) -> None:
        if id(val) in self._held:
            begin, need = self._held.pop(id(val))
            self._free.setdefault(need, []).append(begin)

    def read(self, view: View, *, per_row: bool) -> int:
        """Return the register of an operand."""
        val = view.val
        if val.literal is not None:
            return self._once(
                (0, val.kind, val.literal),
                lambda: k.Register(k.CONST, val.kind, 0, val.literal or 0),
            )
        if id(val) in self.group.full or id(val) in self.group.rows:
            return self._known[(1, id(val))]
        key = (2, id(val), view.offset, int(per_row), *self._strides(view, per_row=per_row))
        return self._once(key, lambda: self._memory(view, per_row=per_row))

    def _once(self, key: tuple[int, ...], make: Callable[[], k.Register]) -> int:
        if key not in self._known:
            self._known[key] = self._add(make())
        return self._known[key]

    def _strides(self, view: View, *, per_row: bool) -> tuple[int, ...]:
        return walked(view, self.outer if per_row else (*self.outer, self.tile.cols))

    def _memory(self, view: View, *, per_row: bool, out: bool = False) -> k.Register:
        """Return the register of a view in memory."""
        at, kind = place(view), view.val.kind
        strides = self._strides(view, per_row=per_row)
        outer, step = (strides, 0) if per_row else (strides[:-1], strides[-1])
        rows_in_order = all(
            size == 1 or stride == dense
            for size, stride, dense in zip(
                self.outer, outer, dense_strides(self.outer), strict=True
            )
        )
        still = all(n == 1 or s == 0 for n, s in zip(self.outer, outer, strict=True))
        if not out and still and step == 0:
            return k.Register(k.SCALAR, kind, at.slot, at.offset)
        if not per_row and view.dense:
            return k.Register(k.DENSE, kind, at.slot, at.offset)
        if per_row or (step == 0 and not out):
            if rows_in_order:
                return k.Register(k.ROW_DENSE, kind, at.slot, at.offset)
            cls = k.ROW_STRIDED_OUT if out else k.ROW_STRIDED_IN
        else:
            cls = k.STRIDED_OUT if out else k.STRIDED_IN
        by_row = cls in (k.ROW_STRIDED_IN, k.ROW_STRIDED_OUT)
        # filled before the first instruction or emptied after the last: shared with nobody
        scratch = self._fresh(self._need(kind, per_row=by_row))
        return k.Register(cls, kind, at.slot, at.offset, step, outer, scratch)

    def out(self, op: Op, at: int, *, by_row: bool) -> int:
        """Return the register of a result."""
        val = op.out.val
        if not op.out.whole:
            return self._add(self._memory(op.out, per_row=by_row, out=True))
        stored = val.source == "output" or val.last > self.index or val.first != val.ready
        if stored:
            register = k.Register(
                k.ROW_DENSE if by_row else k.DENSE, val.kind, val.slot, val.offset
            )
        else:
            need = self._need(val.kind, per_row=by_row)
            begin = self._free[need].pop() if self._free.get(need) else self._fresh(need)
            self._held[id(val)] = (begin, need)
            register = k.Register(k.TEMP_ROW if by_row else k.TEMP_FULL, val.kind, scratch=begin)
        self._known[(1, id(val))] = self._add(register)
        return self._known[(1, id(val))]


class Emitter:
    """Lays out steps; remembers the largest scratch."""

    def __init__(self) -> None:
        self.scratch_bytes = k.REDUCE_SCRATCH

    def words(self, step: Step, index: int) -> list[int]:
        """Return the words of a step other than a product."""
        if isinstance(step, Group):
            writer = _TileWriter(step, index)
            words = writer.write()
            self._reserve(writer.scratch_bytes)
            return words
        return _WRITERS[step.form](self, step)

    def _reserve(self, size: int) -> None:
        self.scratch_bytes = max(self.scratch_bytes, size)

    def _reduce(self, op: Op) -> list[int]:
        mode, n_axes, bits, shift = op.numbers
        x = op.reads[0]
        split = len(x.shape) - n_axes
        kept = View(x.val, 0, x.shape[:split], x.strides[:split]).collapsed()
        reduced = View(x.val, 0, x.shape[split:], x.strides[split:]).collapsed()
        reduced.sort(key=lambda dim: -dim[1])
        if max(len(kept), len(reduced)) > k.REDUCE_MAX:
            raise Unsupported("reduction over too many strides")
        scale = place(op.writes[1]) if len(op.writes) > 1 else k.NOWHERE
        return k.reduce_step(
            mode, place(x), x.val.kind, kept, reduced, place(op.out), scale=scale, bits=bits,
            shift=shift,
        )  # fmt: skip

    def _quant_cols(self, op: Op) -> list[int]:
        x = op.reads[0]
        batch = View(x.val, 0, x.shape[:-2], x.strides[:-2]).collapsed()
        return k.quant_cols_step(
            place(x), batch, (x.shape[-1], x.strides[-1]), x.shape[-2], place(op.out),
            place(op.writes[1]), op.imm, op.out.val.kind,
        )  # fmt: skip

    def _take(self, op: Op) -> list[int]:
        x, index = op.reads
        size = k.SIZE[x.val.kind]
        row = math.prod(x.shape[1:]) * size
        return k.take_step(
            place(x), place(index), place(op.out), index.elements, x.shape[0], row,
            x.strides[0] * size,
        )  # fmt: skip

    def _scatter(self, op: Op) -> list[int]:
        index, v = op.reads
        size = op.out.shape[0]
        return k.scatter_step(
            place(index), place(v), place(op.out), index.elements, size,
            op.out.elements // size, v.val.kind,
        )  # fmt: skip

    def _product(self, op: Op) -> list[int]:
        a, b = op.reads
        kind = a.val.kind
        m, terms = a.shape[-2:]
        n = b.shape[-2]
        batch = (a.shape[0], a.strides[0], b.strides[0]) if len(a.shape) == 3 else (1, 0, 0)
        self._reserve(k.product_scratch(kind, n))
        return k.product_step(
            kind, place(a), place(b), place(op.out), batch, (m, n, terms),
            (a.strides[-2], a.strides[-1]), (b.strides[-2], b.strides[-1]),
        )  # fmt: skip

    def _topk(self, op: Op) -> list[int]:
        n, count = op.reads[0].shape[-1], op.out.shape[-1]
        self._reserve(8 * n)
        return k.topk_step(place(op.reads[0]), place(op.out), op.out.elements // count, n, count)

    def _cumsum(self, op: Op) -> list[int]:
        return k.cumsum_step(place(op.reads[0]), place(op.out), *op.numbers)

    def _argmax(self, op: Op) -> list[int]:
        outer, n = op.numbers
        return k.argmax_step(place(op.reads[0]), place(op.out), outer, n, 1)


_WRITERS: Final[dict[str, Callable[[Emitter, Op], list[int]]]] = {
    "reduce": Emitter._reduce,
    "quant_cols": Emitter._quant_cols,
    "take": Emitter._take,
    "scatter": Emitter._scatter,
    "gemm16": Emitter._product,
    "dot": Emitter._product,
    "topk": Emitter._topk,
    "cumsum": Emitter._cumsum,
    "argmax": Emitter._argmax,
}
