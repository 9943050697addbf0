"""The typed face of the native kernels: how the steps of a plan are written as words.

What    Functions that lay out one step each (`tile_step`, `reduce_step`, ...), and `apply`, which
        runs a single instruction over whole tensors.
Why     A plan is one array of 64-bit words. The layout is stated here and in native/common.h and
        nowhere else.
Rule    Nothing here computes a value.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final, Protocol, cast

import torch

from skerry.base.errors import NodeError

try:
    _extension: ModuleType | None = importlib.import_module("skerry.exact._native")
except ImportError:  # an installation without a C compiler
    _extension = None

F4, I8, B1, F8, H2 = range(5)
SIZE: Final = (4, 8, 1, 8, 2)

(
    TEMP_FULL, TEMP_ROW, CONST, SCALAR, DENSE, ROW_DENSE, STRIDED_IN, ROW_STRIDED_IN, STRIDED_OUT,
    ROW_STRIDED_OUT,
) = range(10)  # fmt: skip

(
    _TILE, _REDUCE, _QUANT_COLS, _TAKE, _SCATTER, _TOPK, _CUMSUM, _GEMM16, _UNFOLD, _ARGMAX,
    _GEMM64,
) = range(1, 12)  # fmt: skip

OUTER_MAX: Final = 8
REDUCE_MAX: Final = 5
TILE_ELEMENTS: Final = 1024
MODE_EXPONENT, MODE_SUM_F32, MODE_AMAX, MODE_SUM, MODE_QSUM = range(5)
#: Accumulators of a reduction over columns, see `Columns` in native/common.h.
REDUCE_SCRATCH: Final = 1024 * 20


class NoNativeKernels(NodeError):
    """The C extension was not built on this machine."""

    code = "node.no_native"

    def __init__(self) -> None:
        super().__init__(
            "the native kernels are not built here",
            next_step="install a C compiler and reinstall skerry, or use backend torch: same bits",
        )


class Native(Protocol):
    """What the extension offers."""

    OPS: dict[str, int]

    def run(
        self, words: array[int], bases: array[int], first: int, last: int, scratch: int, /
    ) -> None:
        """Run the steps in words[first:last]."""

    def set_level(self, name: str, /) -> None:
        """Choose a CPU level."""

    def level(self) -> str:
        """Return the CPU level in use."""

    def levels(self) -> list[str]:
        """Return the CPU levels that run here."""

    def tensor_root(
        self, data: memoryview, prefix: bytes, row: int, leaf: int, instructions: bool, /
    ) -> bytes:
        """Return the Merkle root over the leaves of rows of bytes; see exact/hashing.py."""

    def sha_instructions(self) -> bool:
        """Return whether CPU and extension have instructions for SHA-256."""


def available() -> bool:
    """Say whether the extension is built."""
    return _extension is not None


def native() -> Native:
    """Return the extension.

    Raises:
        NoNativeKernels: it was not built.
    """
    if _extension is None:
        raise NoNativeKernels
    return cast("Native", _extension)


@dataclass(slots=True)
class Register:
    """One operand of a tile step: scratch, a constant, or a place in memory."""

    cls: int
    kind: int
    slot: int = 0
    offset: int = 0
    col_stride: int = 0
    strides: tuple[int, ...] = ()
    scratch: int = 0

    def words(self) -> list[int]:
        """Return the register as words."""
        lead = (0,) * (OUTER_MAX - len(self.strides))
        return [
            self.cls, self.kind, self.slot, self.offset, self.col_stride, *lead, *self.strides,
            self.scratch, 0,
        ]  # fmt: skip


@dataclass(slots=True)
class Instruction:
    """One instruction of a tile step; operands are register numbers, -1 for none."""

    op: str
    dst: int
    operands: tuple[int, ...]
    imm: int = 0


@dataclass(slots=True)
class Tile:
    """A fused chain over rows (the product of `outer`) and `cols` columns."""

    outer: tuple[int, ...]
    cols: int
    registers: list[Register] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    whole_rows: bool = False

    def tiling(self) -> tuple[int, int]:
        """Return (rows, columns) of a tile."""
        if self.whole_rows or self.cols <= TILE_ELEMENTS:
            return max(1, TILE_ELEMENTS // self.cols), self.cols
        return 1, TILE_ELEMENTS

    def words(self) -> list[int]:
        """Return the step as words."""
        ops = native().OPS
        rows, cols = self.tiling()
        lead = (1,) * (OUTER_MAX - len(self.outer))
        body = [
            len(self.outer), *lead, *self.outer, self.cols, len(self.registers),
            len(self.instructions), rows, cols,
        ]  # fmt: skip
        for register in self.registers:
            body += register.words()
        for one in self.instructions:
            a, b, c = (*one.operands, -1, -1, -1)[:3]
            body += [ops[one.op], one.dst, a, b, c, one.imm, 0, 0]
        return [_TILE, len(body) + 2, *body]


def _step(kind: int, *body: int) -> list[int]:
    return [kind, len(body) + 2, *body]


@dataclass(frozen=True, slots=True)
class Place:
    """A base address by number, and a byte offset from it."""

    slot: int
    offset: int


NOWHERE: Final = Place(-1, 0)


def _padded(values: Sequence[int], length: int, fill: int) -> tuple[int, ...]:
    return (fill,) * (length - len(values)) + tuple(values)


def reduce_step(
    mode: int,
    source: Place,
    kind: int,
    kept: Sequence[tuple[int, int]],
    reduced: Sequence[tuple[int, int]],
    out: Place,
    *,
    scale: Place = NOWHERE,
    bits: int = 1,
    shift: int = 0,
) -> list[int]:
    """Lay out a reduction; `kept` and `reduced` are (size, stride) outermost first."""
    sizes = [_padded([n for n, _ in dims], REDUCE_MAX, 1) for dims in (kept, reduced)]
    strides = [_padded([s for _, s in dims], REDUCE_MAX, 0) for dims in (kept, reduced)]
    return _step(
        _REDUCE, mode, source.slot, source.offset, *sizes[0], *strides[0], *sizes[1], *strides[1],
        out.slot, out.offset, scale.slot, scale.offset, bits, shift, kind,
    )  # fmt: skip


def quant_cols_step(
    source: Place,
    batch: Sequence[tuple[int, int]],
    k: tuple[int, int],
    cols: int,
    out: Place,
    scale: Place,
    bits: int,
    kind: int = F8,
) -> list[int]:
    """Lay out the quantising of columns: K rows of `cols` neighbours, one exponent a column."""
    sizes = _padded([n for n, _ in batch], 3, 1)
    strides = _padded([s for _, s in batch], 3, 0)
    return _step(
        _QUANT_COLS, source.slot, source.offset, *sizes, *strides, *k, cols, out.slot, out.offset,
        scale.slot, scale.offset, bits, kind,
    )  # fmt: skip


def unfold_step(x: Place, dims: Sequence[tuple[int, int]], out: Place) -> list[int]:
    """Lay out a copy of strided float64 into row-major order; at most 6 (size, stride)."""
    return _step(
        _UNFOLD, x.slot, x.offset, out.slot, out.offset, *_padded([n for n, _ in dims], 6, 1),
        *_padded([s for _, s in dims], 6, 0),
    )  # fmt: skip


def product_step(
    kind: int, a: Place, b: Place, out: Place, batch: tuple[int, int, int],
    sizes: tuple[int, int, int], a_strides: tuple[int, int], b_strides: tuple[int, int],
) -> list[int]:  # fmt: skip
    """Lay out a product of int16 (H2) or of integers in float64 (F8).

    `batch` is (count, stride of a, stride of b), `sizes` are M, N, K.
    """
    return _step(
        _GEMM16 if kind == H2 else _GEMM64, a.slot, a.offset, b.slot, b.offset, out.slot,
        out.offset, *batch, *sizes, *a_strides, *b_strides,
    )  # fmt: skip


def product_scratch(kind: int, n: int) -> int:
    """Return the bytes of scratch that a product with `n` columns needs."""
    if kind == H2:
        return 2 * 480 * (102 + 16 * -(-n // 16)) + 64
    return 8 * 256 * (198 + 8 * -(-n // 8)) + 64


def take_step(
    x: Place, index: Place, out: Place, n_index: int, rows: int, row_bytes: int, row_step: int
) -> list[int]:
    """Lay out a copy of the rows that an index names."""
    return _step(
        _TAKE, x.slot, x.offset, index.slot, index.offset, out.slot, out.offset, n_index, rows,
        row_bytes, row_step,
    )  # fmt: skip


def scatter_step(
    index: Place, v: Place, out: Place, n_index: int, size: int, row: int, kind: int
) -> list[int]:
    """Lay out a sum of rows by index."""
    return _step(
        _SCATTER, index.slot, index.offset, v.slot, v.offset, out.slot, out.offset, n_index, size,
        row, kind,
    )  # fmt: skip


def topk_step(x: Place, out: Place, rows: int, n: int, k: int) -> list[int]:
    """Lay out the k greatest of each row; needs 8 n bytes of scratch."""
    return _step(_TOPK, x.slot, x.offset, out.slot, out.offset, rows, n, k)


def cumsum_step(x: Place, out: Place, outer: int, n: int, inner: int) -> list[int]:
    """Lay out a running sum of i64."""
    return _step(_CUMSUM, x.slot, x.offset, out.slot, out.offset, outer, n, inner)


def argmax_step(x: Place, out: Place, outer: int, n: int, inner: int) -> list[int]:
    """Lay out the lowest index of the greatest along a middle axis."""
    return _step(_ARGMAX, x.slot, x.offset, out.slot, out.offset, outer, n, inner)


_KIND: Final = {
    torch.float32: F4, torch.int64: I8, torch.bool: B1, torch.float64: F8, torch.int16: H2,
}  # fmt: skip


def kind_of(tensor: torch.Tensor) -> int:
    """Return the storage kind of a tensor."""
    return _KIND[tensor.dtype]


def run_words(words: Sequence[int], tensors: Sequence[torch.Tensor], scratch_bytes: int) -> None:
    """Run steps whose slots are the given tensors; for single calls, not for plans."""
    scratch = torch.empty(scratch_bytes + 64, dtype=torch.uint8)
    bases = array("q", [tensor.data_ptr() for tensor in tensors])
    native().run(array("q", words), bases, 0, len(words), scratch.data_ptr())


def apply(op: str, out: torch.Tensor, *operands: torch.Tensor, imm: int = 0) -> torch.Tensor:
    """Run one instruction over contiguous tensors [rows, cols].

    An operand is full [rows, cols], one value a row [rows, 1] or a scalar []. `out` likewise.
    """
    rows, cols = max((x.shape for x in (out, *operands) if x.dim() == 2), key=lambda s: s[-1])
    tile = Tile((rows,), cols, whole_rows=True)
    for at, tensor in enumerate((out, *operands)):
        full = tensor.shape == (rows, cols) and cols > 1
        cls = SCALAR if tensor.dim() == 0 else DENSE if full else ROW_DENSE
        tile.registers.append(Register(cls, kind_of(tensor), at))
    tile.instructions.append(Instruction(op, 0, tuple(range(1, len(operands) + 1)), imm))
    run_words(tile.words(), (out, *operands), 0)
    return out
