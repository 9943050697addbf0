"""The native backend: a Program compiled to a plan of C steps and float64 products.

What    `compile_native(program)` gives a `NativeExecutable`. Constants are folded, views resolved,
        elementwise chains and row reductions fused, every value given its place in one arena.
Why     Exact arithmetic costs little more than its float64 products once nothing else touches
        memory twice.
Rule    Bits are those of the torch backend and of the reference, on every CPU level.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import torch
from torch import Tensor

from skerry.exact import kernels as k
from skerry.exact.native_emit import Emitter, place
from skerry.exact.native_fuse import Group, Step, fused, mark_lives, operations
from skerry.exact.native_lower import Lowering
from skerry.exact.native_ops import Op, Unsupported
from skerry.exact.native_views import Val, View
from skerry.exact.ports import bind_inputs, deliver
from skerry.exact.torch_backend import TensorExecutable, compile_torch
from skerry.program.graph import Program

_DTYPES: Final = {
    k.F4: torch.float32, k.I8: torch.int64, k.B1: torch.bool, k.F8: torch.float64,
    k.H2: torch.int16,
}  # fmt: skip
_ALIGN: Final = 64
_ARENA: Final = 0
_POOL_MAX: Final = 3


def _storage_uses(tensor: Tensor) -> int:
    """Return how many tensors and storages share the memory of a tensor."""
    count: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return count


def _references() -> tuple[int, int]:
    """Return the counts of a tensor that only a list holds, seen as `_buffer` sees them."""
    pool = [torch.empty(1)]
    for _, held in enumerate(pool):
        return sys.getrefcount(held), _storage_uses(held)
    raise AssertionError


_OWN_REFERENCES, _OWN_USES = _references()

Segment: TypeAlias = tuple[int, int] | Callable[[], object]


def compile_native(program: Program) -> NativeExecutable | TensorExecutable:
    """Return `program` made ready to run in C; what the plan does not know runs on torch."""
    try:
        return NativeExecutable(program)
    except Unsupported:
        return compile_torch(program)


def place_in_arena(vals: Iterable[Val]) -> int:
    """Give each value its offset, so that values alive at once never overlap; return the size."""
    placed: list[tuple[int, int, int, int]] = []
    size = 0
    for val in sorted(vals, key=lambda v: -v.elements * k.SIZE[v.kind]):
        need = -(-val.elements * k.SIZE[val.kind] // _ALIGN) * _ALIGN
        end_of_life = max(val.last, val.ready)
        busy = sorted(
            (begin, end)
            for begin, end, first, last in placed
            if first <= end_of_life and val.first <= last
        )
        begin = 0
        for taken, end in busy:
            if taken - begin >= need:
                break
            begin = max(begin, end)
        val.offset = begin
        placed.append((begin, begin + need, val.first, end_of_life))
        size = max(size, begin + need)
    return size


@dataclass(slots=True)
class _Slots:
    """The numbers of the base addresses."""

    constants: list[tuple[int, Tensor]]
    ports: list[tuple[int, int]]
    outputs: list[int]
    count: int


def _number(lowering: Lowering) -> _Slots:
    """Give every value outside the arena a base address of its own."""
    slots = _Slots([], [], [], 1)
    for val, tensor in lowering.constants:
        slots.constants.append((slots.count, tensor))
        val.slot = slots.count
        slots.count += 1
    for port, val in lowering.ports.items():
        slots.ports.append((slots.count, port))
        val.slot = slots.count
        slots.count += 1
    for view in lowering.outputs:
        slots.outputs.append(slots.count)
        view.val.slot = slots.count
        slots.count += 1
    return slots


class NativeExecutable:
    """A Program as C steps; see `executable.Executable`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        with torch.no_grad():
            lowering = Lowering(program)
            steps = fused(lowering.ops)
            mark_lives(steps)
            self._slots = _number(lowering)
            self._kept = lowering
            arena_bytes = place_in_arena(_arena_values(steps))
            self._arena = torch.empty(arena_bytes + 4096, dtype=torch.uint8)
            self._finite = torch.ones(max(1, len(lowering.outputs)), dtype=torch.float64)
            self._bases = array("q", [0] * (self._slots.count + 1))
            self._bases[_ARENA] = self._base(self._arena)
            self._bases[-1] = self._finite.data_ptr()
            self._words, self._segments, scratch_bytes = self._written(steps)
            self._scratch = torch.empty(scratch_bytes + 4096, dtype=torch.uint8)
        self._pools: list[list[Tensor]] = [[] for _ in self._slots.outputs]
        for slot, tensor in self._slots.constants:
            self._bases[slot] = tensor.untyped_storage().data_ptr()
        self.steps = steps

    @property
    def program(self) -> Program:
        """The Program that runs."""
        return self._program

    @cached_property
    def _unfused(self) -> TensorExecutable:
        return compile_torch(self._program)

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs by name; see `executable.Executable.run`."""
        given = [x.contiguous() for x in bind_inputs(self._program, inputs, torch.device("cpu"))]
        bases, words, scratch = self._bases, self._words, self._base(self._scratch)
        for slot, port in self._slots.ports:
            bases[slot] = given[port].data_ptr()
        results = [self._buffer(place) for place in range(len(self._slots.outputs))]
        for slot, result in zip(self._slots.outputs, results, strict=True):
            bases[slot] = result.data_ptr()
        run = k.native().run
        for segment in self._segments:
            if isinstance(segment, tuple):
                run(words, bases, segment[0], segment[1], scratch)
            else:
                segment()
        if bool(self._finite.isnan().any()):
            return deliver(self._program, results)
        names = [output.name for output in self._program.outputs]
        return dict(zip(names, results, strict=True))

    def _buffer(self, place: int) -> Tensor:
        """Return memory for an output: one that an earlier run gave and nobody holds, or new."""
        pool = self._pools[place]
        for at, held in enumerate(pool):
            if sys.getrefcount(held) <= _OWN_REFERENCES and _storage_uses(held) <= _OWN_USES:
                return pool[at]
        kind = self._program.nodes[self._program.outputs[place].node].type
        fresh = torch.empty(kind.shape, dtype=_DTYPES[_KINDS[kind.dtype]])
        if len(pool) < _POOL_MAX:
            pool.append(fresh)
        return fresh

    def values(self, inputs: Mapping[str, Tensor], node_ids: Iterable[int]) -> dict[int, Tensor]:
        """Return the values of the asked nodes, unfused; see `executable.Executable.values`."""
        return self._unfused.values(inputs, node_ids)

    @staticmethod
    def _base(memory: Tensor) -> int:
        return -(-memory.data_ptr() // _ALIGN) * _ALIGN

    def _written(self, steps: Sequence[Step]) -> tuple[array[int], list[Segment], int]:
        words: list[int] = []
        segments: list[Segment] = []
        emitter = Emitter()
        for index, step in enumerate(steps):
            if isinstance(step, Op) and step.form in _PRODUCTS and not _is_ours(step):
                segments.append(_PRODUCTS[step.form](self, step))
                continue
            begin = len(words)
            words += emitter.words(step, index)
            if segments and isinstance(segments[-1], tuple) and segments[-1][1] == begin:
                segments[-1] = (segments[-1][0], len(words))
            else:
                segments.append((begin, len(words)))
        begin = len(words)
        for at, view in enumerate(self._kept.outputs):
            if view.val.kind == k.F4:
                out = k.Place(self._slots.count, 8 * at)
                words += k.reduce_step(
                    k.MODE_EXPONENT, place(view), k.F4, [], [(view.elements, 1)], out
                )
        segments.append((begin, len(words)))
        return array("q", words), segments, emitter.scratch_bytes

    def _tensor(self, view: View) -> Tensor:
        """Return a view of the arena or of a constant as a float64 tensor."""
        if view.val.source == "constant":
            memory = next(t for v, t in self._kept.constants if v is view.val)
            return memory.as_strided(view.shape, view.strides, view.offset)
        lead = self._base(self._arena) - self._arena.data_ptr()
        flat = self._arena[lead : lead + (self._arena.numel() - lead) // 8 * 8].view(torch.float64)
        return flat.as_strided(
            view.shape, view.strides, flat.storage_offset() + view.val.offset // 8 + view.offset
        )

    def _product(self, op: Op) -> Callable[[], object]:
        a, b = (self._tensor(view) for view in op.reads)
        shape = (*a.shape[:-1], b.shape[-2])
        out = self._tensor(op.out).view(shape)
        turned = b.transpose(-1, -2)
        multiply = torch.mm if a.dim() == 2 else torch.bmm
        return lambda: multiply(a, turned, out=out)

    def _unfolding(self, image: View, columns: View, step: int, n: int) -> list[array[int]]:
        """Return for each image the words that lay out its windows as columns."""
        dims = list(zip(image.shape, image.strides, strict=True))
        at, to = place(image), place(columns)
        return [
            array("q", k.unfold_step(k.Place(at.slot, at.offset + 8 * step * i), dims, to))
            for i in range(n)
        ]

    def _convolve(self, op: Op) -> Callable[[], object]:
        image, kernel = op.reads
        n, step = op.numbers
        words = self._unfolding(image, op.writes[1], step, n)
        columns, weight = self._tensor(op.writes[1]), self._tensor(kernel)
        outs = list(self._tensor(op.out).unbind(0))
        bases, scratch, run = self._bases, 0, k.native().run

        def convolve() -> None:
            for one, out in zip(words, outs, strict=True):
                run(one, bases, 0, len(one), scratch)
                torch.mm(weight, columns, out=out)

        return convolve

    def _correlate(self, op: Op) -> Callable[[], object]:
        image, first = op.reads
        n, step, other_step = op.numbers
        words = self._unfolding(image, op.writes[1], step, n)
        columns, out = self._tensor(op.writes[1]).t(), self._tensor(op.out)
        others = [
            self._tensor(View(first.val, first.offset + other_step * i, first.shape, first.strides))
            for i in range(n)
        ]
        bases, scratch, run = self._bases, 0, k.native().run

        def correlate() -> None:
            out.zero_()
            for one, other in zip(words, others, strict=True):
                run(one, bases, 0, len(one), scratch)
                torch.addmm(out, other, columns, out=out)

        return correlate


def _is_ours(op: Op) -> bool:
    """Return whether the C kernels multiply faster than the BLAS: with AVX2, on one thread."""
    return op.form == "dot" and k.native().level() == "avx2" and torch.get_num_threads() == 1


_PRODUCTS: Final[dict[str, Callable[[NativeExecutable, Op], Callable[[], object]]]] = {
    "dot": NativeExecutable._product,
    "convolve": NativeExecutable._convolve,
    "correlate": NativeExecutable._correlate,
}
_KINDS: Final = {"f32": k.F4, "i64": k.I8, "bool": k.B1}


def _arena_values(steps: Sequence[Step]) -> list[Val]:
    """Return the values that need memory in the arena."""
    found: dict[int, Val] = {}
    for index, step in enumerate(steps):
        for op in operations(step):
            for view in op.writes:
                val = view.val
                inside = isinstance(step, Group) and val.last <= index and val.first == val.ready
                if val.source == "step" and not (inside and view.whole):
                    found[id(val)] = val
    return list(found.values())


__all__ = ["NativeExecutable", "compile_native", "place_in_arena"]
