"""Products: every contraction becomes the exact integer product of `Builder.matmul`.

What    `TABLE`: mm, bmm, addmm, baddbmm, mv, dot and their kin.
Why     `Builder.matmul` wants its second operand transposed. A layer's weight already is, so the
        two permutations cancel and the weight is read as it lies.
"""

from __future__ import annotations

from typing import Final

from skerry.program import F32, Value
from skerry.trace.lowering import Lower, Lowering, Number, Result


def product(desk: Lowering, a: Value, b: Value) -> Value:
    """Return a[.., M, K] times b[.., K, N]."""
    if a.dtype != F32 or b.dtype != F32:
        raise desk.refuse("a product of integers", "cast the operands to float32 first")
    return desk.builder.matmul(a, desk.transpose(b))


def _mm(desk: Lowering, a: Value, b: Value) -> Result:
    return product(desk, a, b)


def _addmm(
    desk: Lowering, bias: Value, a: Value, b: Value, *, beta: Number = 1, alpha: Number = 1
) -> Result:
    result = product(desk, a, b)
    if alpha != 1:
        result = desk.mul(result, float(alpha))
    if beta == 0:
        return result
    if beta != 1:
        bias = desk.mul(bias, float(beta))
    return desk.add(result, bias)


def _mv(desk: Lowering, a: Value, x: Value) -> Result:
    return desk.reshape(desk.builder.matmul(a, desk.reshape(x, (1, *x.shape))), desk.type.shape)


def _dot(desk: Lowering, a: Value, b: Value) -> Result:
    row, column = desk.reshape(a, (1, *a.shape)), desk.reshape(b, (1, *b.shape))
    return desk.reshape(desk.builder.matmul(row, column), ())


def _addmv(
    desk: Lowering, bias: Value, a: Value, x: Value, *, beta: Number = 1, alpha: Number = 1
) -> Result:
    result = desk.mul(desk.builder.matmul(a, desk.reshape(x, (1, *x.shape))), float(alpha))
    scaled = desk.mul(bias, float(beta))
    return desk.add(desk.reshape(result, desk.type.shape), scaled)


TABLE: Final[dict[str, Lower]] = {
    "aten.mm.default": _mm,
    "aten.bmm.default": _mm,
    "aten.addmm.default": _addmm,
    "aten.baddbmm.default": _addmm,
    "aten.mv.default": _mv,
    "aten.dot.default": _dot,
    "aten.addmv.default": _addmv,
}
