"""From the nodes of a Program to operations on stored values.

What    `Lowering(program).ops` is a list of `Op`s in topological order. View ops have become
        strides; an exponent that only scales is held as 2^e; a columnwise quantise and a sum over
        leading axes have become one operation each.
Why     What a step reads and writes decides its speed; this is where that is settled.
Rule    The value of every node stays the bits of the specification.
Pure    No computing, apart from the constants that `fold` has computed.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from skerry.exact import kernels as k
from skerry.exact.fold import fold
from skerry.exact.native_ops import SUFFIX, Op, Unsupported
from skerry.exact.native_patterns import Patterns
from skerry.exact.native_views import Val, View, dense_strides, reshaped, viewed, whole
from skerry.exact.native_windows import Windows
from skerry.exact.torch_plan import exact_steps
from skerry.program.bounds import integer_bounds
from skerry.program.graph import Node, Program

#: Longest row that a tile holds whole; longer ones are reduced in a step of their own.
ROW_MAX: Final = 16384
#: Sums of stored integers are read from the bits of a double up to this bound.
SUM_TERM_MAX: Final = 1 << 50

_VIEWS: Final = frozenset(("reshape", "permute", "expand", "slice", "window"))
_KINDS: Final = {"f32": k.F4, "i64": k.I8, "bool": k.B1}
_PLAIN: Final = frozenset(
    ("add", "sub", "mul", "div", "neg", "abs", "sqrt", "max", "min", "floordiv", "rem", "lt", "le",
     "eq", "and", "or", "not", "exp", "log", "tanh", "erf", "sin", "cos")
)  # fmt: skip
_CARRIED: Final = frozenset(("add", "sub", "mul", "neg"))


class Lowering:
    """One Program on its way down."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ops: list[Op] = []
        self.ports: dict[int, Val] = {}
        self.constants: list[tuple[Val, Tensor]] = []
        self._views: dict[int, View] = {}
        self._converted: dict[tuple[int, str], Val] = {}
        self._windows = Windows(self.ops)
        steps, self._carried = exact_steps(program, torch.device("cpu"), "float64")
        self._folded = fold(program, steps)
        self._bounds = integer_bounds(program)
        self._pattern = Patterns(program, self._folded)
        self._needed, self._uses = self._pattern.needed, self._pattern.uses
        self._column_sums, self._narrow = self._pattern.sums, self._pattern.narrow
        for at in range(len(program.nodes)):
            if at in self._needed and at not in self._views and at not in self._windows.images:
                self._lower(at)
        self.outputs = [self._delivered(output.node) for output in program.outputs]

    # -- operands

    def _constant(self, tensor: Tensor) -> View:
        flat = tensor.as_strided(
            (tensor.untyped_storage().nbytes() // tensor.element_size(),), (1,), 0
        )
        val = Val((flat.numel(),), k.kind_of(tensor), source="constant")
        strides = tuple(
            s if n > 1 else 0 for n, s in zip(tensor.shape, tensor.stride(), strict=True)
        )
        if not any(strides):
            one = torch.empty(1, dtype=tensor.dtype).copy_(tensor.flatten()[:1])
            val.literal = int.from_bytes(bytes(one.view(torch.uint8).tolist()), "little")
            if val.literal >= 1 << 63:
                val.literal -= 1 << 64
        self.constants.append((val, tensor))
        return View(val, int(tensor.storage_offset()), tuple(tensor.shape), strides)

    def view(self, at: int) -> View:
        """Return the view of node `at`, a constant included."""
        if at not in self._views:
            self._views[at] = self._late(at)
        return self._views[at]

    def _late(self, at: int) -> View:
        """Return the view of a constant, or of a value that was kept in another order."""
        node = self.program.nodes[at]
        if at in self._folded:
            return self._constant(self._folded[at])
        return self._reshaped_copy(self._windows.in_order(at), node)

    def operand(self, at: int, want: str = "plain") -> View:
        """Return the view of node `at` as "plain", "carried" or "scale" storage."""
        return self._as(self.view(at), want)

    def _as(self, view: View, want: str) -> View:
        val = view.val
        have = "scale" if val.scale else "carried" if val.kind == k.F8 else "plain"
        if want == have or (want == "plain" and val.kind in (k.F4, k.B1)):
            return view
        if have != "plain" and want != "plain":
            return self._as(self._as(view, "plain"), want)
        key = (id(val), want)
        if key not in self._converted:
            name = {
                ("scale", "plain"): "i8_of_scale",
                ("carried", "plain"): "cast_f8_i8",
                ("plain", "carried"): "cast_i8_f8",
                ("plain", "scale"): "scale_of_i8",
            }[have, want]
            kind = k.I8 if want == "plain" else k.F8
            new = Val(val.shape, kind, scale=want == "scale")
            self.ops.append(Op("each", name, (whole(val),), (whole(new),)))
            self._converted[key] = new
        return View(self._converted[key], view.offset, view.shape, view.strides)

    def dense(self, view: View) -> View:
        """Return the view, copied if its elements do not lie end to end."""
        return view if view.dense and view.val.literal is None else self.copied(view)

    def copied(self, view: View) -> View:
        """Return a dense copy of the view."""
        new = Val(view.shape, view.val.kind, scale=view.val.scale)
        self.ops.append(Op("each", f"copy_{SUFFIX[new.kind]}", (view,), (whole(new),)))
        return whole(new)

    def _delivered(self, at: int) -> View:
        view = self.operand(at)
        fresh = view.whole and view.val.source == "step"
        view = view if fresh else self.copied(view)
        view.val.source = "output"
        return view

    # -- nodes

    def _new(self, at: int, *, scale: bool = False) -> Val:
        node = self.program.nodes[at]
        kind = k.F8 if scale or self._carried[at] else _KINDS[node.type.dtype]
        if at in self._narrow and node.op == "quantise":
            kind = k.H2
        val = Val(node.type.shape, kind, scale=scale)
        self._views[at] = whole(val)
        return val

    def _emit(
        self, at: int, form: str, name: str, reads: tuple[View, ...], imm: int = 0,
        numbers: tuple[int, ...] = (), *, scale: bool = False,
    ) -> None:  # fmt: skip
        val = self._new(at, scale=scale)
        self.ops.append(Op(form, name, reads, (whole(val),), imm, numbers))

    def _lower(self, at: int) -> None:
        node = self.program.nodes[at]
        if at in self._folded:
            return
        if node.op == "input":
            val = self._new(at)
            val.source = "port"
            self.ports[node.integer("port")] = val
        elif node.op in _VIEWS:
            self._view_op(at, node)
        elif node.op in _PLAIN:
            self._each(at, node)
        else:
            getattr(self, f"_{node.op}", self._unknown)(at, node)

    def _view_op(self, at: int, node: Node) -> None:
        apart = self._windows.apart(node)
        if apart is not None:
            self._views[at] = apart
            return
        x = self.view(node.inputs[0])
        found = viewed(node, x)
        product_only = all(
            use >= 0 and self.program.nodes[use].op == "dot" for use in self._uses[at]
        )
        if found is None and product_only and self._windows.keeps(at, node, x):
            return
        self._views[at] = found or self._reshaped_copy(x, node)

    def _unknown(self, at: int, node: Node) -> None:
        raise Unsupported(node.op)

    def _reshaped_copy(self, x: View, node: Node) -> View:
        found = reshaped(self.copied(x), node.type.shape)
        assert found is not None, "a dense value takes any shape"
        return found

    def _each(self, at: int, node: Node) -> None:
        carried = self._carried[at] and node.op in _CARRIED
        reads = tuple(self.operand(i, "carried" if carried else "plain") for i in node.inputs)
        name = f"{node.op}_{SUFFIX[reads[0].val.kind]}"
        self._emit(at, "each", name, reads)

    def _select(self, at: int, node: Node) -> None:
        reads = tuple(self.operand(i) for i in node.inputs)
        self._emit(at, "each", f"select_{SUFFIX[reads[1].val.kind]}", reads)

    def _cast(self, at: int, node: Node) -> None:
        x = self.operand(node.inputs[0])
        to = _KINDS[node.type.dtype]
        name = f"cast_{SUFFIX[x.val.kind]}_{SUFFIX[to]}"
        self._emit(at, "each", f"copy_{SUFFIX[to]}" if x.val.kind == to else name, (x,))

    def _uniform(self, at: int, node: Node) -> None:
        seed = self.operand(node.inputs[0])
        repeated = View(seed.val, seed.offset, node.type.shape, (0,) * len(node.type.shape))
        self._emit(at, "each", "uniform", (repeated,), node.integer("stream"))

    def _quantise(self, at: int, node: Node) -> None:
        own = self._pattern.own_exponent(at) is not None
        reads = (self.operand(node.inputs[0]), self.operand(node.inputs[1], "scale"))
        name = "quantise_tight" if own else "quantise"
        name = "quantise_tight_h2" if at in self._narrow else name
        self._emit(at, "each", name, reads, node.integer("bits"))

    def _rescale(self, at: int, node: Node) -> None:
        grids = tuple(self.operand(i, "scale") for i in node.inputs[1:])
        if self._windows.rescaled(at, node, grids):
            return
        reads = (self.operand(node.inputs[0], "carried"), *grids)
        self._emit(at, "each", f"rescale{len(reads) - 1}", reads, node.integer("shift"))

    # -- reductions

    def _rows(self, x: View, axes: tuple[int, ...]) -> View:
        """Return x with the reduced axes last."""
        order = [i for i in range(len(x.shape)) if i not in axes] + list(axes)
        return View(
            x.val, x.offset, tuple(x.shape[i] for i in order), tuple(x.strides[i] for i in order)
        )

    def _fits_rows(self, rows: View, cols: int) -> bool:
        """Say whether a tile can hold the reduced rows whole and read them in a line."""
        if cols > ROW_MAX or cols < 2:
            return False
        inner = View(rows.val, 0, rows.shape, rows.strides)
        flat = reshaped(inner, (rows.elements // cols, cols))
        if flat is None:
            dims = inner.collapsed()
            return bool(dims) and dims[-1][0] % cols == 0 and dims[-1][1] == 1
        return flat.strides[1] == 1

    def _exponent(self, at: int, node: Node) -> None:
        x = self.operand(node.inputs[0])
        axes = node.integers("axes")
        rows = self._rows(x, axes)
        cols = x.elements // node.type.elements
        if self._quantised_columns(at, node, x):
            return
        if self._fits_rows(rows, cols):
            self._emit(at, "row", "row_exponent", (rows,), numbers=(cols,), scale=True)
        elif at in self._column_sums:
            terms, total, result = self._column_sums[at]
            e, value = self._new(at, scale=True), self._new(result)
            self._views[terms] = self._views[total] = whole(value)
            bits = self.program.nodes[terms].integer("bits")
            shift = self.program.nodes[result].integer("shift")
            numbers = (k.MODE_SUM_F32, len(axes), bits, shift)
            writes = (whole(value), whole(e))
            self.ops.append(Op("reduce", "", (rows,), writes, numbers=numbers))
        else:
            numbers = (k.MODE_EXPONENT, len(axes), 1, 0)
            self._emit(at, "reduce", "", (rows,), numbers=numbers, scale=True)

    def _quantised_columns(self, at: int, node: Node, x: View) -> bool:
        """Lower an exponent over a strided last axis together with the quantises it serves."""
        rank = len(x.shape)
        if node.integers("axes") != (rank - 1,) or rank < 2 or x.val.literal is not None:
            return False
        n, terms = x.shape[-2:]
        batch = View(x.val, 0, x.shape[:-2], x.strides[:-2]).collapsed()
        if x.strides[-1] == 1 or x.strides[-2] != 1 or min(n, terms) < 2 or len(batch) > 3:
            return False
        served = self._pattern.served.get(at, [])
        if not served:
            return False
        e = self._new(at, scale=True)
        for place, q in enumerate(served):
            stored = Val((*x.shape[:-2], terms, n), k.H2 if q in self._narrow else k.F8)
            strides = dense_strides(stored.shape)
            turned = (*strides[:-2], strides[-1], strides[-2])
            self._views[q] = View(stored, 0, x.shape, turned)
            scale = whole(e if place == 0 else Val(e.shape, k.F8, scale=True))
            bits = self.program.nodes[q].integer("bits")
            self.ops.append(Op("quant_cols", "", (x,), (whole(stored), scale), bits))
        return True

    def _sum(self, at: int, node: Node) -> None:
        axes = node.integers("axes")
        terms = node.inputs[0]
        cols = self.program.nodes[terms].type.elements // node.type.elements
        e = (
            self._pattern.own_exponent(terms)
            if self.program.nodes[terms].op == "quantise"
            else None
        )
        want = "carried" if self._carried[at] else "plain"
        if e is not None and len(self._uses[terms]) == 1 and self._carried[at]:
            rows = self._rows(self.operand(self.program.nodes[terms].inputs[0]), axes)
            grid = self.view(e)
            if self._fits_rows(rows, cols) and grid.elements == node.type.elements:
                bits = self.program.nodes[terms].integer("bits")
                self._drop(terms)
                self._emit(at, "row", "row_sum_f4", (rows, grid), bits, (cols,))
                return
        rows = self._rows(self.operand(terms, want), axes)
        bound = self._bounds[terms]
        small = want == "plain" or (bound is not None and bound <= SUM_TERM_MAX)
        if self._fits_rows(rows, cols) and small:
            self._emit(at, "row", f"row_sum_{SUFFIX[rows.val.kind]}", (rows,), numbers=(cols,))
        else:
            numbers = (k.MODE_SUM, len(axes), 1, 0)
            self._emit(at, "reduce", "", (rows,), numbers=numbers)

    def _drop(self, at: int) -> None:
        """Take back the op of a node that its only user has absorbed."""
        val = self.view(at).val
        self.ops[:] = [op for op in self.ops if op.out.val is not val]

    def _amax(self, at: int, node: Node) -> None:
        x, axes = self.operand(node.inputs[0]), node.integers("axes")
        rows, cols = self._rows(x, axes), x.elements // node.type.elements
        if self._fits_rows(rows, cols):
            self._emit(at, "row", "row_amax", (rows,), numbers=(cols,))
        else:
            self._emit(at, "reduce", "", (rows,), numbers=(k.MODE_AMAX, len(axes), 1, 0))

    def _argmax(self, at: int, node: Node) -> None:
        x, axis = self.operand(node.inputs[0]), node.integer("axis")
        rows, cols = self._rows(x, (axis,)), x.shape[axis]
        if self._fits_rows(rows, cols):
            self._emit(at, "row", "row_argmax", (rows,), numbers=(cols,))
        else:
            self._emit(at, "argmax", "", (self.dense(rows),), numbers=(node.type.elements, cols))

    # -- moves and products

    def _dot(self, at: int, node: Node) -> None:
        if self._windowed_product(at, node):
            return
        rank = len(node.type.shape)
        reads = []
        for i in node.inputs:
            view = self.view(i) if at in self._narrow else self.operand(i, "carried")
            batch = view.elements // (view.shape[-2] * view.shape[-1])
            shape = view.shape if rank == 2 else (batch, *view.shape[-2:])
            if view.val.literal is not None or reshaped(view, shape) is None:
                view = self.copied(view)
            flat = reshaped(view, shape)
            assert flat is not None, "a dense value takes any shape"
            reads.append(flat)
        self._emit(at, "gemm16" if at in self._narrow else "dot", "", tuple(reads))

    def _windowed_product(self, at: int, node: Node) -> bool:
        """Multiply windows image by image, where an operand is a matrix of them."""
        a, b = node.inputs
        if b in self._windows.unfolded:
            rows = None if a in self._windows.unfolded else self.operand(a, "carried")
            out = Val(node.type.shape, k.F8)
            if self._windows.correlated(node, rows, out):
                self._views[at] = whole(out)
                return True
            return False
        if a not in self._windows.unfolded:
            return False
        return self._windows.convolved(at, node, self.operand(b, "carried"))

    def _concat(self, at: int, node: Node) -> None:
        axis = node.integer("axis")
        want = "carried" if self._carried[at] else "plain"
        val = self._new(at)
        strides, begin = dense_strides(val.shape), 0
        for i in node.inputs:
            x = self.operand(i, want)
            out = View(val, begin * strides[axis], x.shape, strides)
            self.ops.append(Op("each", f"copy_{SUFFIX[val.kind]}", (x,), (out,)))
            begin += x.shape[axis]

    def _pad(self, at: int, node: Node) -> None:
        want = "carried" if self._carried[at] else "plain"
        x = self.operand(node.inputs[0], want)
        val = self._new(at)
        low, gaps = node.integers("low"), node.integers("interior")
        strides, offset = list(dense_strides(val.shape)), 0
        begin, shape = x.offset, []
        for axis, (a, gap) in enumerate(zip(low, gaps, strict=True)):
            first = max(0, -(a // (gap + 1)))
            last = min(x.shape[axis], (val.shape[axis] - 1 - a) // (gap + 1) + 1)
            shape.append(last - first)
            begin += first * x.strides[axis]
            offset += (a + first * (gap + 1)) * strides[axis]
            strides[axis] *= gap + 1
        out = View(val, offset, tuple(shape), tuple(strides))
        copy = f"copy_{SUFFIX[val.kind]}"
        if not out.whole:
            literal = self._literal(val.kind, node)
            fill = Val((1,), val.kind, source="constant", literal=literal)
            background = View(fill, 0, val.shape, (0,) * len(val.shape))
            self.ops.append(Op("each", copy, (background,), (whole(val),)))
        if min(shape, default=1) > 0:
            inside = View(x.val, begin, tuple(shape), x.strides)
            self.ops.append(Op("each", copy, (inside,), (out,)))

    def _literal(self, kind: int, node: Node) -> int:
        value = node.integer("value")
        if kind == k.F8:
            bits = torch.tensor([float(value)], dtype=torch.float64).view(torch.int64)
            return int(bits.item())
        return value

    def _take(self, at: int, node: Node) -> None:
        want = "carried" if self._carried[at] else "plain"
        x, index = self.operand(node.inputs[0], want), self.dense(self.operand(node.inputs[1]))
        row = View(x.val, 0, x.shape[1:], x.strides[1:])
        if not row.dense or x.val.literal is not None:
            x = self.copied(x)
        self._emit(at, "take", "", (x, index))

    def _scatter_add(self, at: int, node: Node) -> None:
        want = "carried" if self._carried[at] else "plain"
        index = self.dense(self.operand(node.inputs[0]))
        v = self.dense(self.operand(node.inputs[1], want))
        self._emit(at, "scatter", "", (index, v))

    def _topk(self, at: int, node: Node) -> None:
        self._emit(at, "topk", "", (self.dense(self.operand(node.inputs[0])),))

    def _cumsum(self, at: int, node: Node) -> None:
        x = self.dense(self.operand(node.inputs[0]))
        axis = node.integer("axis")
        inner = dense_strides(x.shape)[axis]
        outer = x.elements // (inner * x.shape[axis])
        self._emit(at, "cumsum", "", (x,), numbers=(outer, x.shape[axis], inner))
